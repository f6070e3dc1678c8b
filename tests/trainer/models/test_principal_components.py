"""Principal components from sums of vectors, against scikit-learn's of all vectors at once."""

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.decomposition import PCA

from beam_pipelines.common.errors import UserError
from trainer.models.principal_components import VectorSums, count_directions


def sums_of(vectors: NDArray[np.float32], *, batch_size: int = 70) -> VectorSums:
    sums = VectorSums(vectors.shape[1])
    for start in range(0, len(vectors), batch_size):
        sums.add(vectors[start : start + batch_size])
    return sums


@pytest.fixture(scope="module")
def vectors() -> NDArray[np.float32]:
    """300 correlated vectors of 20 values, of which two are constant, with a mean that is not 0."""
    rng = np.random.default_rng(0)
    found = rng.normal(size=(300, 20)) @ rng.normal(size=(20, 20)) * 0.2 + rng.normal(size=20)
    found[:, [3, 11]] = 0.7
    return found.astype(np.float32)


@pytest.mark.parametrize("whiten", [False, True])
@pytest.mark.parametrize("num_components", [1, 5, 18])
def test_they_are_those_of_scikit_learn(vectors: NDArray[np.float32], num_components: int, whiten: bool) -> None:
    expected = PCA(num_components, whiten=whiten, svd_solver="full").fit(vectors.astype(np.float64))
    mean, projection = sums_of(vectors).principal_components(num_components, whiten=whiten, feature="yamnet")
    assert (mean.shape, projection.shape) == ((20,), (20, num_components))
    np.testing.assert_allclose(mean, expected.mean_, rtol=1e-9)
    np.testing.assert_allclose((vectors - mean) @ projection, expected.transform(vectors), rtol=1e-5, atol=1e-5)
    if whiten:
        np.testing.assert_allclose(
            np.cov((vectors - mean) @ projection, rowvar=False), np.eye(num_components), atol=1e-6
        )


def test_the_size_of_batches_does_not_matter(vectors: NDArray[np.float32]) -> None:
    found = [sums_of(vectors, batch_size=size).principal_components(5, whiten=True, feature="y") for size in (1, 300)]
    for one, all_at_once in zip(*found, strict=True):
        np.testing.assert_allclose(one, all_at_once, rtol=1e-9, atol=1e-12)


def test_the_largest_value_of_a_component_is_positive(vectors: NDArray[np.float32]) -> None:
    for sign in (1, -1):
        _, projection = sums_of(sign * vectors).principal_components(18, whiten=False, feature="yamnet")
        assert (projection[np.abs(projection).argmax(axis=0), np.arange(18)] > 0).all()


def test_constant_values_are_no_directions_to_whiten(vectors: NDArray[np.float32]) -> None:
    with pytest.raises(UserError) as caught:
        sums_of(vectors).principal_components(19, whiten=True, feature="yamnet")
    assert str(caught.value) == (
        "model.pca=19: expected at most 18 components with model.whiten=true, because the vectors of yamnet in the "
        "train split do not vary in others"
    )
    _, projection = sums_of(vectors).principal_components(19, whiten=False, feature="yamnet")
    np.testing.assert_allclose(projection.T @ projection, np.eye(19), atol=1e-12)


@pytest.mark.parametrize(("num_vectors", "num_components"), [(0, 1), (1, 1), (4, 5)])
def test_fewer_vectors_than_components_are_an_error(
    vectors: NDArray[np.float32], num_vectors: int, num_components: int
) -> None:
    with pytest.raises(UserError) as caught:
        sums_of(vectors[:num_vectors]).principal_components(num_components, whiten=False, feature="musicnn")
    assert str(caught.value) == (
        f"model.pca={num_components}: expected at most {num_vectors} components, because the train split has "
        f"{num_vectors} vectors of musicnn, at least 2 of which are needed"
    )


def test_equal_vectors_cannot_be_whitened() -> None:
    with pytest.raises(UserError, match="expected at most 0 components with model.whiten=true"):
        sums_of(np.ones((5, 3), np.float32)).principal_components(1, whiten=True, feature="yamnet")


def test_directions_are_counted_relative_to_the_largest() -> None:
    assert count_directions(np.array([4.0, 1e-3, 3e-10])) == 2
    assert count_directions(np.array([4e-30, 1e-33, 3e-40])) == 2
    assert count_directions(np.zeros(3)) == 0
