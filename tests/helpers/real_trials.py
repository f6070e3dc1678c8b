"""Trials that are really trained, in worker processes that tests freeze."""

import json
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainer.training.loop import ScoringLoop, TrainLoop
from trainer.tuner.config import SearchConfig
from trainer.tuner.runner import TrainingRunner
from trainer.tuner.space.space_file import parse_space
from trainer.tuner.trial import ReportEpoch, Trial, TrialResult

SPACE = parse_space("search: {optimizer.learning_rate: {log: [0.001, 0.1]}}", where="space")
_METHODS = {"run_steps": TrainLoop, "score": ScoringLoop}


@dataclass(frozen=True)
class RealRunner:
    """Trains as `beamtune tune` does.

    Attributes:
        config: The search.
        freeze_at: A method, and at which of its calls the process stops itself as SIGSTOP does.
        wait_in: A trial before which the process waits for a file `go` in the search_dir; its heartbeats continue.
    """

    config: SearchConfig
    freeze_at: tuple[str, int] | None = None
    wait_in: str | None = None

    def run(self, trial: Trial, *, report: ReportEpoch, check_lease: Callable[[], None]) -> TrialResult:
        search_dir = Path(self.config.search_dir)
        with (search_dir / "begun.jsonl").open("a") as log:
            log.write(json.dumps({"trial": trial.trial_id}) + "\n")
        while trial.trial_id == self.wait_in and not (search_dir / "go").exists():
            time.sleep(0.05)
        if self.freeze_at is not None:
            _freeze_at(*self.freeze_at)
        return TrainingRunner(self.config, space=SPACE).run(trial, report=report, check_lease=check_lease)


def _freeze_at(name: str, number: int) -> None:
    real, calls = getattr(_METHODS[name], name), iter(range(1, number + 1))

    def method(*arguments: Any, **options: Any) -> Any:
        if next(calls, None) == number:
            os.kill(os.getpid(), signal.SIGSTOP)
        return real(*arguments, **options)

    setattr(_METHODS[name], name, method)
