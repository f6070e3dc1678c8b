"""The table of `beamtune tag`: a row for each file, and the numbers of files by what happened to them."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from beam_pipelines.common.output_streams import visible_line
from beam_pipelines.common.terminal import counted
from trainer.evaluation.confidence import UNKNOWN

_NO_GENRE = "none"


class State(Enum):
    """What happened, or would happen, to a file."""

    CHANGED = "changed"
    UNCHANGED = "unchanged"
    UNKNOWN = UNKNOWN
    FAILED = "failed"


@dataclass(frozen=True)
class Row:
    """What is shown of a file.

    Attributes:
        path: The file.
        state: What happened to it.
        existing: Its genres before.
        proposed: The genres for it; with their probabilities, unless they are old ones that are restored.
    """

    path: str
    state: State
    existing: Sequence[str]
    proposed: Sequence[tuple[str, float | None]]


class Table:
    """Writes rows. The columns are as wide as the longest path and the longest genre of the model."""

    def __init__(self, paths: Sequence[str], *, genres: Sequence[str], write: bool) -> None:
        self._path_width = max((len(visible_line(path)) for path in paths), default=0)
        self._genre_width = max(len(visible_line(genre)) for genre in (*genres, _NO_GENRE))
        self._proposed_width = self._genre_width + len(" 0.000")
        self._changed = "changed" if write else "would change"

    def line(self, row: Row) -> str:
        """Returns the line of a file."""
        existing = visible_line(", ".join(row.existing) or _NO_GENRE)
        proposed = visible_line(", ".join(_with_probability(*one) for one in row.proposed) or _NO_GENRE)
        state = self._changed if row.state is State.CHANGED else row.state.value
        path = visible_line(row.path).ljust(self._path_width)
        return (
            f"{path}  {existing.ljust(self._genre_width)} → {proposed.ljust(self._proposed_width)}  {state}".rstrip()
            + "\n"
        )


def summary(states: Counter[State], *, write: bool) -> str:
    """Returns the numbers of files in each state, as one line."""
    changed = "changed" if write else "would change"
    parts = [f"{states[state]} {changed if state is State.CHANGED else state.value}" for state in State]
    return f"{counted(states.total(), 'file')}: {', '.join(parts)}"


def _with_probability(genre: str, probability: float | None) -> str:
    return genre if probability is None else f"{genre} {probability:.3f}"
