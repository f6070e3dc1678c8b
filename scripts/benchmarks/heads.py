"""Which classifier of embeddings: nested cross-validation, artists apart in the outer and in the inner folds.

    scripts/bench heads DATA_DIR musicnn --seeds 5

DATA_DIR is a prepared data set. Each family of classifiers has candidates. Of these, the one with the highest accuracy
of tracks in four inner folds of the training part of an outer fold, and the one with the lowest cross-entropy, are
fitted to that part and predict the outer fold. Each seed has other outer and inner folds.
"""

import argparse
import os
import warnings
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from beam_pipelines.splits.assign import FOLDS, assign_folds
from trainer.metrics.metrics import cross_entropy, mean_by_track, softmax
from trainer.quick.labelled_tracks import LabelledTracks, read_labelled_tracks

_NUM_FOLDS, _NUM_INNER_FOLDS = 5, 4
_INNER_SEEDS_FROM = 100


@dataclass(frozen=True)
class Candidate:
    """A classifier: its learner, what it is fitted to ("segment", or "track", the mean of segments), its setting."""

    learner: str
    unit: str
    setting: float


@dataclass(frozen=True, eq=False)
class Songs:
    """The segments, (segments, values), and the tracks that they are of, in the order of `names`."""

    values: NDArray[np.float64]
    track: NDArray[np.int64]
    labels: NDArray[np.int64]
    means: NDArray[np.float64]


FAMILIES: Mapping[str, Sequence[Candidate]] = {
    f"{learner}, {unit}s": [Candidate(learner, unit, setting) for setting in settings]
    for learner, unit, settings in (
        ("logistic regression", "segment", (1e-4, 1e-3, 1e-2, 1e-1)),
        ("logistic regression", "track", (1e-3, 1e-2, 1e-1, 1.0)),
        ("SVM", "segment", (0.1, 1.0, 10.0, 100.0)),
        ("SVM", "track", (0.1, 1.0, 10.0, 100.0)),
        ("kNN", "segment", (5, 15, 45)),
    )
}


def main() -> None:
    """Prints a row for each family and way to choose."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench heads", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data_dir")
    parser.add_argument("features", nargs="+")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--learners", nargs="+", help="the first words of the families to compare; default: all")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    data = read_labelled_tracks(arguments.data_dir, arguments.features)
    families = {
        name: candidates
        for name, candidates in FAMILIES.items()
        if arguments.learners is None or name.startswith(tuple(arguments.learners))
    }
    scores: dict[str, list[tuple[float, float, float]]] = defaultdict(list)
    for seed in range(arguments.seeds):
        for name, found in scores_of_seed(data, families, seed=seed).items():
            scores[name].append(found)
        print(f"seed {seed} is done", flush=True)
    print("classifier: accuracy of tracks, mean ± standard deviation over seeds; macro-F1; cross-entropy")
    for name, rows in scores.items():
        accuracy, f1, loss = np.mean(rows, axis=0)
        deviation = np.std([row[0] for row in rows], ddof=1) if len(rows) > 1 else 0.0
        print(f"{name}: {accuracy:.3f} ± {deviation:.3f}; {f1:.3f}; {loss:.3f}")


def scores_of_seed(
    data: LabelledTracks, families: Mapping[str, Sequence[Candidate]], *, seed: int
) -> dict[str, tuple[float, float, float]]:
    """Returns accuracy, macro-F1 and cross-entropy of the tracks of all outer folds, by family and way to choose."""
    names, first, track = np.unique(
        np.array(data.vectors.track_ids, dtype=object), return_index=True, return_inverse=True
    )
    values = data.vectors.values.astype(np.float64)
    means = mean_by_track(values, track, num_tracks=len(names))
    songs = Songs(values=values, track=track, labels=data.vectors.labels[first], means=means)
    folds = assign_folds(data.tracks, source=FOLDS, num_folds=_NUM_FOLDS, seed=seed)
    outer = np.array([folds[name] for name in names])
    out_of_fold: dict[str, NDArray[np.float64]] = defaultdict(lambda: np.zeros((len(names), data.num_classes)))
    for fold in range(_NUM_FOLDS):
        is_train = outer != fold
        members = [one for one in data.tracks if folds[one.track_id] != fold]
        inner_folds = assign_folds(members, source=FOLDS, num_folds=_NUM_INNER_FOLDS, seed=seed + _INNER_SEEDS_FROM)
        inner = np.array([inner_folds.get(name, -1) for name in names])
        for family, candidates in families.items():
            for way, candidate in chosen(candidates, songs, inner=inner).items():
                found = probabilities(candidate, songs, is_train=is_train, is_test=~is_train)
                out_of_fold[f"{family}, by {way}"][~is_train] = found
    return {
        name: (
            float(np.mean(found.argmax(axis=1) == songs.labels)),
            float(f1_score(songs.labels, found.argmax(axis=1), average="macro")),
            cross_entropy(found, songs.labels),
        )
        for name, found in out_of_fold.items()
    }


def chosen(candidates: Sequence[Candidate], songs: Songs, *, inner: NDArray[np.int64]) -> dict[str, Candidate]:
    """Returns the candidates with the highest accuracy and the lowest cross-entropy in the inner folds."""
    is_member = inner >= 0
    labels = songs.labels[is_member]
    ranks: list[tuple[float, float]] = []
    for candidate in candidates:
        found = np.zeros((len(inner), songs.labels.max() + 1))
        for fold in range(_NUM_INNER_FOLDS):
            is_test = inner == fold
            found[is_test] = probabilities(candidate, songs, is_train=is_member & ~is_test, is_test=is_test)
        accuracy = float(np.mean(found[is_member].argmax(axis=1) == labels))
        ranks.append((accuracy, -cross_entropy(found[is_member], labels)))
    places = range(len(candidates))
    return {
        "accuracy": candidates[max(places, key=lambda place: ranks[place])],
        "loss": candidates[max(places, key=lambda place: ranks[place][1])],
    }


def probabilities(
    candidate: Candidate, songs: Songs, *, is_train: NDArray[np.bool_], is_test: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Returns the mean probabilities of the segments of each test track, (test tracks, classes)."""
    model = make_pipeline(StandardScaler(), _estimator(candidate))
    if candidate.unit == "segment":
        rows = is_train[songs.track]
        model.fit(songs.values[rows], songs.labels[songs.track[rows]])
    else:
        model.fit(songs.means[is_train], songs.labels[is_train])
    rows = is_test[songs.track]
    found = _probabilities_of(model, songs.values[rows])
    place = np.cumsum(is_test) - 1
    return mean_by_track(found, place[songs.track[rows]], num_tracks=int(is_test.sum()))


def _estimator(candidate: Candidate) -> Any:
    if candidate.learner == "kNN":
        return KNeighborsClassifier(int(candidate.setting), weights="distance")
    if candidate.learner == "SVM":
        return SVC(C=candidate.setting, class_weight="balanced")
    return LogisticRegression(C=candidate.setting, class_weight="balanced", max_iter=1000)


def _probabilities_of(model: Any, values: NDArray[np.float64]) -> NDArray[np.float64]:
    if hasattr(model, "predict_proba"):
        return np.asarray(model.predict_proba(values))
    return softmax(model.decision_function(values))


if __name__ == "__main__":
    main()
