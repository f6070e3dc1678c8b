import numpy as np
import pytest

from beam_pipelines.audio import windows as windows_module
from beam_pipelines.audio.config import SegmentConfig
from beam_pipelines.audio.decode import stream_samples
from beam_pipelines.audio.segments import cut_segments, segment_length
from beam_pipelines.audio.windows import windows

RATE_HZ = 8_000


def samples_of(seconds, channels=1):
    return np.random.default_rng(0).normal(0, 0.1, (round(seconds * RATE_HZ), channels)).astype(np.float32)


def segments_of(samples, config, start_s=0.0):
    """Returns the starts of the segments in seconds, and the segments."""
    length = segment_length(config, RATE_HZ)
    cuts = cut_segments(samples, config=config, sample_rate_hz=RATE_HZ)
    return [(start_s + cut.start / RATE_HZ, samples[cut.start : cut.start + length]) for cut in cuts.used]


@pytest.mark.parametrize("seconds", [0.5, 7.99, 8.0, 8.3, 8.5, 16.0, 37.123])
@pytest.mark.parametrize(("duration_s", "hop_s"), [(0.5, 0.5), (1.0, 0.25), (0.3, 0.7), (3.0, 3.0), (9.0, 20.0)])
def test_the_windows_have_the_segments_of_the_file(monkeypatch, seconds, duration_s, hop_s):
    monkeypatch.setattr(windows_module, "_WINDOW_S", 4.0)
    config = SegmentConfig(duration_s=duration_s, hop_s=hop_s)
    samples = samples_of(seconds)
    found = [
        segment
        for start_s, window in windows(stream_samples(samples, RATE_HZ), config)
        for segment in segments_of(window[:, 0], config, start_s)
    ]
    expected = segments_of(samples[:, 0], config)
    assert [start_s for start_s, _ in found] == pytest.approx([start_s for start_s, _ in expected], abs=1e-9)
    np.testing.assert_array_equal(np.array([one for _, one in found]), np.array([one for _, one in expected]))


def test_channels_are_mixed_down_and_windows_are_bounded():
    samples = samples_of(604, channels=2)
    found = [window for _, window in windows(stream_samples(samples, RATE_HZ), SegmentConfig(duration_s=3, hop_s=3))]
    assert [window.shape[1] for window in found] == [1] * 6
    assert max(map(len, found)) < 121 * RATE_HZ
    np.testing.assert_allclose(found[0][:100, 0], samples[:100].mean(axis=1), atol=1e-7)
