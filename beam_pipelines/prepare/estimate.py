"""Estimates of how much audio files hold and how many segments they give, from their headers, one clip and sizes."""

import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from beam_pipelines.audio.config import AudioConfig, SegmentConfig
from beam_pipelines.audio.expected_length import expected_length
from beam_pipelines.audio.load import AudioError
from beam_pipelines.audio.segments import count_segments
from beam_pipelines.audio.unexpected import unexpected_errors
from beam_pipelines.common.paths import is_local
from beam_pipelines.common.storage import open_local
from beam_pipelines.datasets.track import Track
from beam_pipelines.prepare.config import PrepareConfig
from beam_pipelines.prepare.plan import estimated_duration_s, extension

# The headers of as many files are read, for as long at most: all frames of an mp3 are counted.
_MAX_FILES = 500
_MAX_TIME_S = 5.0
# The whole files, so that seconds per byte are right: the longest that a setting allows.
_LONGEST_S = 36_000.0


@dataclass(frozen=True)
class Estimate:
    """An estimate for one track.

    Attributes:
        audio_s: Seconds that are decoded.
        num_segments: Its segments, if none is silent; a fraction where it is a mean.
    """

    audio_s: float
    num_segments: float


class Estimator:
    """Estimates tracks: by their lengths where these are known, otherwise by their sizes.

    Seconds per byte are those of the tracks with known lengths and the same extension; without any, those that
    `plan.estimated_duration_s` assumes.
    """

    def __init__(self, tracks: Sequence[Track], known_s: Mapping[str, float], *, config: PrepareConfig) -> None:
        """Compares the known lengths with the sizes.

        Args:
            tracks: All tracks.
            known_s: Lengths of whole files in seconds, by the id of the track.
            config: How audio is decoded and cut.
        """
        self._known_s = known_s
        self._config = config
        known = [(track, known_s[track.track_id]) for track in tracks if track.track_id in known_s]
        self._length_scale = _ratios(
            (extension(track), length_s, estimated_duration_s(track)) for track, length_s in known
        )
        # Where all files are as long as a number of segments, sizes would give one segment less for half of the files.
        self._segments_scale = _ratios(
            (extension(track), self._segments(length_s), self._segments(self._length_by_size_s(track)))
            for track, length_s in known
        )

    def __call__(self, track: Track) -> Estimate:
        """Returns the estimate for a track."""
        known_s = self._known_s.get(track.track_id)
        length_s = self._length_by_size_s(track) if known_s is None else known_s
        scale = self._segments_scale.get(extension(track), 1.0) if known_s is None else 1.0
        return Estimate(
            audio_s=min(length_s, self._config.audio.decoded_duration_s),
            num_segments=scale * self._segments(length_s),
        )

    def _length_by_size_s(self, track: Track) -> float:
        return estimated_duration_s(track) * self._length_scale.get(extension(track), 1.0)

    def _segments(self, length_s: float) -> int:
        return segments_of(length_s, audio=self._config.audio, segment=self._config.segment)


def _ratios(values: Iterable[tuple[str, float, float]]) -> dict[str, float]:
    """Returns the sum of second values divided by that of third ones for each name, where this is not 0."""
    sums: defaultdict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for name, true, assumed in values:
        sums[name][0] += true
        sums[name][1] += assumed
    return {name: true / assumed for name, (true, assumed) in sums.items() if assumed > 0}


def segments_of(length_s: float, *, audio: AudioConfig, segment: SegmentConfig) -> int:
    """Returns the number of segments, silent ones counted, of a file of a length in seconds."""
    decoded_s = min(length_s, audio.max_duration_s)
    needed_s = segment.duration_s if audio.min_duration_s is None else audio.min_duration_s
    if round(decoded_s * audio.sample_rate_hz) < round(needed_s * audio.sample_rate_hz):
        return 0
    cut_s = decoded_s if audio.clip_duration_s is None else audio.clip_duration_s
    return count_segments(round(cut_s * audio.sample_rate_hz), config=segment, sample_rate_hz=audio.sample_rate_hz)


def lengths_from_headers(tracks: Sequence[Track]) -> dict[str, float]:
    """Returns the lengths in seconds of local files whose headers say them, by track id: of a sample of many files."""
    local = [track for track in tracks if track.size_bytes > 0 and is_local(track.uri)]
    step = max(len(local) / _MAX_FILES, 1.0)
    end_s = time.monotonic() + _MAX_TIME_S
    lengths_s = {}
    for index in range(min(len(local), _MAX_FILES)):
        track = local[int(index * step)]
        length_s = _length_from_headers(track)
        if length_s is not None:
            lengths_s[track.track_id] = length_s
        if time.monotonic() > end_s:
            break
    return lengths_s


def _length_from_headers(track: Track) -> float | None:
    try:
        return _read_length_s(track.uri)
    except (OSError, AudioError):
        return None


@unexpected_errors("open")
def _read_length_s(path: str) -> float | None:
    """Returns the length of a file in seconds, or None if its headers do not say."""
    with open_local(path) as source:
        length = expected_length(source, max_duration_s=_LONGEST_S)
    return None if length is None else length.num_present / length.sample_rate_hz
