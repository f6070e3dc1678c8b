import numpy as np
import pytest

from beam_pipelines.audio.config import SegmentConfig
from beam_pipelines.audio.segments import Cut, count_segments, cut_segments, segment_length
from beam_pipelines.common.errors import UserError

RATE_HZ = 1000


def test_segments_start_hop_by_hop_and_the_rest_is_not_used():
    samples = np.full(10_500, 0.5, dtype=np.float32)
    cuts = cut_segments(samples, config=SegmentConfig(duration_s=3.0, hop_s=3.0), sample_rate_hz=RATE_HZ)
    assert cuts.used == [Cut(0, 0), Cut(1, 3000), Cut(2, 6000)]
    assert cuts.num_silent == 0


def test_a_hop_shorter_than_the_segment_overlaps():
    samples = np.full(4_000, 0.5, dtype=np.float32)
    cuts = cut_segments(samples, config=SegmentConfig(duration_s=3.0, hop_s=0.5), sample_rate_hz=RATE_HZ)
    assert [cut.start for cut in cuts.used] == [0, 500, 1000]


@pytest.mark.parametrize(("num_samples", "expected"), [(0, 0), (1, 0), (2999, 0), (3000, 1), (5999, 1), (6000, 2)])
def test_only_whole_segments_count(num_samples, expected):
    config = SegmentConfig(duration_s=3.0, hop_s=3.0)
    assert count_segments(num_samples, config=config, sample_rate_hz=RATE_HZ) == expected


def test_silent_segments_are_left_out_and_the_others_keep_their_places():
    samples = np.full(9_000, 0.5, dtype=np.float32)
    samples[3000:6000] = 0.0
    cuts = cut_segments(samples, config=SegmentConfig(duration_s=3.0, hop_s=3.0), sample_rate_hz=RATE_HZ)
    assert cuts.used == [Cut(0, 0), Cut(2, 6000)]
    assert cuts.num_silent == 1


@pytest.mark.parametrize(("level", "is_used"), [(0.00101, True), (0.00099, False)])
def test_the_threshold_is_an_rms_level_in_dbfs(level, is_used):
    """-60 dBFS of a constant is an amplitude of one thousandth."""
    samples = np.full(3_000, level, dtype=np.float32)
    config = SegmentConfig(duration_s=3.0, hop_s=3.0, silence_threshold_dbfs=-60.0)
    assert bool(cut_segments(samples, config=config, sample_rate_hz=RATE_HZ).used) == is_used


def test_a_segment_of_three_seconds_at_16_khz_has_48000_samples():
    assert segment_length(SegmentConfig(duration_s=3.0), 16_000) == 48_000


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"duration_s": 0.05}, "segment.duration_s=0.05: expected a length from 0.1 to 600 s"),
        ({"hop_s": 0.0}, "segment.hop_s=0.0"),
        ({"silence_threshold_dbfs": 3.0}, "segment.silence_threshold_dbfs=3.0"),
    ],
)
def test_values_out_of_range_are_named(values, message):
    with pytest.raises(UserError, match=message.replace(".", r"\.")):
        SegmentConfig(**values)
