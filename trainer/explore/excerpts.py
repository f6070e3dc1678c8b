"""Excerpts of tracks to hear in a page: mp3 files of their loudest seconds."""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from beam_pipelines.audio.load import Audio, AudioError
from beam_pipelines.common.bucket_errors import BucketError
from beam_pipelines.common.progress import ProgressReporter
from beam_pipelines.prepare.prepare_yaml import PrepareYaml
from beam_pipelines.records.json_lines import TrackRecord
from trainer.explore.audio_examples import loudest_excerpt, read_track

_MPEG_RATES_HZ = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
_MP3_RATE_HZ = 22_050

# An excerpt → a picture of it as PNG.
Draw = Callable[[Audio], bytes]


@dataclass(frozen=True)
class Excerpt:
    """The loudest seconds of a track.

    Attributes:
        mp3: The excerpt as mp3.
        start_s: Where it starts in the track, in seconds.
        duration_s: Its duration in seconds.
        picture: A picture of it as PNG, or None.
    """

    mp3: bytes
    start_s: float
    duration_s: float
    picture: bytes | None


@dataclass(frozen=True)
class MissingExcerpt:
    """A track without an excerpt.

    Attributes:
        problem: Why its audio cannot be read.
    """

    problem: str


def read_excerpts(
    tracks: Sequence[TrackRecord],
    *,
    data_dir: str,
    preparation: PrepareYaml,
    duration_s: float,
    draw: Draw | None = None,
) -> dict[str, Excerpt | MissingExcerpt]:
    """Returns the loudest excerpt of each track, by its id.

    Args:
        tracks: The tracks.
        data_dir: The data set's directory, which may contain copies of the audio.
        preparation: How audio was decoded.
        duration_s: The duration of an excerpt in seconds; shorter tracks are used whole.
        draw: Returns a picture of an excerpt; None for excerpts without one.
    """
    excerpts: dict[str, Excerpt | MissingExcerpt] = {}
    with ProgressReporter("reading excerpts", total=len(tracks), unit="tracks") as progress:
        for num_done, track in enumerate(tracks, start=1):
            excerpts[track.track_id] = _read_excerpt(
                track, data_dir=data_dir, preparation=preparation, duration_s=duration_s, draw=draw
            )
            progress.update(completed=num_done)
    return excerpts


def _read_excerpt(
    track: TrackRecord, *, data_dir: str, preparation: PrepareYaml, duration_s: float, draw: Draw | None
) -> Excerpt | MissingExcerpt:
    try:
        audio = read_track(track, data_dir=data_dir, preparation=preparation)
    except AudioError as error:
        return MissingExcerpt(problem=error.message)
    except (OSError, BucketError) as error:  # a BucketError: its bucket refuses it, or does not exist
        return MissingExcerpt(problem=str(error))
    rate_hz = audio.sample_rate_hz
    start, samples = loudest_excerpt(audio.samples, sample_rate_hz=rate_hz, duration_s=duration_s)
    return Excerpt(
        mp3=encode_mp3(samples, sample_rate_hz=rate_hz),
        start_s=start / rate_hz,
        duration_s=len(samples) / rate_hz,
        picture=None if draw is None else draw(replace(audio, samples=samples)),
    )


def encode_mp3(samples: NDArray[np.float32], *, sample_rate_hz: int) -> bytes:
    """Returns samples, (samples,) float32, as an mp3 file. MPEG has few rates: others are resampled to 22,050 Hz."""
    if sample_rate_hz not in _MPEG_RATES_HZ:
        samples = soxr.resample(samples, sample_rate_hz, _MP3_RATE_HZ)
        sample_rate_hz = _MP3_RATE_HZ
    target = io.BytesIO()
    soundfile.write(target, samples, sample_rate_hz, format="MP3")
    return target.getvalue()
