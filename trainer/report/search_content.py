"""The content of the report of a search."""

import math
from collections.abc import Mapping
from typing import Any

from beam_pipelines.common.errors import UserError
from beam_pipelines.common.terminal import counted
from trainer.report.collected import SEARCH, Collected, name_of
from trainer.report.config import ReportConfig
from trainer.report.provenance import ToCommand, provenance
from trainer.tuner.search_dir import SearchDir
from trainer.tuner.service.search_state import SearchState, ranked, read_search
from trainer.tuner.trial import Trial

_MOST_TRIALS = 20


def collect_search(path: str, config: ReportConfig, *, to_command: ToCommand) -> Collected:
    """Returns the content of the report of a search.

    Args:
        path: Its search_dir, local or gs://.
        config: The settings.
        to_command: Returns the command line of saved settings.

    Raises:
        UserError: The search is not finished, has no trial with a score, or is damaged.
    """
    if config.baselines is not None:
        raise UserError(f"baselines={config.baselines}: {path} is a search: train its best trial, and report that run")
    directory = SearchDir(path)
    search = read_search(path, with_all_histories=False)
    if not search.is_finished:
        raise UserError(f"{path} is not finished: run beamtune tune search_dir={path} again")
    if search.best is None:
        raise UserError(f"{path} has no trial with a score: see beamtune tune status {path}")
    settings = directory.config()
    trials = ranked(search.trials, direction=search.direction)
    content = {
        "kind": SEARCH,
        "name": name_of(path),
        "leak": None,
        "contamination": [],
        "sentences": _sentences(search, search.best, num_scored=len(trials)),
        "cautions": [
            f"The best validation score of {counted(len(trials), 'trial')} is too high: it was chosen because it is "
            "high, in part by chance. Only tracks that no trial has seen, such as those of the test split, tell what "
            "the settings are worth."
        ],
        "search": {
            "algorithm": search.algorithm,
            "objective": search.objective,
            "direction": search.direction,
            "end_reason": search.end_reason,
            "elapsed_s": search.elapsed_s,
            "num_epochs": search.num_epochs,
            "num_trials": len(search.trials),
            "num_scored": len(trials),
        },
        "best": _trial_row(search.best) | {"metrics": _finite(search.best.metrics)},
        "test_score": directory.test_score(),
        "trials": [_trial_row(trial) for trial in trials[:_MOST_TRIALS]],
        "scores_in_order": [
            {"trial_id": trial.trial_id, "score": trial.score} for trial in search.trials if trial.score is not None
        ],
        "space": directory.space_text(),
        "data": {"path": str(settings["data_dir"])},
        "provenance": provenance(
            settings=settings, command=to_command("tune", settings), data=None, prepare_text=None, run=None
        ),
    }
    return Collected(content=content)


def _trial_row(trial: Trial) -> dict[str, Any]:
    return {
        "trial_id": trial.trial_id,
        "score": trial.score,
        "best_epoch": trial.best_epoch,
        "stopped_by": trial.stopped_by,
        "values": dict(trial.values),
    }


def _finite(metrics: Mapping[str, float]) -> dict[str, float | None]:
    return {name: value if math.isfinite(value) else None for name, value in metrics.items()}


def _sentences(search: SearchState, best: Trial, *, num_scored: int) -> list[str]:
    varied = sorted({name for trial in search.trials for name in trial.values})
    return [
        f"The question: which {', '.join(varied)} give the best {search.objective}?",
        f"The answer: of {counted(len(search.trials), 'trial')}, {num_scored} with a score, trial {best.trial_id} is "
        f"the best, with {best.score:.4f} in epoch {best.best_epoch}.",
        "What it does not say: how good these settings are on other tracks, for which the score is too high.",
    ]
