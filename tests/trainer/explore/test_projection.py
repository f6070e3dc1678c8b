"""The projection on principal components, against NumPy's singular value decomposition."""

import numpy as np
import pytest

from trainer.explore.feature_statistics import TrackVectors
from trainer.explore.projection import project


def vectors(values):
    return TrackVectors(
        feature="log_mel", track_ids=tuple(str(index) for index in range(len(values))), values=np.array(values, float)
    )


def test_components_are_singular_vectors_with_a_positive_largest_weight():
    values = np.random.default_rng(0).normal(size=(40, 6)) * [5, 1, 3, 1, 1, 1] + 100
    projection = project(vectors(values))
    centred = values - values.mean(axis=0)
    _, lengths, directions = np.linalg.svd(centred, full_matrices=False)
    for axis in range(2):
        direction = directions[axis] * np.sign(directions[axis][np.abs(directions[axis]).argmax()])
        np.testing.assert_allclose(projection.positions[:, axis], centred @ direction, atol=1e-9)
    np.testing.assert_allclose(projection.explained, (lengths**2 / (lengths**2).sum())[:2], rtol=1e-9)
    assert projection.num_not_finite == 0


def test_tracks_that_are_not_finite_are_left_out_and_counted():
    values = np.random.default_rng(0).normal(size=(10, 4))
    values[3, 2] = np.nan
    values[7, 0] = np.inf
    projection = project(vectors(values))
    assert projection.num_not_finite == 2
    assert projection.track_ids == ("0", "1", "2", "4", "5", "6", "8", "9")
    assert projection.positions.shape == (8, 2)


@pytest.mark.parametrize(
    "values",
    [np.zeros((0, 4)), np.eye(2), np.full((9, 4), -33.1), np.arange(9.0)[:, None], np.full((5, 3), np.nan)],
    ids=["no tracks", "two tracks", "equal", "one dimension", "NaN"],
)
def test_there_is_no_projection_of_too_few_or_equal_vectors(values):
    assert project(vectors(values)) is None
