"""Spectra and filter banks as TensorFlow operations.

The Fourier transform has three forms, because not every runtime has every one of them: `Fourier`.
"""

from enum import Enum
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from beam_pipelines.audio.filters import hann_window


class Fourier(Enum):
    """How spectra are computed.

    Attributes:
        FFT_FLOAT64: In float64, as in the preparation. TFLite and ONNX have no such operation.
        FFT_FLOAT32: In float32. TFLite has it; ONNX has it for batches of a fixed size only.
        MATRIX_FLOAT32: The product of the frames and a constant matrix, in float32, for every runtime. The matrix has
            window · window values.
    """

    FFT_FLOAT64 = "fft_float64"
    FFT_FLOAT32 = "fft_float32"
    MATRIX_FLOAT32 = "matrix_float32"

    @property
    def dtype(self) -> Any:
        """The dtype of the spectra."""
        return tf.float64 if self is Fourier.FFT_FLOAT64 else tf.float32


def power_spectra(samples: Any, *, window_length: int, hop_length: int, fft_length: int, fourier: Fourier) -> Any:
    """(segments, samples) float32 → (segments, frames, bins): the squared magnitudes under Hann windows."""
    frames = tf.signal.frame(tf.cast(samples, fourier.dtype), window_length, hop_length)
    window = hann_window(window_length)
    if fourier is Fourier.MATRIX_FLOAT32:
        num_bins = fft_length // 2 + 1
        parts = tf.matmul(frames, tf.constant(_dft_matrix(window, fft_length)))
        real, imaginary = parts[..., :num_bins], parts[..., num_bins:]
    else:
        spectra = tf.signal.rfft(frames * tf.constant(window, fourier.dtype), [fft_length])
        real, imaginary = tf.math.real(spectra), tf.math.imag(spectra)
    return tf.square(real) + tf.square(imaginary)


def _dft_matrix(window: NDArray[np.float64], fft_length: int) -> NDArray[np.float32]:
    """Returns the windowed transform, (window, 2 · bins): the columns of the real parts, then of the imaginary ones."""
    # The products are reduced as integers: the cosine of a large angle has no precision.
    products = np.outer(np.arange(len(window)), np.arange(fft_length // 2 + 1)) % fft_length
    angles = 2 * np.pi * products / fft_length
    matrix: NDArray[np.float64] = window[:, None] * np.concatenate([np.cos(angles), np.sin(angles)], axis=1)
    return matrix.astype(np.float32)


def matmul_float(values: Any, filters: NDArray[Any]) -> Any:
    """(segments, frames, values) → (segments, frames, filters): the product with constants (filters, values).

    The constants are the left factor: the converter of TensorFlow Lite quantises those on the right with the weights of
    the network, and with them the values, of whose 80 dB 8 bits keep the loudest part only.
    """
    return tf.transpose(tf.matmul(tf.constant(filters, values.dtype), values, transpose_b=True), [0, 2, 1])
