"""The samples of a segment as a feature."""

import numpy as np
import numpy.typing as npt

from beam_pipelines.audio.encode import to_pcm16
from beam_pipelines.features.config import WaveformConfig
from beam_pipelines.records.schema import FeatureSpec


class Waveform:
    """The samples of a segment as 16-bit PCM, (samples,) → (samples,): x becomes rint(32768 x), clipped to 16 bits."""

    def __init__(self, name: str, config: WaveformConfig, *, sample_rate_hz: int, segment_num_samples: int) -> None:
        self.sample_rate_hz = sample_rate_hz
        self.spec = FeatureSpec(name=name, shape=(segment_num_samples,), dtype=config.dtype)

    def __call__(self, segment: npt.NDArray[np.float32]) -> npt.NDArray[np.int16]:
        """Returns the samples, (samples,) int16."""
        return to_pcm16(segment)
