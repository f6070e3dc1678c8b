"""A search as its files describe it, running or finished."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from beam_pipelines.common.errors import UserError
from trainer.tuner.service.state_files import StateFile
from trainer.tuner.trial import Trial, trial_from_json


@dataclass(frozen=True)
class SearchState:
    """A search, its settings and its budget; see `SearchConfig`.

    Attributes:
        direction: "min" or "max".
        trials: In the order of their creation.
        best: The completed trial with the best score, the first of several; None if there is none.
        elapsed_s: How long the chief has run, over all its starts; updated every few seconds, in a bucket every 30.
        num_epochs: Epochs that all trials trained together.
    """

    search_dir: str
    algorithm: str
    objective: str
    direction: str
    trials: tuple[Trial, ...]
    best: Trial | None
    is_finished: bool
    end_reason: str | None
    elapsed_s: float
    num_epochs: int
    max_trials: int | None
    max_epochs: int | None
    max_hours: float | None


def read_search(search_dir: str, *, with_all_histories: bool = True) -> SearchState:
    """Returns the state of a search from its files, which may be written meanwhile.

    Args:
        search_dir: Local or gs://.
        with_all_histories: False leaves the histories of trials that have ended empty, which is faster.

    Raises:
        UserError: There is no search, or its files are damaged.
    """
    state = StateFile(search_dir, "search").read()
    if state is None:
        raise UserError(f"search_dir={search_dir} has no search: start one with beamtune tune search_dir={search_dir}")
    settings = state["settings"]
    trials = tuple(_read_trial(content, search_dir, all_histories=with_all_histories) for content in state["trials"])
    return SearchState(
        search_dir=search_dir,
        algorithm=settings["algorithm"],
        objective=settings["objective"],
        direction=settings["direction"],
        trials=trials,
        best=next(iter(ranked(trials, direction=settings["direction"])), None),
        is_finished=state["end_reason"] is not None,
        end_reason=state["end_reason"],
        elapsed_s=state["elapsed_s"],
        num_epochs=state["num_epochs"],
        **state["budget"],
    )


def ranked(trials: Iterable[Trial], *, direction: str) -> list[Trial]:
    """Returns the completed trials, the best first; of two with the same score the older one."""
    sign = 1 if direction == "min" else -1
    scored = [(sign * trial.score, trial.trial_id, trial) for trial in trials if trial.score is not None]
    return [trial for *_, trial in sorted(scored, key=lambda entry: entry[:2])]


def trial_history_file(search_dir: str, trial_id: str) -> StateFile:
    """Returns the file that has the history of a trial."""
    return StateFile(search_dir, "trials", trial_id)


def _read_trial(content: Mapping[str, Any], search_dir: str, *, all_histories: bool) -> Trial:
    trial = trial_from_json(content, search_dir=search_dir)
    if trial.has_ended and not all_histories:
        return trial
    history = trial_history_file(search_dir, trial.trial_id).read()
    return trial_from_json(content, search_dir=search_dir, history=history)
