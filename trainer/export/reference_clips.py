"""The sounds that an export is compared on with `beamtune predict`: clips of the prepared data, and synthetic ones."""

import io
from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from beam_pipelines.audio.choose_decoder import Limits, decode
from beam_pipelines.audio.decode import AudioError, AudioStream
from beam_pipelines.audio.encode import encode_wav
from beam_pipelines.audio.load import Audio, read_at_rates
from beam_pipelines.common.bucket_errors import BucketError
from beam_pipelines.common.errors import UserError
from beam_pipelines.records.json_lines import TrackRecord
from beam_pipelines.records.schema import SPLITS, TEST, TRAIN
from trainer.common import files
from trainer.data.prepared import open_prepared, read_tracks
from trainer.runs.run_dir import RunDir

_LONGEST_S = 60.0
_SYNTHETIC_S = 5.0
# Another rate than data have, so that it is resampled.
_SYNTHETIC_RATE_HZ = 44_100
NUM_SYNTHETIC = 3


@dataclass(frozen=True, eq=False)
class ReferenceClip:
    """A sound.

    Attributes:
        name: The id of the track, or what the sound is.
        samples: (samples,) float32, mono.
        sample_rate_hz: Their rate: that of the file.
        encoded: The bytes of a file with these samples; None if its file is longer.
        genre: The genre that the data have for the track; None for synthetic sounds.
    """

    name: str
    samples: NDArray[np.float32]
    sample_rate_hz: int
    encoded: bytes | None = None
    genre: str | None = None


def reference_clips(run: RunDir, *, most: int) -> list[ReferenceClip]:
    """Returns clips of the data set of a run, where its audio is still there, and then noise, a sine and silence.

    Args:
        run: The run.
        most: The most clips of the data set: of each genre in turn, those of the test split first.
    """
    return [*_decoded(_tracks(run), most=most), *_synthetic()]


def training_clips(run: RunDir, *, most: int) -> list[ReferenceClip]:
    """Returns clips of the train split, of each genre in turn, where its audio is still there."""
    return _decoded(_tracks(run, splits=(TRAIN,)), most=most)


def _decoded(tracks: Iterator[TrackRecord], *, most: int) -> list[ReferenceClip]:
    found: list[ReferenceClip] = []
    for track in tracks:
        if len(found) >= most:
            break
        try:
            encoded = files.read_bytes(track.uri)
            audio = _decode(encoded)
        except (AudioError, BucketError, OSError):
            continue  # moved or removed since the data were prepared
        whole = None if audio.is_cut else encoded
        found.append(ReferenceClip(track.track_id, audio.samples, audio.sample_rate_hz, whole, track.label))
    return found


def _tracks(run: RunDir, *, splits: Collection[str] = SPLITS) -> Iterator[TrackRecord]:
    """Yields the tracks of some splits: the first of each genre, then the second of each, and so on."""
    try:
        data = open_prepared(run.config()["data_dir"])
        if data.cache_key != run.dataset().cache_key:
            return
        tracks = read_tracks(data)
    except (UserError, files.FileError):
        return  # removed since the run was trained
    by_genre: dict[str, list[TrackRecord]] = {}
    for track in sorted(tracks, key=lambda track: (track.split != TEST, track.track_id)):
        if track.split in splits:
            by_genre.setdefault(track.label, []).append(track)
    for rank in range(max(map(len, by_genre.values()), default=0)):
        yield from (of_genre[rank] for _, of_genre in sorted(by_genre.items()) if rank < len(of_genre))


def _decode(encoded: bytes) -> Audio:
    """Returns a file as mono samples at its own rate, as `beamtune predict` decodes it."""

    def read(stream: AudioStream) -> Audio:
        rate_hz = stream.sample_rate_hz
        return read_at_rates(stream, [rate_hz], max_duration_s=_LONGEST_S)[rate_hz]

    return decode(io.BytesIO(encoded), read, limits=Limits(max_duration_s=_LONGEST_S)).result


def _synthetic() -> list[ReferenceClip]:
    num_samples = round(_SYNTHETIC_S * _SYNTHETIC_RATE_HZ)
    noise = np.random.default_rng(0).normal(0.0, 0.1, num_samples)
    sine = 0.5 * np.sin(2 * np.pi * 440.0 * np.arange(num_samples) / _SYNTHETIC_RATE_HZ)
    sounds = {"noise": noise, "sine of 440 Hz": sine, "silence": np.zeros(num_samples)}
    found = []
    for name, values in sounds.items():
        samples = values.astype(np.float32)
        encoded = encode_wav(samples, sample_rate_hz=_SYNTHETIC_RATE_HZ)
        found.append(ReferenceClip(name, samples, _SYNTHETIC_RATE_HZ, encoded))
    return found
