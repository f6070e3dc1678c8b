"""From an audio file to the features of its segments, for preparation and for prediction."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from beam_pipelines.audio.config import AudioConfig, SegmentConfig
from beam_pipelines.audio.decode import stream_samples
from beam_pipelines.audio.load import Audio, AudioError, Limits, load_audio_at_rates, read_at_rates
from beam_pipelines.audio.segments import FittedClip, cut_segments, fit_clip, segment_length
from beam_pipelines.audio.unexpected import unexpected_errors
from beam_pipelines.features.config import FeatureConfig
from beam_pipelines.features.registry import build_features
from beam_pipelines.features.weights_hash import require_same_sources
from beam_pipelines.records.schema import FeatureSpec

__all__ = ["AudioError", "Clip", "FrontEnd", "Segment"]


@dataclass(frozen=True)
class Segment:
    """The features of one segment.

    Attributes:
        index: The index of the segment in its track, silent ones counted.
        start_s: Its start in the track, in seconds.
        features: Arrays by the name of the feature, with the shapes and dtypes of the front end's specs.
    """

    index: int
    start_s: float
    features: Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Clip:
    """The result for one file.

    Attributes:
        audio: The decoded audio.
        fitted: The same, padded or cut to `audio.clip_duration_s` where that is set: segments are cut from it.
        segments: At least one segment.
        num_silent_segments: Segments that are left out because they are silent.
        decode_s: The time taken to decode, mix down and resample, in seconds.
        feature_s: The time taken to cut segments and to compute their features, in seconds.
    """

    audio: Audio
    fitted: FittedClip
    segments: Sequence[Segment]
    num_silent_segments: int
    decode_s: float
    feature_s: float


class FrontEnd:
    """Decodes a file, cuts it into segments and computes their features. Not thread-safe."""

    def __init__(
        self,
        *,
        audio: AudioConfig,
        segment: SegmentConfig,
        features: Mapping[str, FeatureConfig],
        recorded_sources: Mapping[str, Mapping[str, str]] | None = None,
    ) -> None:
        """Builds the features, downloading the weights that they need.

        Args:
            audio: How to decode.
            segment: How to cut.
            features: What to compute, by name.
            recorded_sources: What `source_hashes` returned when the data of a model were prepared; None to compute with
                the files that are there.

        Raises:
            UserError: A name is reserved, a value does not fit the sample rate, or a file differs from the recorded
                one.
        """
        self._audio = audio
        self._segment = segment
        self._features = build_features(features, sample_rate_hz=audio.sample_rate_hz, segment=segment)
        if recorded_sources is not None:
            # After the features are built: this downloads the files.
            require_same_sources(features, recorded=recorded_sources)
        self._rates_hz = sorted({audio.sample_rate_hz, *(feature.sample_rate_hz for feature in self._features)})

    @property
    def specs(self) -> tuple[FeatureSpec, ...]:
        """The name, shape and dtype of each feature."""
        return tuple(feature.spec for feature in self._features)

    @property
    def segment(self) -> SegmentConfig:
        """How audio is cut."""
        return self._segment

    @property
    def max_duration_s(self) -> float:
        """The longest audio that `process` reads, in seconds."""
        return self._audio.max_duration_s

    @property
    def segment_duration_s(self) -> float:
        """The length of a segment in seconds."""
        return self._segment.duration_s

    def process(self, source: BinaryIO, *, whole: bool = False) -> Clip:
        """Returns the features of the segments of one file.

        Args:
            source: The file, open for reading and seeking.
            whole: Whether to use all of the audio, however little of a damaged file it is, and to pad audio that is
                shorter than a segment. Prediction does, so that every file has a result; preparation cuts and pads to
                the settings and rejects audio that is too short or damaged, so that models do not learn from padding.

        Raises:
            AudioError: The file cannot be decoded, is damaged, is too short, or is silent; or a library raised an
                exception that is not expected, and the reason is `unexpected`.
        """
        limits = Limits(
            max_duration_s=self._audio.max_duration_s if whole else self._audio.decoded_duration_s,
            min_decoded_fraction=0.0 if whole else self._audio.min_decoded_fraction,
        )
        started_s = time.perf_counter()
        by_rate = load_audio_at_rates(source, self._rates_hz, limits=limits)
        return self._process(by_rate, whole=whole, started_s=started_s)

    def process_samples(
        self, samples: npt.NDArray[np.float32], *, sample_rate_hz: int, max_duration_s: float | None = None
    ) -> Clip:
        """Takes samples to the features of their segments, as `process` does with whole=True.

        Args:
            samples: (frames, channels) float32; full scale is [-1, 1].
            sample_rate_hz: Frames per second.
            max_duration_s: How much is used; None is the duration in the settings.

        Raises:
            AudioError: The samples are silent or not finite, or their rate or number of channels is out of range.
        """
        started_s = time.perf_counter()
        stream = stream_samples(samples, sample_rate_hz)
        longest_s = self._audio.max_duration_s if max_duration_s is None else max_duration_s
        by_rate = read_at_rates(stream, self._rates_hz, max_duration_s=longest_s)
        return self._process(by_rate, whole=True, started_s=started_s)

    @unexpected_errors("features")
    def _process(self, by_rate: Mapping[int, Audio], *, whole: bool, started_s: float) -> Clip:
        decoded_s = time.perf_counter()
        audio = by_rate[self._audio.sample_rate_hz]
        length = segment_length(self._segment, audio.sample_rate_hz)
        fitted = fit_clip(audio.samples, max(length, len(audio.samples))) if whole else self._fit(audio)
        cuts = cut_segments(fitted.samples, config=self._segment, sample_rate_hz=audio.sample_rate_hz)
        if not cuts.used:
            raise AudioError(
                "silent", f"no segment is louder than {self._segment.silence_threshold_dbfs} dBFS", stage="segment"
            )
        samples_at_rate = {rate_hz: version.samples for rate_hz, version in by_rate.items()}
        samples_at_rate[audio.sample_rate_hz] = fitted.samples
        segments = [
            Segment(
                index=cut.index,
                start_s=cut.start / audio.sample_rate_hz,
                features=self._compute(samples_at_rate, start_s=cut.start / audio.sample_rate_hz),
            )
            for cut in cuts.used
        ]
        return Clip(
            audio=audio,
            fitted=fitted,
            segments=segments,
            num_silent_segments=cuts.num_silent,
            decode_s=decoded_s - started_s,
            feature_s=time.perf_counter() - decoded_s,
        )

    def _fit(self, audio: Audio) -> FittedClip:
        """Pads or cuts audio to `audio.clip_duration_s`.

        Raises:
            AudioError: The audio is too short.
        """
        clip_duration_s = self._audio.clip_duration_s
        fitted = fit_clip(
            audio.samples, None if clip_duration_s is None else round(clip_duration_s * audio.sample_rate_hz)
        )
        fitted_s = len(fitted.samples) / audio.sample_rate_hz
        min_duration_s = self._audio.min_duration_s
        if min_duration_s is not None and audio.duration_s < min_duration_s:
            message = f"{audio.duration_s:.3f} s of audio are less than audio.min_duration_s={min_duration_s}"
        elif (audio.duration_s if min_duration_s is None else fitted_s) < self._segment.duration_s:
            message = f"{audio.duration_s:.3f} s of audio are shorter than a segment of {self._segment.duration_s} s"
        else:
            return fitted
        raise AudioError("too_short", message, stage="segment")

    def _compute(
        self, samples_at_rate: Mapping[int, npt.NDArray[np.float32]], *, start_s: float
    ) -> dict[str, npt.NDArray[Any]]:
        """Computes all features of one segment.

        Args:
            samples_at_rate: The track at every rate that a feature needs, by rate in Hz.
            start_s: The start of the segment.
        """
        segment_at_rate = {}
        for rate_hz, samples in samples_at_rate.items():
            start, length = round(start_s * rate_hz), segment_length(self._segment, rate_hz)
            # At other rates the clip is not padded, and rounding may give an index past the end.
            segment_at_rate[rate_hz] = fit_clip(samples[start : start + length], length).samples
        return {feature.spec.name: feature(segment_at_rate[feature.sample_rate_hz]) for feature in self._features}
