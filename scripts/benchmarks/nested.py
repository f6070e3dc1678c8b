"""Nested cross-validation: the score of settings that are chosen anew for each fold, without its test split.

    scripts/bench nested CROSSVAL CROSSVAL …
    scripts/bench nested --mean CROSSVAL CROSSVAL …

Each CROSSVAL is a finished output_dir of `beamtune crossval`, or of one learner in it, with other settings on the same
data and the same number of folds. For each fold the one with the highest accuracy of validation tracks is chosen, the
mean over its seeds; of equal ones that with the lower loss. Its runs alone are scored on the test split of the fold.

With --mean nothing is chosen: a track's probabilities are the mean over all candidates, each the mean over its seeds.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from beam_pipelines.records.schema import TEST, VALIDATION
from trainer.crossval.results import ScoredRun, joined, mean, pooled, sample_sd
from trainer.metrics.level_metrics import TRACK, Interval
from trainer.metrics.levels import evaluated_tracks
from trainer.metrics.predictions import TrackPredictions
from trainer.metrics.score_tables import score_text
from trainer.runs.prediction_files import read_predictions
from trainer.runs.run_dir import RunDir


def main() -> None:
    """Prints the choice and the score of each fold, and the score of all; or the scores of the mean of all."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench nested", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("crossval", nargs="+", help="cross-validations of the candidates")
    parser.add_argument("--mean", action="store_true", help="score the mean of all candidates, without a choice")
    arguments = parser.parse_args()
    needed_split = TEST if arguments.mean else VALIDATION
    candidates = {path: read_runs(Path(path), needed_split) for path in arguments.crossval}
    if arguments.mean:
        print_scores({fold: average(candidates, fold) for fold in folds_of(candidates)})
        return
    chosen = choose(candidates)
    runs = [run for fold, name in chosen.items() for run in candidates[name] if run.fold == fold]
    for fold, name in chosen.items():
        print(f"fold {fold}: {name}, test accuracy {mean([accuracy(run) for run in runs if run.fold == fold]):.3f}")
    accuracies = [accuracy(run) for run in runs]
    print(f"mean {mean(accuracies):.3f} ± {score_text(sample_sd(accuracies))}")
    tracks = pooled(runs)[TRACK]
    interval = None if tracks["intervals"] is None else Interval(**tracks["intervals"]["accuracy"])
    print(f"pooled over all test tracks: {score_text(tracks['accuracy'], interval)}")


def print_scores(folds: Mapping[int, TrackPredictions]) -> None:
    """Prints the accuracy of the tracks of each fold, and of all."""
    accuracies = []
    for fold, tracks in folds.items():
        accuracies.append(float(np.mean(tracks.probabilities.argmax(axis=1) == tracks.labels)))
        print(f"fold {fold}: test accuracy {accuracies[-1]:.3f}")
    print(f"mean {mean(accuracies):.3f} ± {score_text(sample_sd(accuracies))}")
    together = evaluated_tracks(joined(list(folds.values())))
    interval = None if together.intervals is None else together.intervals["accuracy"]
    print(f"pooled over all test tracks: {score_text(together.accuracy, interval)}")


def read_runs(directory: Path, needed_split: str) -> list[ScoredRun]:
    """Returns the runs of a finished cross-validation; raises UserError for one without metrics of the split."""
    content = json.loads((directory / "crossval.json").read_text(encoding="utf-8"))
    if not content["finished"]:
        raise SystemExit(f"{directory} is not finished: run its beamtune crossval command again")
    runs = []
    for entry in content["runs"]:
        run = RunDir(str(directory / entry["run_dir"]))
        tracks, _ = read_predictions(run, TEST)
        runs.append(ScoredRun(entry["fold"], entry["seed"], run.path, run.metrics_with(needed_split), tracks))
    return runs


def choose(candidates: Mapping[str, Sequence[ScoredRun]]) -> dict[int, str]:
    """Returns the name of the candidate of each fold that is best on the validation split; of equal ones the first."""
    return {
        fold: max(candidates, key=lambda name: _validation_score(candidates[name], fold))
        for fold in folds_of(candidates)
    }


def average(candidates: Mapping[str, Sequence[ScoredRun]], fold: int) -> TrackPredictions:
    """Returns the test tracks of a fold: the mean probabilities of all candidates, each the mean over its seeds."""
    by_candidate = [[run.tracks for run in runs if run.fold == fold] for runs in candidates.values()]
    first = by_candidate[0][0]
    if any(tracks.track_ids != first.track_ids for runs in by_candidate for tracks in runs):
        raise SystemExit(f"fold {fold}: the cross-validations have other test tracks: expected the same folds in all")
    means = [np.mean([tracks.probabilities for tracks in runs], axis=0) for runs in by_candidate]
    return replace(first, probabilities=np.mean(means, axis=0))


def folds_of(candidates: Mapping[str, Sequence[ScoredRun]]) -> list[int]:
    """Returns the numbers of the folds."""
    return sorted({run.fold for runs in candidates.values() for run in runs})


def accuracy(run: ScoredRun) -> float:
    """Returns the share of tracks of the test split that are right."""
    return run.test[TRACK].accuracy


def _validation_score(runs: Sequence[ScoredRun], fold: int) -> tuple[float, float]:
    levels = [run.metrics.levels[VALIDATION][TRACK] for run in runs if run.fold == fold]
    # To 9 digits, so that sums in another order are equal.
    return round(mean([level.accuracy for level in levels]), 9), -mean([float(level.loss or 0.0) for level in levels])


if __name__ == "__main__":
    main()
