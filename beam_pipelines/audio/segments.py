"""Padding or cutting a clip to one length, and cutting it into segments."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from beam_pipelines.audio.config import SegmentConfig
from beam_pipelines.audio.load import mean_square


@dataclass(frozen=True)
class FittedClip:
    """A clip after padding or cutting.

    Attributes:
        samples: (frames,) float32.
        num_padded: Samples of silence appended.
        num_cut: Samples removed at the end.
    """

    samples: npt.NDArray[np.float32]
    num_padded: int = 0
    num_cut: int = 0


@dataclass(frozen=True)
class Cut:
    """The position of one segment in its track.

    Attributes:
        index: The number of the segment from 0, with silent segments counted.
        start: The first sample.
    """

    index: int
    start: int


@dataclass(frozen=True)
class Cuts:
    """The segments of a track that are used, and the number of segments that are left out because they are silent."""

    used: Sequence[Cut]
    num_silent: int


def fit_clip(samples: npt.NDArray[np.float32], num_samples: int | None) -> FittedClip:
    """Cuts a clip at its end, or appends silence, to a number of samples.

    Args:
        samples: (frames,) float32.
        num_samples: The length of the result; None returns the clip unchanged.
    """
    if num_samples is None or num_samples == len(samples):
        return FittedClip(samples)
    if len(samples) > num_samples:
        return FittedClip(samples[:num_samples], num_cut=len(samples) - num_samples)
    num_padded = num_samples - len(samples)
    return FittedClip(np.pad(samples, (0, num_padded)), num_padded=num_padded)


def segment_length(config: SegmentConfig, sample_rate_hz: int) -> int:
    """Returns the number of samples in a segment."""
    return round(config.duration_s * sample_rate_hz)


def count_segments(num_samples: int, *, config: SegmentConfig, sample_rate_hz: int) -> int:
    """Returns the number of whole segments in a track."""
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
        if mean_square(segment) >= quietest_power:
            used.append(Cut(index=index, start=start))
    return Cuts(used=used, num_silent=num_segments - len(used))
