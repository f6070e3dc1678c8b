"""The extremes over bands of a convolution over frames and bands, by the Fourier transform along bands.

By the convolution theorem, the transform of a convolution along bands is the product of those of the input and of the
kernel. For kernels of many bands this takes a sixth of the multiplications, and all of them are products of matrices.

Imports Keras and TensorFlow.
"""

import math
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

# Filters that are computed at once: more take longer, because the spectra do not stay in the cache, and more memory.
_MOST_FILTERS = 64


class ConvolutionExtremes(keras.layers.Layer):  # type: ignore[misc]
    """The lowest and the highest value of a convolution: (patches, frames, bands) → (patches, 2, frames, filters).

    Frames are padded with zeros ("same"), and bands are not ("valid"). The weights are those of a `Conv2D` of one
    channel: kernel (kernel frames, kernel bands, 1, filters), an odd number of frames, and bias (filters,).

    Args:
        filters: The number of filters.
        kernel_size: Frames and bands of the kernel.
    """

    def __init__(self, filters: int, kernel_size: tuple[int, int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._filters, self._kernel_size = filters, kernel_size

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self._kernel = self.add_weight(shape=(*self._kernel_size, 1, self._filters), name="kernel")
        self._bias = self.add_weight(shape=(self._filters,), name="bias")

    def call(self, images: Any) -> Any:
        _, num_frames, num_bands = images.shape
        spectra = _spectra(images, kernel_frames=self._kernel_size[0])
        kernel = tf.squeeze(tf.convert_to_tensor(self._kernel), 2)
        sizes = [len(part) for part in np.array_split(range(self._filters), math.ceil(self._filters / _MOST_FILTERS))]
        parts = [_extremes(spectra, part, num_bands=num_bands) for part in tf.split(kernel, sizes, axis=2)]
        extremes = tf.concat(parts, axis=2) + self._bias
        return tf.transpose(tf.reshape(extremes, (2, -1, num_frames, self._filters)), (1, 0, 2, 3))


def _spectra(images: Any, *, kernel_frames: int) -> Any:
    """(patches, frames, bands) → (bins, 2 · kernel frames, patches · frames).

    For each frame, the real parts of the spectra of the frames that the kernel covers, and then the imaginary parts.
    """
    num_frames, num_bands = images.shape[1:]
    half = kernel_frames // 2
    padded = tf.pad(images, [[0, 0], [half, half], [0, 0]])
    covered = tf.stack([padded[:, start : start + num_frames] for start in range(kernel_frames)])
    angles = 2 * np.pi / num_bands * np.outer(_bins(num_bands), np.arange(num_bands))
    parts = np.stack([np.cos(angles), -np.sin(angles)], axis=1).reshape(-1, num_bands)
    spectra = tf.matmul(_float32(parts), tf.reshape(covered, (-1, num_bands)), transpose_b=True)
    return tf.reshape(spectra, (len(angles), 2 * kernel_frames, -1))


def _extremes(spectra: Any, kernel: Any, *, num_bands: int) -> Any:
    """Returns the lowest and the highest value over the places of a kernel, (2, patches · frames, filters).

    With places counted from the middle one, the values at the places −n and n are even − odd and even + odd, where
    `even` is a sum of cosines and `odd` one of sines: the larger is even + |odd|.

    Args:
        spectra: (bins, 2 · kernel frames, patches · frames).
        kernel: (kernel frames, kernel bands, filters).
        num_bands: The bands of the images.
    """
    _, kernel_bands, filters = kernel.shape
    bins, num_places = _bins(num_bands), num_bands - kernel_bands + 1
    middle = (num_places - 1) / 2
    angles = 2 * np.pi / num_bands * np.outer(bins, np.arange(kernel_bands) + middle)
    # All bins but the first and, of an even number of bands, the last one stand for two.
    scale = np.where((bins == 0) | (2 * bins == num_bands), 1.0, 2.0)[:, None] / num_bands
    cosines = tf.einsum("kb,tbf->ktf", _float32(scale * np.cos(angles)), kernel)
    sines = tf.einsum("kb,tbf->ktf", _float32(scale * np.sin(angles)), kernel)
    real = tf.matmul(spectra, tf.concat([cosines, -sines], axis=1), transpose_a=True)
    imaginary = tf.matmul(spectra, tf.concat([sines, cosines], axis=1), transpose_a=True)
    places = np.arange(num_places) - middle
    angles = 2 * np.pi / num_bands * np.outer(places[places >= 0], bins)
    even = tf.matmul(_float32(np.cos(angles)), tf.reshape(real, (len(bins), -1)))
    odd = tf.abs(tf.matmul(_float32(np.sin(angles)), tf.reshape(imaginary, (len(bins), -1))))
    extremes = tf.stack([tf.reduce_min(even - odd, axis=0), tf.reduce_max(even + odd, axis=0)])
    return tf.reshape(extremes, (2, -1, filters))


def _bins(num_bands: int) -> npt.NDArray[np.int64]:
    return np.arange(num_bands // 2 + 1)


def _float32(array: npt.NDArray[np.float64]) -> Any:
    return tf.constant(array, dtype=tf.float32)
