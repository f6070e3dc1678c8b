"""Tracks whose genre contradicts what models predict that have not been trained on them.

Confident learning (Northcutt, Jiang, Chuang: Confident Learning, Journal of Artificial Intelligence Research 70, 2021).
The library of its authors, cleanlab, has a licence that does not fit this project, AGPL-3.0; the rules here are its
`filter_by="confident_learning"` and its score `normalized_margin`.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class LabelReview:
    """What probabilities say of the labels of tracks.

    Attributes:
        margins: (tracks,) float64 in [-1, 1], the probability of the label less that of the most probable other genre.
            The lowest are the most likely errors.
        suggested: (tracks,) int64, the most probable genre.
        is_suspected: (tracks,) bool, whether a genre other than the label is at least as probable as it is, on average,
            for the tracks of that genre, and the most probable one of which that holds; and the label is not the most
            probable genre.
        certainty: (tracks,) float64 in [0, 1], the probability of the most probable genre less that of the second.
    """

    margins: NDArray[np.float64]
    suggested: NDArray[np.int64]
    is_suspected: NDArray[np.bool_]
    certainty: NDArray[np.float64]


def review_labels(probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> LabelReview:
    """Compares labels with out-of-sample probabilities.

    Args:
        probabilities: (tracks, genres), of at least two genres, by models that were not trained on the track.
        labels: (tracks,) the genres that the data set states.
    """
    rows = np.arange(len(labels))
    others = probabilities.copy()
    others[rows, labels] = -np.inf
    suggested = probabilities.argmax(axis=1)
    ordered = np.sort(probabilities, axis=1)
    confident = np.where(probabilities >= _thresholds(probabilities, labels), probabilities, -np.inf)
    return LabelReview(
        margins=probabilities[rows, labels] - others.max(axis=1),
        suggested=suggested,
        is_suspected=np.isfinite(confident.max(axis=1)) & (confident.argmax(axis=1) != labels) & (suggested != labels),
        certainty=ordered[:, -1] - ordered[:, -2],
    )


def _thresholds(probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Returns the mean probability of each genre for the tracks that have its label; infinite where there are none."""
    return np.array(
        [
            probabilities[labels == genre, genre].mean() if (labels == genre).any() else np.inf
            for genre in range(probabilities.shape[1])
        ]
    )
