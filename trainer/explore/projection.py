"""Projects the mean vectors of tracks on their first two principal components."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA

from trainer.explore.feature_statistics import TrackVectors

# Smaller relative deviations are rounding errors of equal vectors, which have no principal components.
_SMALLEST_RELATIVE_DEVIATION = 1e-9


@dataclass(frozen=True)
class Projection:
    """Tracks on two principal components.

    Attributes:
        feature: The feature whose means were projected.
        track_ids: The tracks.
        positions: (tracks, 2) float64, in the units of the feature: the axes are not scaled.
        explained: The share of the variance that each component explains, 0 to 1.
        num_not_finite: Tracks left out because their vectors contain NaN or infinity.
    """

    feature: str
    track_ids: tuple[str, ...]
    positions: NDArray[np.float64]
    explained: tuple[float, float]
    num_not_finite: int


def project(vectors: TrackVectors) -> Projection | None:
    """Projects tracks on their first two principal components (`sklearn.decomposition.PCA`).

    The largest weight of each component is made positive, so that the signs do not depend on the solver.

    Returns:
        The projection; None if there are fewer than three tracks or two dimensions, or all vectors are equal.
    """
    is_finite = np.all(np.isfinite(vectors.values), axis=1)
    values = vectors.values[is_finite]
    if len(values) < 3 or values.shape[1] < 2:
        return None
    deviation = values.std(axis=0).max()
    if deviation <= _SMALLEST_RELATIVE_DEVIATION * np.abs(values).max():
        return None
    pca = PCA(n_components=2, svd_solver="covariance_eigh")
    positions = pca.fit_transform(values)
    largest = np.abs(pca.components_).argmax(axis=1)
    signs = np.sign(pca.components_[[0, 1], largest])
    first, second = pca.explained_variance_ratio_
    return Projection(
        feature=vectors.feature,
        track_ids=tuple(track_id for track_id, kept in zip(vectors.track_ids, is_finite, strict=True) if kept),
        positions=positions * signs,
        explained=(float(first), float(second)),
        num_not_finite=int((~is_finite).sum()),
    )
