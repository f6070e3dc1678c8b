"""Nested cross-validation of logistic regression: its C is chosen inside each fold, so that its score is honest.

The tracks of the outer fold take no part in the choice. See G. Cawley and N. Talbot, "On over-fitting in model
selection and subsequent selection bias in performance evaluation", Journal of Machine Learning Research 11, 2010.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from beam_pipelines.common.errors import UserError
from beam_pipelines.splits.assign import FOLDS, assign_folds
from trainer.baselines.config import VectorConfig
from trainer.baselines.fitting import FittedLearner, fit
from trainer.baselines.learners import LEARNERS
from trainer.baselines.vectors import Vectors
from trainer.metrics.metrics import cross_entropy, mean_by_track
from trainer.quick.labelled_tracks import LabelledTracks

# In steps of a factor of about 3: tens of songs need the larger ones, and hundreds the smaller ones.
C_VALUES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
# Where a genre has too few artists to choose by folds.
DEFAULT_C = 0.01
_LEARNER = LEARNERS["logistic_regression"]


@dataclass(frozen=True, eq=False)
class FoldResult:
    """The result of one outer fold.

    Attributes:
        fold: Its number.
        c: The inverse strength of the L2 penalty that was chosen on the other folds, the `C` of scikit-learn.
        test: The segments of the fold.
        probabilities: (segments, classes) float64, of these segments.
        num_parameters: The number of fitted parameters.
        fit_duration_s: The seconds of the choice and the fit.
    """

    fold: int
    c: float
    test: Vectors
    probabilities: NDArray[np.float64]
    num_parameters: int | None
    fit_duration_s: float


def find_folds(data: LabelledTracks, *, most: int, seed: int) -> Mapping[str, int]:
    """Returns the fold of each track, by its id, with as many folds as there can be.

    Every fold has tracks of each genre, and no group is in two folds.

    Args:
        data: The tracks.
        most: The most folds.
        seed: The seed of the order in which groups are assigned.

    Raises:
        UserError: Not even two folds are possible; the message says which genre has too few artists.
    """
    for num_folds in range(most, 1, -1):
        try:
            return assign_folds(data.tracks, source=FOLDS, num_folds=num_folds, seed=seed, joined=data.joined)
        except UserError:
            if num_folds == 2:
                raise
    raise UserError(f"folds={most}: expected at least 2 folds")


def choose_c(
    data: LabelledTracks, c_values: Sequence[float], *, most_folds: int, seed: int, config: VectorConfig
) -> float:
    """Returns the C with the lowest cross-entropy of tracks in a cross-validation that keeps groups apart.

    Args:
        data: The tracks.
        c_values: The candidates; of equally good ones, the first is chosen.
        most_folds: The most folds; there are fewer if a genre has fewer groups.
        seed: The seed of the folds.
        config: How classes are weighted.

    Returns:
        One of the candidates; `DEFAULT_C` if there cannot be two folds.
    """
    try:
        fold_of = find_folds(data, most=most_folds, seed=seed)
    except UserError:
        return DEFAULT_C
    parts = [_divided(data, fold_of, fold) for fold in range(max(fold_of.values()) + 1)]

    def loss(c: float) -> float:
        scored = [
            _track_scores(fit_c(c, train, config=config).probabilities(test.vectors.values), test.vectors)
            for train, test in parts
        ]
        probabilities, labels = (np.concatenate(arrays) for arrays in zip(*scored, strict=True))
        return cross_entropy(probabilities, labels)

    return min(c_values, key=loss)


def nested_cross_validation(
    data: LabelledTracks,
    c_values: Sequence[float],
    *,
    fold_of: Mapping[str, int],
    seed: int,
    config: VectorConfig,
    on_fold: Callable[[FoldResult], None] = lambda result: None,
) -> list[FoldResult]:
    """Returns the predictions for each fold by a classifier that was fitted, and its C chosen, on the others alone.

    Args:
        data: The tracks.
        c_values: The candidates.
        fold_of: The fold of each track, by its id.
        seed: The seed of the inner folds, of which there are at most as many as outer ones.
        config: How classes are weighted.
        on_fold: Called after each fold.
    """
    num_folds = max(fold_of.values()) + 1
    results = []
    for fold in range(num_folds):
        started_s = time.monotonic()
        train, test = _divided(data, fold_of, fold)
        c = choose_c(train, c_values, most_folds=num_folds, seed=seed, config=config)
        fitted = fit_c(c, train, config=config)
        results.append(
            FoldResult(
                fold=fold,
                c=c,
                test=test.vectors,
                probabilities=fitted.probabilities(test.vectors.values),
                num_parameters=fitted.num_parameters,
                fit_duration_s=time.monotonic() - started_s,
            )
        )
        on_fold(results[-1])
    return results


def fit_c(c: float, data: LabelledTracks, *, config: VectorConfig) -> FittedLearner:
    """Returns logistic regression that is fitted to all segments."""
    # It has probabilities: no temperature is fitted to the second vectors.
    return fit(_LEARNER, {"C": c}, data.vectors, data.vectors, config=config, num_classes=data.num_classes)


def _divided(data: LabelledTracks, fold_of: Mapping[str, int], fold: int) -> tuple[LabelledTracks, LabelledTracks]:
    """Returns the tracks of the other folds, and those of the fold."""
    test = {name for name, number in fold_of.items() if number == fold}
    return data.only(set(fold_of) - test), data.only(test)


def _track_scores(
    probabilities: NDArray[np.float64], vectors: Vectors
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Returns the mean probabilities of each track, (tracks, classes), and its label."""
    _, first_segments, tracks = np.unique(
        np.array(vectors.track_ids, dtype=object), return_index=True, return_inverse=True
    )
    means = mean_by_track(probabilities, tracks, num_tracks=len(first_segments))
    return means, vectors.labels[first_segments]
