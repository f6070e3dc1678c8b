"""Principal components of vectors that do not fit into memory: from their sum and the sum of their products."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from beam_pipelines.common.checks import check

# Of the variance of the first component. Rounding errors of float32 have about 1e-14 of it.
_LEAST_SHARE_OF_VARIANCE = 1e-10


def count_directions(variances: NDArray[Any]) -> int:
    """Returns the number of components in which vectors vary by more than rounding errors.

    Args:
        variances: (components,), of each principal component, the largest first.
    """
    return int((variances > _LEAST_SHARE_OF_VARIANCE * variances[0]).sum())


class VectorSums:
    """The sums of vectors and of their products, in float64.

    The differences that give covariances lose few digits as long as the vectors are standardised. The memory is that of
    (values, values), however many vectors there are.
    """

    def __init__(self, size: int) -> None:
        """Starts without vectors.

        Args:
            size: The number of values of a vector.
        """
        self._num_vectors = 0
        self._sum = np.zeros(size)
        self._products = np.zeros((size, size))

    def add(self, vectors: NDArray[Any]) -> None:
        """Adds vectors, (vectors, size)."""
        exact = vectors.astype(np.float64)
        self._num_vectors += len(exact)
        self._sum += exact.sum(axis=0)
        self._products += exact.T @ exact

    def principal_components(
        self, num_components: int, *, whiten: bool, feature: str
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Returns the mean, (size,), and the projection on the first components, (size, num_components).

        They are those of `sklearn.decomposition.PCA`, with its sign: of each component, the value with the largest
        magnitude is positive.

        Args:
            num_components: The number of components, at most `size`.
            whiten: Whether the projection divides each component by its standard deviation.
            feature: The name of the feature, for messages.

        Raises:
            UserError: There are fewer vectors than components, or, to whiten, fewer directions in which they vary.
        """
        check(
            num_components <= self._num_vectors and self._num_vectors >= 2,
            key="model.pca",
            value=num_components,
            expected=f"at most {self._num_vectors} components, because the train split has {self._num_vectors} vectors "
            f"of {feature}, at least 2 of which are needed",
        )
        mean = self._sum / self._num_vectors
        covariance = (self._products - self._num_vectors * np.outer(mean, mean)) / (self._num_vectors - 1)
        # In ascending order.
        variances, directions = np.linalg.eigh(covariance)
        variances, directions = variances[::-1], directions[:, ::-1][:, :num_components]
        largest = np.abs(directions).argmax(axis=0)
        directions = directions * np.where(directions[largest, np.arange(num_components)] < 0, -1.0, 1.0)
        if whiten:
            num_directions = count_directions(variances)
            check(
                num_components <= num_directions,
                key="model.pca",
                value=num_components,
                expected=f"at most {num_directions} components with model.whiten=true, because the vectors of "
                f"{feature} in the train split do not vary in others",
            )
            directions = directions / np.sqrt(variances[:num_components])
        return mean, directions
