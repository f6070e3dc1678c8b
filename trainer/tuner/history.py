"""What the epochs of a trial came to, kept beside its checkpoints so that it outlives its worker."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from trainer.common import files

_HISTORY_FILE = "history.json"


@dataclass(frozen=True)
class TrialHistory:
    """The epochs of a trial, and those of the trial that it goes on from.

    Attributes:
        epochs: By epoch, counted from 1, its metrics; not finite ones are left out.
        duration_s: How long they took, over all workers.
    """

    epochs: Mapping[int, Mapping[str, float]] = field(default_factory=dict)
    duration_s: float = 0.0

    def after(self, epoch: int, metrics: Mapping[str, float], *, duration_s: float) -> "TrialHistory":
        """Returns the history after one more epoch, which replaces what is known of it and of later ones."""
        earlier = {number: values for number, values in self.epochs.items() if number < epoch}
        finite = {name: value for name, value in metrics.items() if math.isfinite(value)}
        return TrialHistory({**earlier, epoch: finite}, self.duration_s + duration_s)


def read_history(directory: str) -> TrialHistory:
    """Returns the history of a trial; an empty one where it was not begun."""
    path = files.join(directory, _HISTORY_FILE)
    if not files.exists(path):
        return TrialHistory()
    content = json.loads(files.read_text(path))
    return TrialHistory({int(epoch): values for epoch, values in content["epochs"].items()}, content["duration_s"])


def write_history(directory: str, history: TrialHistory) -> None:
    """Writes the history of a trial, whole."""
    content = {"epochs": history.epochs, "duration_s": history.duration_s}
    files.write_text(files.join(directory, _HISTORY_FILE), json.dumps(content, indent=1) + "\n")
