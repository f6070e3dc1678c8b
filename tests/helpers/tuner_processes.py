"""Chiefs and workers as processes that train nothing, for tests that kill and stop them."""

import json
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from forked_process import forked_process, log_to

from beam_pipelines.common.errors import RunAgainError, RunFailedError, UserError
from trainer.models.architectures.cnn2d import Cnn2dConfig
from trainer.tuner.config import SearchConfig, TunerConfig
from trainer.tuner.service.chief import run_chief
from trainer.tuner.service.config import BudgetConfig, PruningConfig, ServiceConfig
from trainer.tuner.service.worker import run_worker
from trainer.tuner.space.space import Space
from trainer.tuner.space.space_file import parse_space
from trainer.tuner.trial import ReportEpoch, Trial, TrialFailedError, TrialResult, TrialRunner

# The file by which a forked process of a search is found; `forked_search` creates it.
ROLE_FILE = re.compile(r"/memfd:(?P<role>\S+) search_dir=(?P<search_dir>.*) \(deleted\)")
OBJECTIVE = "validation/track/accuracy"
EPOCHS = 4

# On a busy machine a process may not run for a while: a lease is longer than that.
QUICK = ServiceConfig(lease_s=3.0, heartbeat_s=0.5, poll_s=0.1, wait_for_chief_s=60.0, wait_for_workers_s=60.0)


def score_of(values: dict[str, Any], epoch: int) -> float:
    """A function of the hyperparameters that a person can check; it grows with the epochs."""
    return 1.0 - (values["rate"] - 0.3) ** 2 - 0.01 * values["depth"] - 0.1 / epoch


SPACE = parse_space(
    """
search:
  rate: {float: [0.0, 1.0]}
  depth: {int: [1, 4]}
  norm: {choice: [batch, layer]}
  momentum: {float: [0.5, 0.99], when: {norm: [batch]}}
""",
    where="space",
)


def search_config(
    algorithm: str = "random", *, search_dir: str = "search", seed: int = 6, **changes: Any
) -> SearchConfig:
    usual = SearchConfig(
        search_dir=search_dir,
        run_dir="refit",
        data_dir="data",
        model=Cnn2dConfig(),
        epochs=EPOCHS,
        objective=OBJECTIVE,
        tuner=TunerConfig(kind=algorithm, seed=seed, factor=2, num_initial_points=3),
        budget=BudgetConfig(max_trials=6),
        pruning=PruningConfig(median=False),
        service=QUICK,
    )
    return replace(usual, **changes)


@dataclass
class FakeRunner:
    """Computes a function instead of training, epoch by epoch, and resumes an interrupted trial.

    Attributes:
        epoch_s: How long an epoch takes.
        faults: By trial: "fail", "raise", "nan", "die", "die once" or "hang once".
    """

    epoch_s: float = 0.05
    faults: dict[str, str] = field(default_factory=dict)

    def run(self, trial: Trial, *, report: ReportEpoch, check_lease: Callable[[], None]) -> TrialResult:
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
            metrics = {OBJECTIVE: score, "validation/segment/loss": 1 - score}
            if not report(epoch, metrics, duration_s=self.epoch_s):
                break
        score = float("nan") if fault == "nan" else score_of(values, epoch)
        return TrialResult({OBJECTIVE: score}, best_epoch=epoch)

    def _misbehave(self, directory: Path, fault: str | None) -> None:
        was_here = (directory / "was_here").exists()
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "was_here").touch()
        if fault == "fail":
            raise TrialFailedError("out of memory:\n  3 GiB")
        if fault == "raise":
            raise ValueError("no such shape")
        if fault == "die" or (fault == "die once" and not was_here):
            os.kill(os.getpid(), signal.SIGKILL)
        if fault == "hang once" and not was_here:
            time.sleep(3600)


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


def chief_main(log: str, arguments: dict[str, Any]) -> None:
    log_to(log)
    _exit_as_command(lambda: run_chief(**arguments))


def worker_main(log: str, arguments: dict[str, Any]) -> None:
    log_to(log)
    _exit_as_command(lambda: run_worker(**arguments))


class Cluster:
    """The processes of one search; all are ended with the context."""

    def __init__(self, directory: Path) -> None:
        self.search_dir = str(directory / "search")
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        Path(self.search_dir).mkdir(exist_ok=True)
        self.processes: list[Any] = []

    def chief(self, algorithm: str = "random", *, space: Space = SPACE, **changes: Any) -> Any:
        config = search_config(algorithm, search_dir=self.search_dir, **changes)
        return self._start(chief_main, "chief", {"config": config, "space": space})

    def worker(
        self,
        name: str,
        *,
        service: ServiceConfig = QUICK,
        address: str | None = None,
        real_runner: TrialRunner | None = None,
        **runner: Any,
    ) -> Any:
        arguments = {
            "search_dir": self.search_dir,
            "worker_name": name,
            "chief_address": address,
            "runner": real_runner or FakeRunner(**runner),
            "service": service,
        }
        return self._start(worker_main, name, arguments)

    def _start(self, main: Callable[..., None], name: str, arguments: dict[str, Any]) -> Any:
        process = forked_process(main, str(self.directory / f"{name}.log"), arguments)
        process.start()
        self.processes.append(process)
        return process

    def log(self, name: str) -> str:
        path = self.directory / f"{name}.log"
        return path.read_text() if path.exists() else ""

    def begun(self) -> list[str]:
        """The trials in the order in which runners started them, also repeatedly."""
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


def processes_of(search_dir: Path | str) -> dict[str, int]:
    """Returns the process ids of a local search by role, whether its processes are new or forked ones."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, UnicodeDecodeError):
            variables = dict(pair.split("=", 1) for pair in (entry / "environ").read_text().split("\0") if "=" in pair)
            command = (entry / "cmdline").read_text()
            if "BEAMTUNE_SEARCH_ROLE" in variables and f"search_dir={search_dir}\0" in command:
                found[variables["BEAMTUNE_SEARCH_ROLE"]] = int(entry.name)
            for role in filter(None, (_role_of(link, search_dir) for link in (entry / "fd").iterdir())):
                found[role] = int(entry.name)
    return found


def _role_of(link: Path, search_dir: Path | str) -> str | None:
    """Returns the role that an open file names, if it is one of this search."""
    try:
        # A Path would have no "//" as in gs://.
        match = ROLE_FILE.fullmatch(os.readlink(link))
    except OSError:  # it is closed
        return None
    return match["role"] if match and match["search_dir"] == str(search_dir) else None


def wait_until(condition: Callable[[], bool], *, timeout_s: float = 600.0) -> None:
    until_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < until_s, "the condition does not become true"
        time.sleep(0.02)


def exit_code(process: Any, *, timeout_s: float = 600.0) -> int:
    process.join(timeout_s)
    assert not process.is_alive(), "the process does not end"
    code: int = process.exitcode
    return code
