"""Trainings in a job of Vertex AI: their events are in its folder, too."""

from collections.abc import Callable
from pathlib import Path

import pytest
from event_reader import read_events
from gcs.fixture import Gcs
from interrupted_saves import fail_after_saves

from beam_pipelines.common.errors import RunAgainError
from trainer.training.config import TrainConfig
from trainer.training.train import train
from trainer.tuner.hparams_events import write_experiment, write_session_start, write_session_success
from trainer.tuner.space.space_file import parse_space
from trainer.tuner.trial import Trial

MakeConfig = Callable[..., TrainConfig]


def steps_of(directory: Path) -> dict[tuple[str, str], list[int]]:
    """Returns the steps of all events of a run, by folder and tag."""
    return {
        (folder, tag): [step for step, _ in values]
        for folder in (".", "train", "validation")
        for tag, values in read_events(directory / folder).items()
    }


@pytest.mark.slow
def test_a_run_that_resumes_has_all_events_once_in_both_folders(
    make_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIP_TENSORBOARD_LOG_DIR", f"{tmp_path / 'logs'}/")
    config = make_config()
    with monkeypatch.context() as patch, pytest.raises(RunAgainError):
        fail_after_saves(1, RunAgainError("stopped"), patch)
        train(config)
    train(config)
    own = steps_of(Path(config.run_dir))
    assert own["train", "segment/loss"] == [4, 8, 12]
    assert ("validation", "mistakes") in own
    assert steps_of(tmp_path / "logs" / "run") == own
    assert {path.name for path in (tmp_path / "logs" / "run").iterdir() if path.is_dir()} == {"train", "validation"}


def test_the_folder_may_be_in_a_bucket(
    make_config: MakeConfig, gcs_here: Gcs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIP_TENSORBOARD_LOG_DIR", f"{gcs_here.url}/logs/")
    config = make_config(epochs=1)
    train(config)
    assert steps_of(gcs_here.download(tmp_path, "logs/run")) == steps_of(Path(config.run_dir))


def test_the_sessions_of_trials_are_there_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    logs, search = tmp_path / "logs", tmp_path / "search"
    monkeypatch.setenv("AIP_TENSORBOARD_LOG_DIR", str(logs))
    space = parse_space("search:\n  seed: {choice: [1, 2]}\n", where="space")
    trial = Trial("0000", {"seed": 1}, str(search / "trials" / "0000"))
    write_experiment(str(search), space, objective="validation/track/accuracy", created_s=1.0)
    write_session_start(trial, space)
    write_session_success(trial.directory, objective="validation/track/accuracy", score=0.5)
    assert read_events(logs / "search").keys() == read_events(search / "search").keys() == {"_hparams_/experiment"}
    assert read_events(logs / "0000").keys() == read_events(search / "trials" / "0000").keys()
    assert read_events(logs / "0000")["trial/best/validation/track/accuracy"][0][1] == 0.5
