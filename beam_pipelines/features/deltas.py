"""Deltas: derivatives of features over time.

The values equal those of librosa 0.11, `librosa.feature.delta(mode="interp")`: the derivative of a polynomial that is
fitted to the frames around each frame (Savitzky and Golay 1964); the first and last frames use the outermost fit.
"""

import functools

import numpy as np
import numpy.typing as npt
import scipy.sparse

DELTA_WIDTH = 9  # frames that a polynomial is fitted to: librosa's `width`


def delta(features: npt.NDArray[np.float32], *, order: int = 1, width: int = DELTA_WIDTH) -> npt.NDArray[np.float32]:
    """Returns a derivative along time, (frames, coefficients) → the same shape, float32.

    Args:
        features: (frames, coefficients) float32.
        order: The order of the derivative, 1 or more, which is also the degree of the polynomial.
        width: The number of frames that it is fitted to, odd and larger than `order`.

    Raises:
        ValueError: There are fewer frames than `width`.
    """
    num_frames = len(features)
    if num_frames < width:
        raise ValueError(f"deltas over {width} frames need at least {width} frames, and there are {num_frames}")
    derivative: npt.NDArray[np.float32] = (_operator(num_frames, order, width) @ features).astype(np.float32)
    return derivative


def with_deltas(features: npt.NDArray[np.float32], num_deltas: int) -> npt.NDArray[np.float32]:
    """Appends derivatives to the coefficients, (frames, coefficients) → (frames, coefficients * (1 + num_deltas)).

    Args:
        features: (frames, coefficients) float32.
        num_deltas: 0 for none, 1 for the first derivative, 2 for the first and then the second.

    Raises:
        ValueError: There are fewer frames than `DELTA_WIDTH`, and `num_deltas` is not 0.
    """
    return np.concatenate([features, *(delta(features, order=order) for order in range(1, num_deltas + 1))], axis=1)


@functools.lru_cache(maxsize=16)
def _operator(num_frames: int, order: int, width: int) -> scipy.sparse.csr_matrix:
    """Returns the filter as a matrix, (frames, frames) float64, which depends only on the number of frames."""
    import scipy.signal  # takes half a second, and most features have no deltas

    identity = np.eye(num_frames)
    return scipy.sparse.csr_matrix(
        scipy.signal.savgol_filter(identity, width, polyorder=order, deriv=order, axis=0, mode="interp")
    )
