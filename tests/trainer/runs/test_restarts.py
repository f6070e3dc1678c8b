"""Starts of a cluster that lose a worker; real clusters are in tests/trainer/training/test_distributed.py."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import trainer.runs.restarts
from beam_pipelines.common.errors import RunAgainError, RunFailedError, UserError
from beam_pipelines.common.signals import TerminatedError
from trainer.devices.cluster import LostWorkerError
from trainer.runs.restarts import MAX_STARTS_WITHOUT_CHECKPOINT, bounded_restarts
from trainer.runs.run_dir import RunDir

LOST = LostWorkerError("Connection reset by peer")


class FakeCluster:
    """A process of a cluster, without the others."""

    def __init__(self, *, is_chief: bool = True, chief_value: int | None = None) -> None:
        self.has_several_processes = True
        self.is_chief = is_chief
        self._chief_value = chief_value

    def broadcast_from_chief(self, value: int) -> int:
        return value if self._chief_value is None else self._chief_value

    @contextmanager
    def lost_worker_errors(self) -> Iterator[None]:
        yield


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunDir:
    made = RunDir(str(tmp_path / "run"))
    Path(made.checkpoint_dir).mkdir(parents=True)
    # The checkpoints of these tests have names only.
    monkeypatch.setattr(trainer.runs.restarts, "read_progress", lambda _: Reached())
    return made


class Reached:
    def describe(self) -> str:
        return "epoch 4"


def save_checkpoint(run: RunDir, name: str) -> None:
    (Path(run.checkpoint_dir) / "checkpoints.json").write_text(json.dumps({"last": name}))


def start(
    run: RunDir, error: BaseException | None = LOST, *, checkpoint: str | None = None, cluster: FakeCluster
) -> None:
    """Starts a run that saves a checkpoint or none, and ends with an error or none."""
    with bounded_restarts(run, cluster):  # type: ignore[arg-type]
        if checkpoint is not None:
            save_checkpoint(run, checkpoint)
        if error is not None:
            raise error


def lose_workers(run: RunDir, *, times: int) -> None:
    for _ in range(times):
        with pytest.raises(LostWorkerError):
            start(run, cluster=FakeCluster())


def num_starts(run: RunDir) -> int | None:
    path = Path(run.path, "starts.json")
    return json.loads(path.read_text())["starts"] if path.exists() else None


def test_the_last_start_in_a_row_without_a_checkpoint_is_a_failure(run: RunDir) -> None:
    save_checkpoint(run, "last-00004-00000000")
    lose_workers(run, times=MAX_STARTS_WITHOUT_CHECKPOINT - 1)
    with pytest.raises(RunFailedError) as failed:
        start(run, cluster=FakeCluster())
    assert str(failed.value) == (
        "3 starts in a row have ended without a new checkpoint after epoch 4, this one because another worker was lost "
        "(Connection reset by peer): look for the cause in the output of the other workers; if machines are only "
        "preempted often, lower checkpoint_interval_s"
    )
    # Whoever has removed the cause starts from the beginning.
    lose_workers(run, times=1)
    assert num_starts(run) == 1


def test_a_new_checkpoint_ends_the_count(run: RunDir) -> None:
    lose_workers(run, times=MAX_STARTS_WITHOUT_CHECKPOINT - 1)
    with pytest.raises(LostWorkerError):
        start(run, checkpoint="last-00001-00000000", cluster=FakeCluster())
    lose_workers(run, times=MAX_STARTS_WITHOUT_CHECKPOINT - 1)


@pytest.mark.parametrize("error", [None, RunAgainError("SIGTERM"), TerminatedError(), UserError("wrong")])
def test_a_preemption_or_a_success_ends_the_count(run: RunDir, error: BaseException | None) -> None:
    lose_workers(run, times=MAX_STARTS_WITHOUT_CHECKPOINT - 1)
    if error is None:
        start(run, None, cluster=FakeCluster())
    else:
        with pytest.raises(type(error)):
            start(run, error, cluster=FakeCluster())
    assert num_starts(run) is None
    lose_workers(run, times=MAX_STARTS_WITHOUT_CHECKPOINT - 1)


def test_a_start_whose_chief_was_killed_counts(run: RunDir) -> None:
    # The chief writes its start before the work, so that it counts whatever ends the process.
    for _ in range(MAX_STARTS_WITHOUT_CHECKPOINT - 1):
        with pytest.raises(SystemExit), bounded_restarts(run, FakeCluster()):  # type: ignore[arg-type]
            raise SystemExit
    with pytest.raises(RunFailedError):
        start(run, cluster=FakeCluster())


@pytest.mark.parametrize(("chief_value", "error"), [(2, LostWorkerError), (3, RunFailedError)])
def test_other_workers_decide_by_the_count_of_the_chief_and_write_nothing(
    run: RunDir, chief_value: int, error: type[Exception]
) -> None:
    with pytest.raises(error):
        start(run, cluster=FakeCluster(is_chief=False, chief_value=chief_value))
    assert num_starts(run) is None


def test_one_process_counts_nothing(run: RunDir) -> None:
    cluster = FakeCluster()
    cluster.has_several_processes = False
    with bounded_restarts(run, cluster):  # type: ignore[arg-type]
        assert num_starts(run) is None
