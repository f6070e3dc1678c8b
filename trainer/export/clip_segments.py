"""The segments of clips as samples, cut as `beamtune predict` cuts them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from beam_pipelines.audio.decode import stream_samples
from beam_pipelines.audio.load import read_at_rates
from beam_pipelines.audio.segments import cut_segments, fit_clip, segment_length
from beam_pipelines.prepare.prepare_yaml import PrepareYaml
from trainer.export.reference_clips import ReferenceClip


def segments_of_clip(clip: ReferenceClip, settings: PrepareYaml, *, rate_hz: int) -> NDArray[np.float32]:
    """Returns the segments of a clip that are not silent, (segments, samples); none of a silent clip.

    Args:
        clip: The clip.
        settings: The settings that the data were prepared with.
        rate_hz: The rate of the samples to return.
    """
    data_rate_hz, config = settings.audio.sample_rate_hz, settings.segment
    by_rate = read_at_rates(
        stream_samples(clip.samples[:, None], clip.sample_rate_hz),
        sorted({data_rate_hz, rate_hz}),
        max_duration_s=len(clip.samples) / clip.sample_rate_hz,
    )
    at_data_rate = by_rate[data_rate_hz].samples
    fitted = fit_clip(at_data_rate, max(segment_length(config, data_rate_hz), len(at_data_rate))).samples
    cuts = cut_segments(fitted, config=config, sample_rate_hz=data_rate_hz)
    samples = fitted if rate_hz == data_rate_hz else by_rate[rate_hz].samples
    length = segment_length(config, rate_hz)
    starts = [round(cut.start / data_rate_hz * rate_hz) for cut in cuts.used]
    segments = [fit_clip(samples[start : start + length], length).samples for start in starts]
    return np.stack(segments) if segments else np.zeros((0, length), np.float32)


def join_segments(
    clips: Sequence[ReferenceClip], settings: PrepareYaml, *, rate_hz: int
) -> tuple[NDArray[np.float32], list[int]]:
    """Returns the segments of all clips, (segments, samples), and the number of segments of each clip."""
    parts = [segments_of_clip(clip, settings, rate_hz=rate_hz) for clip in clips]
    return np.concatenate(parts), [len(part) for part in parts]
