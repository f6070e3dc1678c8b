"""The audio of single segments: from the shards, from copies that are kept with them, or from the original files."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from beam_pipelines.audio.encode import encode_wav
from beam_pipelines.audio.load import AudioError, Limits, load_audio_at_rates
from beam_pipelines.common.bucket_errors import BucketError
from beam_pipelines.records.json_lines import tracks_from_json_lines
from beam_pipelines.records.schema import TRACKS_FILE, kept_audio_path
from trainer.board.mistakes import Mistake
from trainer.board.segment_reader import read_segments
from trainer.board.spectrograms import Preparation, Samples
from trainer.common import files
from trainer.data.prepared import PreparedData, Shard
from trainer.metrics.predictions import Predictions

# More than an hour of stereo WAV; larger files are not read for a few seconds of audio.
_MOST_FILE_BYTES = 2**30
_FULL_SCALE = np.float32(32768.0)


@dataclass(frozen=True)
class AudioClip:
    """The audio of a segment.

    Attributes:
        wav: A WAV file, 16-bit, mono.
        source: Where it comes from, for the user.
    """

    wav: bytes
    source: str


@dataclass(frozen=True)
class MissingAudio:
    """A segment without audio.

    Attributes:
        reason: Why there is none, for the user.
    """

    reason: str


def find_audio_clips(
    mistakes: Sequence[Mistake],
    *,
    predictions: Predictions,
    data: PreparedData,
    shards: Sequence[Shard],
    preparation: Preparation,
) -> list[AudioClip | MissingAudio]:
    """Returns the audio of the worst segment of each track, in the order of the tracks.

    It is read from a waveform feature in the shards, else from the copies that `audio.keep=wav` made, else from the
    original files, if they still exist.

    Args:
        mistakes: The tracks.
        predictions: The predictions of the split.
        data: The data set.
        shards: The shards of the split.
        preparation: How the data were prepared.
    """
    if not mistakes:
        return []
    if preparation.samples is not None:
        return _from_shards(mistakes, predictions=predictions, shards=shards, samples=preparation.samples)
    paths = _audio_paths(mistakes, data=data, is_kept=preparation.audio.keep == "wav")
    return [_from_files(paths[mistake.track_id], mistake.start_s, preparation) for mistake in mistakes]


def _from_shards(
    mistakes: Sequence[Mistake], *, predictions: Predictions, shards: Sequence[Shard], samples: Samples
) -> list[AudioClip | MissingAudio]:
    name = samples.spec.name
    pcm: NDArray[np.int16] = np.zeros((len(mistakes), *samples.spec.shape), dtype=np.int16)
    rows = [mistake.row for mistake in mistakes]
    for segments in read_segments(shards, predictions, rows, specs={name: samples.spec}):
        pcm[segments.positions] = segments.features[name]
    return [
        AudioClip(encode_wav(row / _FULL_SCALE, sample_rate_hz=samples.sample_rate_hz), source="samples in the data")
        for row in pcm
    ]


def _audio_paths(mistakes: Sequence[Mistake], *, data: PreparedData, is_kept: bool) -> Mapping[str, Sequence[str]]:
    """Returns the paths to try for the audio of each track, by its id: the kept copy, then the original."""
    wanted = {mistake.track_id for mistake in mistakes}
    tracks = tracks_from_json_lines(files.read_text(files.join(data.path, TRACKS_FILE)))
    copies = {track_id: [files.join(data.path, kept_audio_path(track_id))] if is_kept else [] for track_id in wanted}
    return {track.track_id: [*copies[track.track_id], track.uri] for track in tracks if track.track_id in wanted}


def _from_files(paths: Sequence[str], start_s: float, preparation: Preparation) -> AudioClip | MissingAudio:
    """Returns the audio of the first file that can be read, or why the last one cannot."""
    clip: AudioClip | MissingAudio = MissingAudio("there is no file")
    for path in paths:
        clip = _from_file(path, start_s, preparation)
        if isinstance(clip, AudioClip):
            break
    return clip


def _from_file(path: str, start_s: float, preparation: Preparation) -> AudioClip | MissingAudio:
    """Returns the audio of a segment; decodes the file only up to the end of the segment."""
    rate_hz = preparation.audio.sample_rate_hz
    end_s = start_s + preparation.segment_duration_s
    try:
        if files.size_bytes(path) > _MOST_FILE_BYTES:
            return MissingAudio(f"{path} is larger than 1 GiB")
        content = io.BytesIO(files.read_bytes(path))
        audio = load_audio_at_rates(content, [rate_hz], limits=Limits(max_duration_s=end_s))[rate_hz]
    except AudioError as error:
        return MissingAudio(f"{path}: {error.message}")
    except files.FileError as error:
        return MissingAudio(f"{path} cannot be read: {error.message}")
    except BucketError as error:  # its bucket refuses it, or does not exist
        return MissingAudio(str(error))
    samples = audio.samples[round(start_s * rate_hz) : round(end_s * rate_hz)]
    if len(samples) == 0:
        return MissingAudio(f"{path} ends before the segment starts")
    return AudioClip(encode_wav(samples, sample_rate_hz=rate_hz), source=path)
