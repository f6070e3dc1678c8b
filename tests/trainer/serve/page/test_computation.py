"""What the modules of the page of `beamtune serve` compute, against numpy, librosa and libsndfile."""

import base64
import io
from typing import Any

import librosa
import numpy as np
import pytest
import soundfile
from serve_page import computed, show
from stub_service import StubService

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def page(browser, stub: StubService) -> Any:
    """The browser, with the page open."""
    show(browser, stub.url)
    return browser


def test_the_spectrogram_is_that_of_numpy_and_librosa(page) -> None:
    rng = np.random.default_rng(0)
    samples = (0.1 * rng.normal(size=9000)).astype(np.float32)
    bands = """module.melBands({numBands: 128, fftSize: 2048, sampleRateHz: 22050, minHz: 30})
      .map(({first, weights}) => [first, Array.from(weights)])"""
    filters = np.zeros((128, 1025))
    for band, (first, weights) in enumerate(computed(page, "spectrogram.js", bands)):
        filters[band, first : first + len(weights)] = weights
    expected = librosa.filters.mel(sr=22050, n_fft=2048, n_mels=128, fmin=30, htk=True, norm=None)
    np.testing.assert_allclose(filters, expected, atol=1e-6)

    found = computed(
        page,
        "spectrogram.js",
        """module.melSpectrogram(Float32Array.from(values[0]), {signal: new AbortController().signal})
          .then(({numColumns, values}) => [numColumns, Array.from(values)])""",
        samples.tolist(),
    )
    num_columns, values = found
    assert num_columns == 18  # 4 * 9000 / 2048, rounded up
    hop = 9000 / 18
    padded = np.pad(samples.astype(np.float64), 1024)
    window = np.hanning(2049)[:-1]
    powers = [
        np.abs(np.fft.rfft(window * padded[centre : centre + 2048])) ** 2
        for centre in (int((column + 0.5) * hop) for column in range(18))
    ]
    mel = np.stack(powers) @ expected.T
    decibels = np.maximum(-80, 10 * np.log10(mel / mel.max()))
    np.testing.assert_allclose(np.reshape(values, (18, 128)), decibels, atol=2e-3)


def test_peaks_are_those_of_each_column(page) -> None:
    samples = np.random.default_rng(1).uniform(-1, 1, 1000).astype(np.float32)
    low, high = computed(
        page,
        "spectrogram.js",
        """module.peaks(Float32Array.from(values[0]), {numColumns: 40, signal: new AbortController().signal})
          .then(({low, high}) => [Array.from(low), Array.from(high)])""",
        samples.tolist(),
    )
    columns = samples.reshape(40, 25)
    np.testing.assert_array_equal(np.float32(low), columns.min(1))
    np.testing.assert_array_equal(np.float32(high), columns.max(1))


def test_wav_files_are_those_of_libsndfile(page) -> None:
    samples = [0.0, 1.0, -1.0, 0.5, -0.25, 3.0, -3.0, 1 / 32767]
    encoded = computed(
        page,
        "recording.js",
        """module.wavFile([module.toInt16(values[0]), new Int16Array([7])], 44100).arrayBuffer()
          .then(buffer => btoa(String.fromCharCode(...new Uint8Array(buffer))))""",
        samples,
    )
    expected = io.BytesIO()
    values = np.array([0, 32767, -32767, 16384, -8192, 32767, -32767, 1, 7], np.int16)
    soundfile.write(expected, values, 44100, format="WAV", subtype="PCM_16")
    assert base64.b64decode(encoded) == expected.getvalue()


def test_recordings_fit_the_limits(page) -> None:
    longest = "module.maxSamples({max_duration_s: values[0], max_upload_bytes: values[1]}, 48000)"
    assert computed(page, "recording.js", longest, 2, 10**9) == 96_000
    assert computed(page, "recording.js", longest, 3600, 1044) == 500
    assert computed(page, "recording.js", longest, 3600, 10) == 0
