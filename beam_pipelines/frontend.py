"""The way from a file to the features of its segments: one implementation for preparation and prediction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import yaml

from beam_pipelines.audio import Audio, AudioError, content_hash, load_audio
from beam_pipelines.config import FEATURE_CONFIGS, AudioConfig, FeatureConfig, PrepareConfig, SegmentConfig
from beam_pipelines.features import build_features
from beam_pipelines.records.schema import FeatureSpec
from beam_pipelines.segments import cut_segments, segment_length

__all__ = ["AudioError", "Clip", "FrontEnd", "Segment"]


@dataclass(frozen=True)
class Segment:
    """The features of one segment.

    Attributes:
        index: The place of the segment in its track.
        start_s: Where it starts, in seconds.
        features: Arrays by the name of the feature, in the shapes and dtypes of the front end's specs.
    """

    index: int
    start_s: float
    features: Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Clip:
    """One file, taken through the front end.

    Attributes:
        duration_s: The length of the decoded audio.
        content_hash: Equal for files that sound exactly alike (see `audio.content_hash`).
        segments: At least one segment.
        num_silent_segments: Segments left out because they are silent.
        is_cut: Whether the file went on after the longest duration that is decoded.
    """

    duration_s: float
    content_hash: str
    segments: Sequence[Segment]
    num_silent_segments: int
    is_cut: bool


class FrontEnd:
    """Decodes, cuts and featurises. One object serves one thread at a time."""

    def __init__(self, *, audio: AudioConfig, segment: SegmentConfig, features: Mapping[str, FeatureConfig]) -> None:
        self._audio = audio
        self._segment = segment
        self._features = build_features(
            features,
            sample_rate_hz=audio.sample_rate_hz,
            segment_num_samples=segment_length(segment, audio.sample_rate_hz),
        )

    @classmethod
    def from_config(cls, config: PrepareConfig) -> "FrontEnd":
        """Makes the front end that prepares data with a configuration."""
        return cls(audio=config.audio, segment=config.segment, features=config.features)

    @classmethod
    def from_prepare_yaml(cls, text: str) -> "FrontEnd":
        """Makes the front end that prepared the data which `prepare.yaml` describes."""
        config: Mapping[str, Any] = yaml.safe_load(text)["config"]
        features = {name: FEATURE_CONFIGS[values["kind"]](**values) for name, values in config["features"].items()}
        return cls(audio=AudioConfig(**config["audio"]), segment=SegmentConfig(**config["segment"]), features=features)

    @property
    def specs(self) -> tuple[FeatureSpec, ...]:
        """The name, shape and dtype of each feature."""
        return tuple(feature.spec for feature in self._features)

    def process(self, source: BinaryIO, *, pad_short: bool = False) -> Clip:
        """Takes one file to the features of its segments.

        Args:
            source: The file, open for reading and seeking.
            pad_short: Whether audio shorter than a segment is followed by silence up to its length. Preparation does
                not do that, so that models do not learn from padding; prediction does, so that it has an answer.

        Raises:
            AudioError: The file cannot be decoded, is shorter than a segment, or is silent.
        """
        audio = load_audio(source, self._audio)
        length = segment_length(self._segment, audio.sample_rate_hz)
        samples = audio.samples
        if len(samples) < length:
            if not pad_short:
                raise AudioError(
                    "too_short",
                    f"{audio.duration_s:.3f} s of audio are shorter than a segment of {self._segment.duration_s} s",
                    stage="segment",
                )
            samples = np.pad(samples, (0, length - len(samples)))

        cuts = cut_segments(samples, config=self._segment, sample_rate_hz=audio.sample_rate_hz)
        if not cuts.used:
            raise AudioError(
                "silent", f"no segment is louder than {self._segment.silence_threshold_dbfs} dBFS", stage="segment"
            )
        segments = [
            Segment(
                index=cut.index,
                start_s=cut.start / audio.sample_rate_hz,
                features=self._compute(samples[cut.start : cut.start + length]),
            )
            for cut in cuts.used
        ]
        return _clip(audio, segments=segments, num_silent_segments=cuts.num_silent)

    def _compute(self, segment: npt.NDArray[np.float32]) -> dict[str, npt.NDArray[Any]]:
        return {feature.spec.name: feature(segment) for feature in self._features}


def _clip(audio: Audio, *, segments: Sequence[Segment], num_silent_segments: int) -> Clip:
    return Clip(
        duration_s=audio.duration_s,
        content_hash=content_hash(audio),
        segments=segments,
        num_silent_segments=num_silent_segments,
        is_cut=audio.is_cut,
    )
