"""The sound of single segments: from the shards, from kept audio, or from the files that were prepared."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from beam_pipelines.audio.encode import encode_wav
from beam_pipelines.audio.load import AudioError, load_audio_at_rates
from beam_pipelines.records.json_lines import tracks_from_json_lines
from beam_pipelines.records.schema import TRACKS_FILE, kept_audio_path
from trainer.board.mistakes import Mistake
from trainer.board.segment_samples import find_segments
from trainer.board.spectrograms import Preparation, Samples
from trainer.common import files
from trainer.data.prepared import PreparedData, Shard
from trainer.metrics.predictions import Predictions

# An hour of stereo WAV; larger files are not read for a few seconds of them.
_MOST_FILE_BYTES = 2**30
_FULL_SCALE = np.float32(32768.0)


@dataclass(frozen=True)
class Sound:
    """What is heard of a segment.

    Attributes:
        wav: A WAV file, 16-bit, mono.
        source: Where it comes from, for a person.
    """

    wav: bytes
    source: str


@dataclass(frozen=True)
class NoSound:
    """A segment whose sound is not there.

    Attributes:
        reason: Why not, for a person.
    """

    reason: str


def find_sounds(
    mistakes: Sequence[Mistake],
    *,
    predictions: Predictions,
    data: PreparedData,
    shards: Sequence[Shard],
    preparation: Preparation,
) -> list[Sound | NoSound]:
    """Returns what is heard of the worst segment of each track, in the order of the tracks.

    Samples in the shards come first; then the copies that `audio.keep=wav` made; then the files that were prepared,
    where they are still there.

    Args:
        mistakes: The tracks.
        predictions: Those of the split.
        data: The data set.
        shards: Those of the split.
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
) -> list[Sound | NoSound]:
    name = samples.spec.name
    pcm: NDArray[np.int16] = np.zeros((len(mistakes), *samples.spec.shape), dtype=np.int16)
    for found in find_segments(shards, predictions, [mistake.row for mistake in mistakes], specs={name: samples.spec}):
        pcm[found.places] = found.features[name]
    return [
        Sound(encode_wav(row / _FULL_SCALE, sample_rate_hz=samples.sample_rate_hz), source="samples in the data")
        for row in pcm
    ]


def _audio_paths(mistakes: Sequence[Mistake], *, data: PreparedData, is_kept: bool) -> Mapping[str, Sequence[str]]:
    """Returns where the audio of each track may be, by its id, the best place first."""
    wanted = {mistake.track_id for mistake in mistakes}
    tracks = tracks_from_json_lines(files.read_text(files.join(data.path, TRACKS_FILE)))
    copies = {track_id: [files.join(data.path, kept_audio_path(track_id))] if is_kept else [] for track_id in wanted}
    return {track.track_id: [*copies[track.track_id], track.uri] for track in tracks if track.track_id in wanted}


def _from_files(paths: Sequence[str], start_s: float, preparation: Preparation) -> Sound | NoSound:
    """Returns the sound of the first file that has one, or why the last has none."""
    found: Sound | NoSound = NoSound("there is no file")
    for path in paths:
        found = _from_file(path, start_s, preparation)
        if isinstance(found, Sound):
            break
    return found


def _from_file(path: str, start_s: float, preparation: Preparation) -> Sound | NoSound:
    """Decodes no more of a file than it takes to come to the end of the segment."""
    rate_hz = preparation.audio.sample_rate_hz
    end_s = start_s + preparation.segment_duration_s
    try:
        if tf.io.gfile.stat(path).length > _MOST_FILE_BYTES:
            return NoSound(f"{path} has more than 1 GiB")
        with tf.io.gfile.GFile(path, "rb") as source:
            content = io.BytesIO(source.read())
        audio = load_audio_at_rates(content, [rate_hz], max_duration_s=end_s)[rate_hz]
    except AudioError as error:
        return NoSound(f"{path}: {error.message}")
    except tf.errors.OpError as error:
        return NoSound(f"{path} cannot be read: {error.message}")
    samples = audio.samples[round(start_s * rate_hz) : round(end_s * rate_hz)]
    if len(samples) == 0:
        return NoSound(f"{path} ends before the segment starts")
    return Sound(encode_wav(samples, sample_rate_hz=rate_hz), source=path)
