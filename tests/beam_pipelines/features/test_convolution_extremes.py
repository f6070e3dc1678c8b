"""The independent source is the convolution itself in numpy, in float64."""

import numpy as np
import pytest

from beam_pipelines.features.convolution_extremes import ConvolutionExtremes


@pytest.mark.parametrize(
    ("num_bands", "filters", "kernel_size"),
    [
        pytest.param(12, 5, (3, 7), id="an even number of places"),
        pytest.param(12, 5, (3, 6), id="an odd number of places"),
        pytest.param(11, 5, (1, 4), id="an odd number of bands"),
        pytest.param(6, 5, (3, 6), id="one place"),
        pytest.param(6, 5, (3, 1), id="a kernel of one band"),
        pytest.param(8, 130, (3, 3), id="filters in parts"),
    ],
)
def test_extremes_are_those_of_the_convolution(num_bands, filters, kernel_size):
    random = np.random.default_rng(0)
    images = random.normal(size=(2, 9, num_bands)).astype(np.float32)
    kernel = random.normal(size=(*kernel_size, 1, filters)).astype(np.float32)
    bias = random.normal(size=filters).astype(np.float32)
    layer = ConvolutionExtremes(filters, kernel_size)
    layer.build(images.shape)
    layer.set_weights([kernel, bias])
    got = layer(images).numpy()
    half = kernel_size[0] // 2
    padded = np.pad(images.astype(np.float64), [(0, 0), (half, half), (0, 0)])
    covered = np.lib.stride_tricks.sliding_window_view(padded, kernel_size, axis=(1, 2))
    convolved = np.einsum("ptbij,ijf->ptbf", covered, kernel[:, :, 0].astype(np.float64)) + bias
    expected = np.stack([convolved.min(axis=2), convolved.max(axis=2)], axis=1)
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-5)
