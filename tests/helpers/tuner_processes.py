"""Chiefs and workers as processes that train nothing, for tests that end them in every way."""

import json
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import keras_tuner

from beam_pipelines.common.errors import RunAgainError, RunFailedError, UserError
from trainer.tuner.chief import run_chief
from trainer.tuner.oracles import OracleSettings
from trainer.tuner.service_config import BudgetConfig, PruningConfig, ServiceConfig
from trainer.tuner.trials import Report, Trial, TrialFailed, TrialOutcome, Verdict
from trainer.tuner.worker import run_worker

OBJECTIVE = "validation/track/accuracy"
EPOCHS = 4

# Loaded machines are slow: a lease is long enough for a process that is not given the processor for a while.
QUICK = ServiceConfig(lease_s=3.0, heartbeat_s=0.5, poll_s=0.1, wait_for_chief_s=60.0, wait_for_workers_s=60.0)

# The processes are forked from one that has imported TensorFlow once.
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload([__name__, "trainer.tuner.chief", "trainer.tuner.worker", "sklearn.gaussian_process"])


def score_of(values: dict[str, Any], epoch: int) -> float:
    """A function of the hyperparameters that a person can check; it grows with the epochs."""
    return 1.0 - (values["rate"] - 0.3) ** 2 - 0.01 * values["depth"] - 0.1 / epoch


def space() -> keras_tuner.HyperParameters:
    parameters = keras_tuner.HyperParameters()
    parameters.Float("rate", 0.0, 1.0)
    parameters.Int("depth", 1, 4)
    parameters.Choice("norm", ["batch", "layer"])
    with parameters.conditional_scope("norm", ["batch"]):
        parameters.Float("momentum", 0.5, 0.99)
    return parameters


def settings(algorithm: str = "random", **changes: Any) -> OracleSettings:
    usual = OracleSettings(
        algorithm=algorithm,
        space=space(),
        objective=OBJECTIVE,
        direction="max",
        seed=7,
        epochs_per_trial=EPOCHS,
        hyperband_factor=2,
        num_initial_points=3,
    )
    return replace(usual, **changes)


@dataclass
class FakeRunner:
    """Computes a function in the place of training, epoch by epoch, and goes on where a trial was broken off.

    Attributes:
        epoch_s: How long an epoch takes.
        faults: By trial: "fail", "raise", "nan", "die", "die once" or "hang once".
    """

    epoch_s: float = 0.05
    faults: dict[str, str] = field(default_factory=dict)

    def run(self, trial: Trial, *, report: Report) -> TrialOutcome:
        directory = Path(trial.directory)
        fault = self.faults.get(trial.trial_id, self.faults.get("*"))
        with (directory.parent.parent / "begun.jsonl").open("a") as log:
            log.write(json.dumps({"trial": trial.trial_id, "pid": os.getpid()}) + "\n")
        if trial.parent_id is not None:
            assert (directory.parent / trial.parent_id / "epoch").exists()
        self._misbehave(directory, fault)
        done = directory / "epoch"
        first = int(done.read_text()) + 1 if done.exists() else 1
        last = EPOCHS if trial.until_epoch is None else trial.until_epoch
        values, epoch = dict(trial.values), first - 1
        for epoch in range(first, last + 1):
            time.sleep(self.epoch_s)
            temporary = directory / f"epoch.{os.getpid()}"
            temporary.write_text(str(epoch))
            temporary.rename(done)
            score = float("nan") if fault == "nan" else score_of(values, epoch)
            if report(epoch, {OBJECTIVE: score, "validation/segment/loss": 1 - score}) is Verdict.STOP:
                break
        score = float("nan") if fault == "nan" else score_of(values, epoch)
        return TrialOutcome({OBJECTIVE: score}, best_epoch=epoch, note=None)

    def _misbehave(self, directory: Path, fault: str | None) -> None:
        was_here = (directory / "was_here").exists()
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "was_here").touch()
        if fault == "fail":
            raise TrialFailed("out of memory:\n  3 GiB")
        if fault == "raise":
            raise ValueError("no such shape")
        if fault == "die" or (fault == "die once" and not was_here):
            os.kill(os.getpid(), signal.SIGKILL)
        if fault == "hang once" and not was_here:
            time.sleep(3600)


def _log_to(path: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)


def _exit_as_command(run: Callable[[], Any]) -> None:
    """Ends the process as `beamtune` does."""
    code = 1
    try:
        run()
        code = 0
    except UserError as error:
        code = 2
        print(error, file=sys.stderr)
    except RunFailedError as error:
        print(error, file=sys.stderr)
    except RunAgainError as error:
        code = 75
        print(error, file=sys.stderr)
    finally:
        sys.stderr.flush()
        os._exit(code)


def chief_main(search_dir: str, log: str, arguments: dict[str, Any]) -> None:
    _log_to(log)
    _exit_as_command(lambda: run_chief(search_dir, **arguments))


def worker_main(search_dir: str, log: str, arguments: dict[str, Any]) -> None:
    _log_to(log)
    _exit_as_command(lambda: run_worker(search_dir, **arguments))


class Cluster:
    """The processes of one search; all are ended with the context."""

    def __init__(self, directory: Path) -> None:
        self.search_dir = str(directory / "search")
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        Path(self.search_dir).mkdir(exist_ok=True)
        self.processes: list[Any] = []

    def chief(self, algorithm: str = "random", **changes: Any) -> Any:
        arguments = {
            "oracle_settings": settings(algorithm),
            "budget": BudgetConfig(max_trials=6),
            "pruning": PruningConfig(median=False),
            "service": QUICK,
            **changes,
        }
        return self._start(chief_main, "chief", arguments)

    def worker(self, name: str, *, service: ServiceConfig = QUICK, address: str | None = None, **runner: Any) -> Any:
        arguments = {"tuner_id": name, "chief_address": address, "runner": FakeRunner(**runner), "service": service}
        return self._start(worker_main, name, arguments)

    def _start(self, main: Callable[..., None], name: str, arguments: dict[str, Any]) -> Any:
        process = _CONTEXT.Process(target=main, args=(self.search_dir, str(self.directory / f"{name}.log"), arguments))
        process.start()
        self.processes.append(process)
        return process

    def log(self, name: str) -> str:
        path = self.directory / f"{name}.log"
        return path.read_text() if path.exists() else ""

    def begun(self) -> list[str]:
        """The trials in the order in which runners began them, those that were begun again again."""
        path = Path(self.search_dir, "begun.jsonl")
        return [json.loads(line)["trial"] for line in path.read_text().splitlines()] if path.exists() else []

    def end_all(self) -> None:
        for process in self.processes:
            if process.is_alive():
                process.kill()
            process.join()


@contextmanager
def cluster(directory: Path) -> Iterator[Cluster]:
    made = Cluster(directory)
    try:
        yield made
    finally:
        made.end_all()


def wait_until(condition: Callable[[], bool], *, timeout_s: float = 90.0) -> None:
    until_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < until_s, "it has not come about"
        time.sleep(0.02)


def exit_code(process: Any, *, timeout_s: float = 90.0) -> int:
    process.join(timeout_s)
    assert not process.is_alive(), "it has not ended"
    code: int = process.exitcode
    return code
