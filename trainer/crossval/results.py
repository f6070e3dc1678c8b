"""Summarises the runs of a cross-validation, as written to `crossval.json`."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from beam_pipelines.records.schema import TEST
from trainer.metrics.level_metrics import COUNTED_METRICS, LEVELS, TRACK, LevelMetrics
from trainer.metrics.levels import evaluated_tracks
from trainer.metrics.metrics import ClassCounts
from trainer.metrics.predictions import TrackPredictions
from trainer.runs.run_metrics import ModelSummary, RunMetrics, metrics_to_json

# The metrics that are averaged over runs. The level of votes has no probabilities, and so not the last two.
AVERAGED_METRICS = (*COUNTED_METRICS, "loss", "expected_calibration_error")


# The commands that write `crossval.json`.
CROSSVAL, QUICK = "crossval", "quick"


@dataclass(frozen=True)
class ScoredRun:
    """A run that is trained and evaluated.

    Attributes:
        fold: The fold that it was tested on.
        seed: Its seed.
        run_dir: Its directory, relative to that of `crossval.json`.
        metrics: All its metrics.
        tracks: Its predictions of the tracks of the test split.
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
    """The part of `crossval.json` that is known before the first run.

    Attributes:
        data_name: The name of the data set.
        data_path: Its directory.
        source_cache_key: The cache key of the data set.
        cache_key: A hash of the data set and the settings of the folds.
        split_source: How the splits were made.
        split_leak: Why the scores may be too high, or None.
        contamination: A sentence for each feature whose pretrained network learned from the music.
        num_folds: The number of folds.
        seeds: The seeds of each fold.
    """

    data_name: str
    data_path: str
    source_cache_key: str
    cache_key: str
    split_source: str
    split_leak: str | None
    contamination: tuple[str, ...]
    num_folds: int
    seeds: tuple[int, ...]


def crossval_to_json(
    header: CrossvalHeader, runs: Sequence[ScoredRun], *, settings: Mapping[str, Any], command: str = CROSSVAL
) -> str:
    """Returns the text of `crossval.json`.

    `mean` and `sd` are over all runs. `sd_over_seeds` is the standard deviation of the means over folds of each seed,
    the variation due to random training. All are sample standard deviations (divided by n − 1), None for one value.
    `pooled` is computed from the predictions of all runs together, so that each track counts once for each seed; at the
    level of tracks it has 95 % intervals over groups.

    Args:
        header: The part that is known before the first run.
        runs: The finished runs, in the order of folds and seeds.
        settings: The settings of the command.
        command: The command that has these settings.
    """
    content: dict[str, Any] = {
        "kind": "crossval",
        "command": command,
        "finished": len(runs) == header.num_folds * len(header.seeds),
        "data": {
            "name": header.data_name,
            "path": header.data_path,
            "source_fingerprint": header.source_cache_key,
            "fingerprint": header.cache_key,
        },
        "split": {"source": header.split_source, "leak": header.split_leak},
        "contamination": list(header.contamination),
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
    """Returns the model of the runs, with their mean training time.

    Hyperparameters that were tuned on the validation split may differ between folds, and are left out.
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
    """Returns {level: {metric: value}} over all runs; None if a run does not have the metric."""
    return {
        level: {
            name: _summary([getattr(run.test[level], name) for run in runs], summarize) for name in AVERAGED_METRICS
        }
        for level in LEVELS
    }


def sd_over_seeds(runs: Sequence[ScoredRun]) -> dict[str, dict[str, float | None]]:
    """Returns {level: {metric: sd}} of the means over folds of each seed; only folds with all seeds are used."""
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

    The accuracy is the mean over seeds of the share of correctly classified tracks.
    """
    levels = {level: _pooled_counts([run.test[level] for run in runs]) for level in LEVELS}
    tracks = evaluated_tracks(joined([run.tracks for run in runs]))
    intervals = tracks.intervals
    levels[TRACK]["intervals"] = None if intervals is None else {name: asdict(intervals[name]) for name in intervals}
    return levels


def joined(parts: Sequence[TrackPredictions]) -> TrackPredictions:
    """Returns the tracks of all parts, one part after the other; a track of two parts occurs twice."""
    return TrackPredictions(
        track_ids=tuple(name for part in parts for name in part.track_ids),
        groups=tuple(group for part in parts for group in part.groups),
        labels=np.concatenate([part.labels for part in parts]),
        probabilities=np.concatenate([part.probabilities for part in parts]),
    )


def mean(values: Sequence[float]) -> float:
    """Returns the mean of at least one value."""
    return float(np.mean(values))


def sample_sd(values: Sequence[float]) -> float | None:
    """Returns the sample standard deviation (divided by n − 1), or None for one value."""
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
