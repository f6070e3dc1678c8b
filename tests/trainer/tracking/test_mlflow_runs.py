"""Runs, searches and cross-validations on a server of MLflow."""

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from event_reader import read_events
from interrupted_saves import fail_after_saves

from beam_pipelines.common.errors import RunAgainError, RunFailedError
from beam_pipelines.common.saved_settings import flat_settings
from trainer.board.tags import scalar_tag
from trainer.evaluation.config import EvaluateConfig
from trainer.evaluation.evaluate import evaluate
from trainer.tracking.config import MlflowConfig
from trainer.tracking.mlflow_group import group_run
from trainer.tracking.mlflow_session import below, read_saved_run
from trainer.training.config import TrainConfig
from trainer.training.train import train

pytestmark = pytest.mark.slow

MakeConfig = Callable[..., TrainConfig]


def scalars_of(directory: Path, split: str) -> dict[str, list[tuple[int, float]]]:
    """Returns the scalars that TensorBoard has of a split, with the split in front of their names."""
    return {
        f"{split}/{tag}": [(step, float(value)) for step, value in values]
        for tag, values in read_events(directory / split).items()
        if all(np.asarray(value).dtype.kind == "f" and np.asarray(value).ndim == 0 for _, value in values)
    }


def assert_same_histories(found: dict[str, list[Any]], expected: dict[str, list[Any]]) -> None:
    assert found.keys() == expected.keys()
    for name, points in expected.items():
        assert [step for step, _ in found[name]] == [step for step, _ in points], name
        np.testing.assert_allclose([v for _, v in found[name]], [v for _, v in points], rtol=1e-6, err_msg=name)


def test_a_run_is_on_the_server_as_it_is_in_tensorboard(mlflow_server, make_config: MakeConfig, capsys) -> None:
    config = make_config(mlflow=MlflowConfig(tracking_uri=mlflow_server.uri, experiment="whole", log_weights=True))
    train(config)
    directory = Path(config.run_dir)
    (run,) = mlflow_server.runs("whole")
    histories = mlflow_server.histories(run)
    best = {name: histories.pop(name) for name in list(histories) if name.startswith("best/")}
    tagged = {}
    for name, points in histories.items():
        split, _, scalar = name.partition("/")
        tagged[f"{split}/{scalar_tag(scalar)}"] = points
    assert_same_histories(tagged, {**scalars_of(directory, "train"), **scalars_of(directory, "validation")})
    assert [step for step, _ in histories["train/segment/loss"]] == [4, 8, 12]

    metrics = json.loads((directory / "metrics.json").read_text())
    assert best["best/validation/track/accuracy"][0][1] == metrics["validation"]["track"]["accuracy"]
    settings = flat_settings(asdict(config))
    assert run.data.params["optimizer.learning_rate"] == "0.01"
    assert run.data.params["model.filters"] == "[8, 8]"
    assert run.data.params.keys() == settings.keys()
    assert (run.info.status, run.info.run_name) == ("FINISHED", "run")
    assert run.data.tags["beamtune.data_cache_key"] == "abc"
    assert mlflow_server.files(run) == ["checkpoints", "config.yaml", "metrics.json", "model_card.md"]
    weights = mlflow_server.files(run, "checkpoints")
    assert {path.rpartition(".")[2] for path in weights} == {"index", "data-00000-of-00001"}
    out, err = capsys.readouterr()
    assert "warning" not in err and "View run" not in out

    evaluate(EvaluateConfig(run_dir=config.run_dir))
    (run,) = mlflow_server.runs("whole")
    metrics = json.loads((directory / "metrics.json").read_text())
    ((step, value),) = mlflow_server.histories(run)["best/test/track/accuracy"]
    assert (step, value) == (best["best/validation/track/accuracy"][0][0], metrics["test"]["track"]["accuracy"])
    assert run.info.status == "FINISHED"
    path = mlflow_server.client.download_artifacts(run.info.run_id, "model_card.md", str(directory.parent))
    assert Path(path).read_text() == (directory / "model_card.md").read_text()


def test_a_training_that_resumes_continues_its_run(mlflow_server, make_config, monkeypatch) -> None:
    """The epoch whose state was not saved is trained again, and is on the server once."""
    config = make_config(mlflow=MlflowConfig(tracking_uri=mlflow_server.uri, experiment="resumed"))
    with monkeypatch.context() as patch, pytest.raises(RunAgainError):
        fail_after_saves(1, RunAgainError("stopped"), patch)
        # The server has the second epoch before the process ends.
        patch.setattr("trainer.tracking.mlflow_sink._INTERRUPTED_WAIT_S", 60.0)
        train(config)
    (run,) = mlflow_server.runs("resumed")
    assert run.info.status == "KILLED"
    assert [step for step, _ in mlflow_server.histories(run)["train/segment/loss"]] == [4, 8]

    train(replace(config, checkpoint_interval_s=None))  # a setting that may differ: parameters cannot change
    (run,) = mlflow_server.runs("resumed")
    assert run.info.status == "FINISHED"
    histories = mlflow_server.histories(run)
    for name in (one for one in histories if not one.startswith("best/")):
        assert [step for step, _ in histories[name]] == [4, 8, 12], name


def test_a_failure_is_the_status_of_the_run(mlflow_server, make_config, monkeypatch) -> None:
    config = make_config(mlflow=MlflowConfig(tracking_uri=mlflow_server.uri, experiment="failed"))

    def fail(*_: Any, **__: Any) -> None:
        raise RunFailedError("the loss is not a finite number")

    monkeypatch.setattr("trainer.training.train.EpochLoop.run", fail)
    with pytest.raises(RunFailedError):
        train(config)
    assert [run.info.status for run in mlflow_server.runs("failed")] == ["FAILED"]


def test_a_run_that_was_deleted_on_the_server_is_made_again(mlflow_server, finished: TrainConfig) -> None:
    config = replace(finished, mlflow=MlflowConfig(tracking_uri=mlflow_server.uri, experiment="deleted"))
    for _ in range(2):
        (Path(config.run_dir) / "_SUCCESS").unlink()
        train(config)
        (run,) = mlflow_server.runs("deleted")
        assert read_saved_run(config.run_dir).run_id == run.info.run_id
        mlflow_server.client.delete_run(run.info.run_id)
    assert mlflow_server.runs("deleted") == []


def test_the_runs_of_a_group_are_below_its_own(mlflow_server, finished: TrainConfig, tmp_path: Path) -> None:
    mlflow = MlflowConfig(tracking_uri=mlflow_server.uri, experiment="group")
    group_dir = tmp_path / "search"
    group_dir.mkdir()
    with group_run(finished, mlflow, command="tune", directory=str(group_dir), data_dir=finished.data_dir) as session:
        child = replace(finished, mlflow=below(mlflow, str(group_dir)))
        (Path(child.run_dir) / "_SUCCESS").unlink()
        train(child)
        session.log({"best/validation/track/accuracy": 0.5}, step=1)
    group, run = mlflow_server.runs("group")
    assert (group.info.run_name, group.info.status, run.info.run_name) == ("search", "FINISHED", "run")
    assert group.data.metrics == {"best/validation/track/accuracy": 0.5}
    assert group.data.tags["mlflow.source.name"] == "beamtune tune"
    assert run.data.tags["mlflow.parentRunId"] == group.info.run_id
    assert "mlflow.parentRunId" not in group.data.tags
