"""What the runs of a cross-validation come to together, as `crossval.json` holds it."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from beam_pipelines.records.schema import TEST
from trainer.metrics.levels import LEVELS, TRACK, evaluated_tracks
from trainer.metrics.metrics import COUNTED_METRICS, ClassCounts, LevelMetrics
from trainer.metrics.predictions import TrackPredictions
from trainer.runs.run_metrics import ModelSummary, RunMetrics, metrics_to_json

# What is averaged over runs. The last two are missing where there are no probabilities, as with votes.
AVERAGED_METRICS = (*COUNTED_METRICS, "loss", "expected_calibration_error")


@dataclass(frozen=True)
class ScoredRun:
    """A finished run of one fold with one seed.

    Attributes:
        fold: The fold that it was tested on.
        seed: Its seed.
        run_dir: Its directory, relative to that of the results.
        metrics: All its metrics.
        tracks: What it predicts of the test split's tracks.
    """

    fold: int
    seed: int
    run_dir: str
    metrics: RunMetrics
    tracks: TrackPredictions

    @property
    def test(self) -> Mapping[str, LevelMetrics]:
        """The metrics of the test split, by level."""
        return self.metrics.levels[TEST]


@dataclass(frozen=True)
class CrossvalHeader:
    """What is known of a cross-validation before its first run is finished.

    Attributes:
        data_name: The name of the data set.
        data_path: Where it was.
        source_fingerprint: That of the data set before it was divided.
        fingerprint: Changes whenever the data or their partition do.
        split_source: Who made the splits.
        split_leak: Why the scores may be too high, or None.
        num_folds: How many folds there are.
        seeds: The seeds of each fold.
    """

    data_name: str
    data_path: str
    source_fingerprint: str
    fingerprint: str
    split_source: str
    split_leak: str | None
    num_folds: int
    seeds: tuple[int, ...]


def crossval_to_json(header: CrossvalHeader, runs: Sequence[ScoredRun], *, settings: Mapping[str, Any]) -> str:
    """Returns the text of `crossval.json`.

    `mean` and `sd` are those over all runs; `sd_over_seeds` is that of the seeds' means over all folds, which tells how
    much is chance in training; each sd is that of a sample (divided by n − 1), and None of one. `pooled` has the
    predictions of all runs together, so that each track counts once for each seed; its intervals are 95 % ones by a
    bootstrap over groups, and only the level of tracks has them.

    Args:
        header: What is known beforehand.
        runs: Those that are finished, in the order of folds and seeds.
        settings: What the command was told.
    """
    content: dict[str, Any] = {
        "kind": "crossval",
        "finished": len(runs) == header.num_folds * len(header.seeds),
        "data": {
            "name": header.data_name,
            "path": header.data_path,
            "source_fingerprint": header.source_fingerprint,
            "fingerprint": header.fingerprint,
        },
        "split": {"source": header.split_source, "leak": header.split_leak},
        "folds": header.num_folds,
        "seeds": list(header.seeds),
        "settings": dict(settings),
        "runs": [
            {
                "fold": run.fold,
                "seed": run.seed,
                "run_dir": run.run_dir,
                "train_duration_s": run.metrics.model.train_duration_s,
                TEST: metrics_to_json(run.test),
            }
            for run in runs
        ],
    }
    if runs:
        content |= {
            "labels": list(runs[0].metrics.labels),
            "model": asdict(model_of(runs)),
            "mean": over_runs(runs, mean),
            "sd": over_runs(runs, sample_sd),
            "sd_over_seeds": sd_over_seeds(runs),
            "pooled": pooled(runs),
        }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def model_of(runs: Sequence[ScoredRun]) -> ModelSummary:
    """Returns what was trained; the seconds are the mean of the runs.

    Settings that were chosen on the validation split may be others in each fold, and are left out.
    """
    first = runs[0].metrics.model
    return ModelSummary(
        name=first.name,
        features=first.features,
        num_parameters=first.num_parameters,
        train_duration_s=sum(run.metrics.model.train_duration_s for run in runs) / len(runs),
    )


def over_runs(
    runs: Sequence[ScoredRun], summarize: Callable[[Sequence[float]], float | None]
) -> dict[str, dict[str, float | None]]:
    """Returns {level: {metric: value}} of all runs; None where a run has no such metric."""
    return {
        level: {
            name: _summary([getattr(run.test[level], name) for run in runs], summarize) for name in AVERAGED_METRICS
        }
        for level in LEVELS
    }


def sd_over_seeds(runs: Sequence[ScoredRun]) -> dict[str, dict[str, float | None]]:
    """Returns {level: {metric: sd}} of the seeds' means over all folds; only folds that have all seeds count."""
    seeds = sorted({run.seed for run in runs})
    seeds_of_fold = {fold: {run.seed for run in runs if run.fold == fold} for fold in {run.fold for run in runs}}
    complete = [run for run in runs if len(seeds_of_fold[run.fold]) == len(seeds)]
    if not complete:
        return {level: dict.fromkeys(AVERAGED_METRICS) for level in LEVELS}
    by_seed = [over_runs([run for run in complete if run.seed == seed], mean) for seed in seeds]
    return {
        level: {name: _summary([means[level][name] for means in by_seed], sample_sd) for name in AVERAGED_METRICS}
        for level in LEVELS
    }


def pooled(runs: Sequence[ScoredRun]) -> dict[str, dict[str, Any]]:
    """Returns {level: {metric: value}} of the predictions of all runs together, with intervals for tracks.

    The accuracy is the mean over seeds of the share of all tracks that are classified rightly.
    """
    levels = {level: _pooled_counts([run.test[level] for run in runs]) for level in LEVELS}
    parts = [run.tracks for run in runs]
    tracks = evaluated_tracks(
        TrackPredictions(
            track_ids=tuple(name for part in parts for name in part.track_ids),
            groups=tuple(group for part in parts for group in part.groups),
            labels=np.concatenate([part.labels for part in parts]),
            probabilities=np.concatenate([part.probabilities for part in parts]),
        )
    )
    intervals = tracks.intervals
    levels[TRACK]["intervals"] = None if intervals is None else {name: asdict(intervals[name]) for name in intervals}
    return levels


def mean(values: Sequence[float]) -> float:
    """Returns the mean of at least one value."""
    return float(np.mean(values))


def sample_sd(values: Sequence[float]) -> float | None:
    """Returns the standard deviation of a sample (divided by n − 1), or None where there is one value."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else None


def _summary(values: Sequence[float | None], summarize: Callable[[Sequence[float]], float | None]) -> float | None:
    present = [value for value in values if value is not None]
    return summarize(present) if len(present) == len(values) else None


def _pooled_counts(levels: Sequence[LevelMetrics]) -> dict[str, Any]:
    matrix = np.sum([metrics.confusion_matrix for metrics in levels], axis=0)
    num_in_top2 = sum(round(metrics.top2_accuracy * metrics.num_examples) for metrics in levels)
    counts = ClassCounts(
        num_true=matrix.sum(axis=1),
        num_predicted=matrix.sum(axis=0),
        num_hits=np.diag(matrix),
        num_in_top2=np.array(num_in_top2),
    )
    return {
        "num_examples": int(matrix.sum()),
        **{name: float(value) for name, value in counts.metrics().items()},
        "intervals": None,
    }
