"""The results of several runs, against scikit-learn and NumPy."""

import json
import statistics
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score, top_k_accuracy_score

from trainer.crossval.results import (
    CrossvalHeader,
    ScoredRun,
    crossval_to_json,
    mean,
    over_runs,
    pooled,
    sample_sd,
    sd_over_seeds,
)
from trainer.metrics.intervals import clopper_pearson, effective_number
from trainer.metrics.levels import evaluated_levels
from trainer.metrics.predictions import Predictions
from trainer.runs.run_metrics import ModelSummary, RunMetrics

LABELS = ("a", "b", "c")
HEADER = CrossvalHeader(
    data_name="mine",
    data_path="prepared/mine",
    source_cache_key="s",
    cache_key="f",
    split_source="folds",
    split_leak=None,
    contamination=("features.m: a network heard it",),
    num_folds=3,
    seeds=(4, 7),
)


def make_predictions(fold: int, seed: int, *, num_tracks: int = 9) -> Predictions:
    """Returns random predictions of the tracks of a fold; their genres and groups are those of the fold."""
    rng = np.random.default_rng([fold, seed])
    segments = rng.dirichlet(np.ones(3), size=3 * num_tracks)
    return Predictions(
        track_ids=tuple(f"{fold}-{number}" for number in range(num_tracks)),
        groups=tuple(f"artist {fold}-{number // 2}" for number in range(num_tracks)),
        labels=np.random.default_rng(fold).permutation(np.arange(num_tracks) % 3),
        segment_probabilities=segments,
        segment_tracks=np.repeat(np.arange(num_tracks), 3),
        segment_starts_s=np.tile(np.arange(3, dtype=np.float32), num_tracks),
    )


def make_run(fold: int, seed: int, *, num_tracks: int = 9, duration_s: float = 2.0) -> ScoredRun:
    predictions = make_predictions(fold, seed, num_tracks=num_tracks)
    metrics = RunMetrics(
        labels=LABELS,
        split_source="folds",
        split_leak=None,
        model=ModelSummary(name="cnn2d", features=("log_mel",), num_parameters=5, train_duration_s=duration_s),
        levels={"test": evaluated_levels(predictions, num_resamples=10)},
    )
    return ScoredRun(
        fold=fold,
        seed=seed,
        run_dir=f"runs/fold-{fold}-seed-{seed}",
        metrics=metrics,
        tracks=predictions.by_track(),
    )


@pytest.fixture
def runs() -> list[ScoredRun]:
    """Three folds of different sizes, two seeds."""
    return [make_run(fold, seed, num_tracks=9 + fold) for fold in range(3) for seed in (4, 7)]


def track_predictions(runs: Sequence[ScoredRun]) -> tuple[np.ndarray, np.ndarray]:
    """Returns labels and probabilities of all tracks of all runs."""
    return (
        np.concatenate([run.tracks.labels for run in runs]),
        np.concatenate([run.tracks.probabilities for run in runs]),
    )


def test_mean_and_sd_are_those_of_a_sample_of_runs(runs: list[ScoredRun]) -> None:
    means, sds = over_runs(runs, mean), over_runs(runs, sample_sd)
    for level in ("segment", "track", "track_vote"):
        for name in ("accuracy", "balanced_accuracy", "macro_f1", "top2_accuracy"):
            values = [getattr(run.test[level], name) for run in runs]
            assert means[level][name] == pytest.approx(statistics.mean(values), abs=1e-12)
            assert sds[level][name] == pytest.approx(statistics.stdev(values), abs=1e-12)
    assert means["track"]["loss"] == pytest.approx(statistics.mean(run.test["track"].loss for run in runs))
    assert means["track_vote"]["loss"] is None and sds["track_vote"]["loss"] is None


def test_the_sd_of_seeds_is_that_of_their_means_over_folds(runs: list[ScoredRun]) -> None:
    of_seed = [statistics.mean(run.test["track"].accuracy for run in runs if run.seed == seed) for seed in (4, 7)]
    assert sd_over_seeds(runs)["track"]["accuracy"] == pytest.approx(statistics.stdev(of_seed), abs=1e-12)


def test_a_fold_that_lacks_a_seed_is_ignored_in_the_sd_of_seeds(runs: list[ScoredRun]) -> None:
    assert sd_over_seeds(runs[:-1]) == sd_over_seeds(runs[:4])
    assert sd_over_seeds(runs[:1])["track"]["accuracy"] is None
    assert sd_over_seeds([runs[0], runs[3]])["track"]["accuracy"] is None


