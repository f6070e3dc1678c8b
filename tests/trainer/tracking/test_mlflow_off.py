"""What a training does where MLflow is off, not installed, away or slow."""

import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from python_script import script_command

import trainer.crossval.fold_trainers
import trainer.tuner.runner
from beam_pipelines.common.errors import UserError
from trainer.crossval.config import CrossvalConfig
from trainer.crossval.fold_trainers import NetworkTrainer
from trainer.evaluation.config import EvaluateConfig
from trainer.evaluation.evaluate import evaluate
from trainer.tracking import mlflow_session, mlflow_sink
from trainer.tracking.config import MlflowConfig
from trainer.tracking.mlflow_session import below
from trainer.training.config import TrainConfig
from trainer.training.train import train
from trainer.tuner.config import SearchConfig
from trainer.tuner.runner import TrainingRunner
from trainer.tuner.space.space_file import parse_space
from trainer.tuner.trial import Trial

SAVED = '{"tracking_uri": "http://127.0.0.1:1", "run_id": "0123"}'


@pytest.fixture
def silent_server() -> Iterator[str]:
    """A server that accepts connections and answers nothing; yields its URI."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def finish_again(config: TrainConfig) -> None:
    (Path(config.run_dir) / "_SUCCESS").unlink()
    train(config)


def test_mlflows_own_variable_switches_nothing_on(finished: TrainConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    monkeypatch.setattr(mlflow_sink, "MlflowSession", lambda *_: pytest.fail("something is sent"))
    finish_again(finished)
    evaluate(EvaluateConfig(run_dir=finished.run_dir))
    assert not (Path(finished.run_dir) / "mlflow.json").exists()


def test_a_server_that_is_away_is_one_warning(finished: TrainConfig, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("mlflow")
    finish_again(replace(finished, mlflow=MlflowConfig(tracking_uri="http://127.0.0.1:1")))
    assert (Path(finished.run_dir) / "_SUCCESS").exists()
    err = capsys.readouterr().err
    assert err.count("warning: MLflow at http://127.0.0.1:1 does not take what it is sent (") == 1
    assert err.count("warning") == 1


def test_a_server_that_does_not_answer_does_not_keep_a_training(
    finished: TrainConfig, silent_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mlflow")
    monkeypatch.setattr(mlflow_sink, "_END_WAIT_S", 0.5)
    # Longer than a test may take: the end does not wait for a request.
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "3600")
    finish_again(replace(finished, mlflow=MlflowConfig(tracking_uri=silent_server)))
    assert (Path(finished.run_dir) / "_SUCCESS").exists()


def test_without_mlflow_a_training_does_not_begin(
    make_config: Callable[..., TrainConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    monkeypatch.setattr(mlflow_session.importlib.util, "find_spec", lambda name: None)
    config = make_config(mlflow=MlflowConfig(tracking_uri="http://127.0.0.1:1"))
    with pytest.raises(UserError, match=r"needs MLflow: pip install 'beamtune\[mlflow\]'"):
        train(config)
    assert not (Path(config.run_dir) / "config.yaml").exists()


def test_an_evaluation_without_mlflow_goes_on(finished: TrainConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    (Path(finished.run_dir) / "mlflow.json").write_text(SAVED)
    monkeypatch.setattr(mlflow_sink, "is_installed", lambda: False)
    monkeypatch.setattr(mlflow_sink, "MlflowSession", lambda *_: pytest.fail("something is sent"))
    evaluate(EvaluateConfig(run_dir=finished.run_dir))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"tracking_uri": "http://me:secret@host"}, "MLFLOW_TRACKING_PASSWORD"),
        ({"tracking_uri": " "}, "mlflow.tracking_uri"),
        ({"experiment": ""}, "mlflow.experiment"),
        ({"experiment": "e" * 501}, "mlflow.experiment"),
    ],
)
def test_wrong_settings_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as refused:
        MlflowConfig(**values)
    assert "secret" not in str(refused.value)


def test_runs_are_below_the_run_of_a_directory_of_the_same_server(tmp_path: Path) -> None:
    on = MlflowConfig(tracking_uri="http://127.0.0.1:1")
    assert below(on, str(tmp_path)) == on
    (tmp_path / "mlflow.json").write_text(SAVED)
    assert below(on, str(tmp_path)) == replace(on, parent_run_id="0123")
    other = MlflowConfig(tracking_uri="http://127.0.0.1:2")
    assert below(other, str(tmp_path)) == other
    assert below(MlflowConfig(), str(tmp_path)) == MlflowConfig()
    (tmp_path / "mlflow.json").write_text("{")
    assert below(on, str(tmp_path)) == on


def test_trials_and_folds_are_below_their_search_and_cross_validation(
    shared_config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mlflow.json").write_text(SAVED)
    seen: list[str | None] = []

    def fake_train(config: TrainConfig, **_: Any) -> None:
        seen.append(config.mlflow.parent_run_id)
        raise KeyboardInterrupt

    monkeypatch.setattr(trainer.crossval.fold_trainers, "train", fake_train)
    monkeypatch.setattr(trainer.tuner.runner, "train", fake_train)
    mlflow = MlflowConfig(tracking_uri="http://127.0.0.1:1")
    common = {"model": shared_config.model, "mlflow": mlflow, "data_dir": shared_config.data_dir}
    folds = NetworkTrainer(CrossvalConfig(**common, output_dir=str(tmp_path)))
    with pytest.raises(KeyboardInterrupt):
        folds.run(data_dir="d", run_dir=str(tmp_path / "runs" / "fold-0-seed-0"), seed=0)
    space = parse_space("search:\n  seed: {choice: [1, 2]}\n", where="space")
    runner = TrainingRunner(SearchConfig(**common, run_dir="r", search_dir=str(tmp_path)), space=space)
    with pytest.raises(KeyboardInterrupt):
        runner.run(Trial("0000", {"seed": 1}, str(tmp_path / "trials" / "0000")), report=lambda *_, **__: True)
    assert seen == ["0123", "0123"]


@pytest.mark.slow
def test_mlflow_reports_nothing_to_its_makers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mlflow")
    script = (
        "import os, sys\n"
        "from trainer.tracking.mlflow_session import make_client\n"
        "assert 'mlflow' not in sys.modules\n"
        "make_client('http://127.0.0.1:1')\n"
        "from mlflow.telemetry.client import get_telemetry_client\n"
        "from mlflow.telemetry import utils\n"
        "print(utils._IS_IN_CI_ENV_OR_TESTING, utils.is_telemetry_disabled(), get_telemetry_client())\n"
    )
    # MLflow also reports nothing in tests and on servers of continuous integration.
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    result = subprocess.run(script_command(script), env=environment, capture_output=True, text=True, timeout=300)
    assert result.stdout.split() == ["False", "True", "None"], result.stderr
