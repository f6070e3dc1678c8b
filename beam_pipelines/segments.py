"""Cutting a track into segments of one length."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from beam_pipelines.config import SegmentConfig


@dataclass(frozen=True)
class Cut:
    """Where one segment lies in its track.

    Attributes:
        index: The place among the segments that the hop makes, counted from 0, silent ones included.
        start: The first sample.
    """

    index: int
    start: int


@dataclass(frozen=True)
class Cuts:
    """The segments of a track that are to be used, and how many were left out because they are silent."""

    used: Sequence[Cut]
    num_silent: int


def segment_length(config: SegmentConfig, sample_rate_hz: int) -> int:
    """Returns the number of samples in a segment."""
    return round(config.duration_s * sample_rate_hz)


def count_segments(num_samples: int, *, config: SegmentConfig, sample_rate_hz: int) -> int:
    """Returns how many whole segments fit into a track."""
    length = segment_length(config, sample_rate_hz)
    hop = round(config.hop_s * sample_rate_hz)
    return 0 if num_samples < length else 1 + (num_samples - length) // hop


def cut_segments(samples: npt.NDArray[np.float32], *, config: SegmentConfig, sample_rate_hz: int) -> Cuts:
    """Finds the whole segments of a track that are not silent.

    Args:
        samples: (frames,) float32.
        config: Length, hop and silence threshold.
        sample_rate_hz: The rate of the samples.
    """
    length = segment_length(config, sample_rate_hz)
    hop = round(config.hop_s * sample_rate_hz)
    quietest_power = 10.0 ** (config.silence_threshold_dbfs / 10.0)
    used = []
    num_segments = count_segments(len(samples), config=config, sample_rate_hz=sample_rate_hz)
    for index in range(num_segments):
        start = index * hop
        segment = samples[start : start + length]
        if float(np.dot(segment, segment)) / length >= quietest_power:
            used.append(Cut(index=index, start=start))
    return Cuts(used=used, num_silent=num_segments - len(used))