def test_pooled_metrics_are_those_of_all_predictions(runs: list[ScoredRun]) -> None:
    labels, probabilities = track_predictions(runs)
    predicted = probabilities.argmax(axis=1)
    tracks = pooled(runs)["track"]
    assert tracks["num_examples"] == 2 * (9 + 10 + 11)
    assert tracks["accuracy"] == pytest.approx(accuracy_score(labels, predicted), abs=1e-12)
    assert tracks["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(labels, predicted), abs=1e-12)
    assert tracks["macro_f1"] == pytest.approx(f1_score(labels, predicted, average="macro"), abs=1e-12)
    assert tracks["top2_accuracy"] == pytest.approx(top_k_accuracy_score(labels, probabilities, k=2), abs=1e-12)
    # Each seed has all tracks once: the accuracy of all together is the mean of the seeds'.
    of_seed = []
    for seed in (4, 7):
        labels, probabilities = track_predictions([run for run in runs if run.seed == seed])
        of_seed.append(accuracy_score(labels, probabilities.argmax(axis=1)))
    assert tracks["accuracy"] == pytest.approx(statistics.mean(of_seed), abs=1e-12)


def test_pooled_segments_are_counted_over_the_runs(runs: list[ScoredRun]) -> None:
    predictions = [make_predictions(run.fold, run.seed, num_tracks=9 + run.fold) for run in runs]
    labels = np.concatenate([each.segment_labels for each in predictions])
    probabilities = np.concatenate([each.segment_probabilities for each in predictions])
    segments = pooled(runs)["segment"]
    assert segments["num_examples"] == len(labels)
    assert segments["accuracy"] == pytest.approx(accuracy_score(labels, probabilities.argmax(axis=1)), abs=1e-12)
    assert segments["top2_accuracy"] == pytest.approx(top_k_accuracy_score(labels, probabilities, k=2), abs=1e-12)
    assert segments["intervals"] is None


def test_the_interval_of_tracks_draws_groups_with_the_predictions_of_all_seeds(runs: list[ScoredRun]) -> None:
    interval = pooled(runs)["track"]["intervals"]["accuracy"]
    labels, probabilities = track_predictions(runs)
    groups = np.array([group for run in runs for group in run.tracks.groups])
    names = np.unique(groups)
    is_hit = probabilities.argmax(axis=1) == labels
    hits = np.array([is_hit[groups == name].sum() for name in names])
    sizes = np.array([(groups == name).sum() for name in names])
    draws = np.random.default_rng(1).integers(len(names), size=(20_000, len(names)))
    accuracies = hits[draws].sum(axis=1) / sizes[draws].sum(axis=1)
    low, high = np.quantile(accuracies, [0.025, 0.975])
    exact = clopper_pearson(hits.sum() / sizes.sum(), effective_number(hits, sizes - hits))
    # 2,000 resamples find a quantile in a tail of 2.5 % to about 0.01 here.
    assert interval["low"] == pytest.approx(min(low, exact.low), abs=0.02)
    assert interval["high"] == pytest.approx(max(high, exact.high), abs=0.02)


def test_one_run_has_no_sd() -> None:
    content = json.loads(crossval_to_json(replace(HEADER, seeds=(4,)), [make_run(0, 4)], settings={}))
    assert content["sd"]["track"]["accuracy"] is None
    assert content["sd_over_seeds"]["track"]["accuracy"] is None
    assert content["finished"] is False


def test_the_content_of_the_file(runs: list[ScoredRun]) -> None:
    runs = [
        replace(run, metrics=replace(run.metrics, model=replace(run.metrics.model, train_duration_s=float(number))))
        for number, run in enumerate(runs)
    ]
    content = json.loads(crossval_to_json(HEADER, runs, settings={"epochs": 3}))
    assert list(content) == [
        *("kind", "command", "finished", "data", "split", "contamination", "folds", "seeds", "settings", "runs"),
        *("labels", "model", "mean", "sd", "sd_over_seeds", "pooled"),
    ]
    assert (content["kind"], content["finished"]) == ("crossval", True)
    assert content["data"] == {
        "name": "mine",
        "path": "prepared/mine",
        "source_fingerprint": "s",
        "fingerprint": "f",
    }
    assert content["split"] == {"source": "folds", "leak": None}
    assert content["contamination"] == ["features.m: a network heard it"]
    assert (content["folds"], content["seeds"], content["settings"]) == (3, [4, 7], {"epochs": 3})
    assert [(run["fold"], run["seed"]) for run in content["runs"]] == [(0, 4), (0, 7), (1, 4), (1, 7), (2, 4), (2, 7)]
    assert content["runs"][3]["run_dir"] == "runs/fold-1-seed-7"
    assert content["runs"][3]["test"]["track"]["accuracy"] == runs[3].test["track"].accuracy
    assert content["labels"] == ["a", "b", "c"]
    model: dict[str, Any] = content["model"]
    assert (model["name"], model["features"], model["num_parameters"]) == ("cnn2d", ["log_mel"], 5)
    assert model["train_duration_s"] == 2.5


def test_before_the_first_run_there_is_no_result() -> None:
    content = json.loads(crossval_to_json(HEADER, [], settings={}))
    assert content["finished"] is False and content["runs"] == []
    assert "mean" not in content and "model" not in content
