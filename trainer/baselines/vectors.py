"""One vector for each segment of a split, in memory; and one for each track."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from beam_pipelines.common.errors import RunFailedError, UserError
from beam_pipelines.records.schema import FeatureSpec
from trainer.data.batches import shard_read_errors
from trainer.data.feature_kinds import Scale, sound_features
from trainer.data.parsing import parse_examples, read_records, reading_options
from trainer.data.prepared import PreparedData, Shard, find_shards

# Decoded at a time: what is in memory beside the vectors themselves.
_BATCH_SIZE = 256
_BYTES_PER_VALUE = 4
_MIB = 2**20


@dataclass(frozen=True)
class Vectorizer:
    """How a feature of a segment becomes a vector.

    Attributes:
        spec: The feature, of shape (values,) or (frames, values).
        pooling: mean, or mean_std; of features of shape (values,), which stay as they are, neither.
        num_frames: How many frames count, from the first on; the others hear what was put behind a segment.
    """

    spec: FeatureSpec
    pooling: str
    num_frames: int

    @property
    def size(self) -> int:
        """The length of a vector."""
        num_values = self.spec.shape[-1]
        return 2 * num_values if len(self.spec.shape) == 2 and self.pooling == "mean_std" else num_values

    def __call__(self, features: NDArray[Any]) -> NDArray[np.float32]:
        """Returns vectors, (segments, *shape) → (segments, size); the deviation is divided by the number of frames."""
        if features.ndim == 2:
            return features.astype(np.float32)
        frames = features[:, : self.num_frames].astype(np.float64)
        pooled = [frames.mean(axis=1)]
        if self.pooling == "mean_std":
            pooled.append(frames.std(axis=1))
        return np.asarray(np.concatenate(pooled, axis=1), dtype=np.float32)


@dataclass(frozen=True)
class Vectors:
    """The segments of a split, or its tracks.

    Attributes:
        values: (examples, size) float32, finite.
        labels: (examples,) int64.
        track_ids: (examples), the track that each is of, or is.
        starts_s: (examples,) float32, where each segment starts in its track; 0 for tracks.
    """

    values: NDArray[np.float32]
    labels: NDArray[np.int64]
    track_ids: tuple[str, ...]
    starts_s: NDArray[np.float32]


def make_vectorizer(data: PreparedData, feature: str, *, pooling: str) -> Vectorizer:
    """Returns how a feature of a data set becomes a vector.

    Raises:
        UserError: The data have no such feature, or it is one that classical learners can do nothing with.
    """
    spec = data.specs.get(feature)
    if spec is None:
        raise UserError(
            f"feature={feature}: {data.path} has no such feature, it has {', '.join(sorted(data.specs))}: "
            f"set feature to one of these, or prepare the data again with {feature} among its features"
        )
    sound = sound_features(data, [spec]).get(feature)
    if len(spec.shape) not in (1, 2) or (sound is not None and sound.scale is Scale.SAMPLE):
        raise UserError(
            f"feature={feature}: expected a vector, or frames of values, of each segment, and not samples of shape "
            f"{spec.shape}: take spectral_stats, yamnet, mfcc or log_mel"
        )
    return Vectorizer(spec=spec, pooling=pooling, num_frames=spec.shape[0] if sound is None else sound.num_frames)


def check_fits_memory(data: PreparedData, splits: Sequence[str], *, vectorizer: Vectorizer, max_mib: int) -> None:
    """Checks that the vectors of splits are not more than memory was set aside for.

    Raises:
        UserError: They are; the message says how much they take.
    """
    num_segments = sum(data.info.split(split).num_examples for split in splits)
    mib = -(-num_segments * vectorizer.size * _BYTES_PER_VALUE // _MIB)
    if mib > max_mib:
        raise UserError(
            f"max_matrix_mib={max_mib}: {num_segments} segments of {vectorizer.size} values take {mib} MiB, and "
            f"learners a few times as much: set max_matrix_mib={mib} where there is memory, or take a smaller feature"
        )


def read_vectors(data: PreparedData, split: str, *, vectorizer: Vectorizer) -> Vectors:
    """Returns the vectors of all segments of a split, in the order in which they are read.

    Memory holds the vectors once, for they are computed into their place batch by batch.

    Raises:
        UserError: There is no such split, or it has no examples.
        RunFailedError: A shard is damaged, or a vector has values that are not finite numbers.
    """
    shards = find_shards(data, split)
    num_segments = sum(shard.num_examples for shard in shards)
    values = np.empty((num_segments, vectorizer.size), dtype=np.float32)
    labels = np.empty(num_segments, dtype=np.int64)
    starts_s = np.empty(num_segments, dtype=np.float32)
    track_ids: list[str] = []
    with shard_read_errors(shards):
        for batch in _batches(shards, {vectorizer.spec.name: vectorizer.spec}):
            places = slice(len(track_ids), len(track_ids) + len(batch.labels))
            with np.errstate(over="ignore", invalid="ignore"):  # what comes of it is found below
                values[places] = vectorizer(batch.features[vectorizer.spec.name])
            labels[places], starts_s[places] = batch.labels, batch.starts_s
            track_ids += [name.decode() for name in batch.track_ids]
            _check_finite(values[places], track_ids[places], feature=vectorizer.spec.name, split=split)
    return Vectors(values=values, labels=labels, track_ids=tuple(track_ids), starts_s=starts_s)


def mean_of_tracks(vectors: Vectors) -> Vectors:
    """Returns a vector for each track, the mean of its segments', in the order of their ids."""
    names, first_segments, tracks, num_segments = np.unique(
        np.array(vectors.track_ids, dtype=object), return_index=True, return_inverse=True, return_counts=True
    )
    sums = np.zeros((len(names), vectors.values.shape[1]))
    np.add.at(sums, tracks, vectors.values)
    return Vectors(
        values=(sums / num_segments[:, np.newaxis]).astype(np.float32),
        labels=vectors.labels[first_segments],
        track_ids=tuple(names.tolist()),
        starts_s=np.zeros(len(names), dtype=np.float32),
    )


def _batches(shards: Sequence[Shard], specs: Mapping[str, FeatureSpec]) -> Any:
    return (
        read_records(shards)
        .batch(_BATCH_SIZE)
        .map(lambda records: parse_examples(records, specs), num_parallel_calls=tf.data.AUTOTUNE)
        .prefetch(1)
        .with_options(reading_options())
        .as_numpy_iterator()
    )


def _check_finite(values: NDArray[np.float32], track_ids: Sequence[str], *, feature: str, split: str) -> None:
    is_finite = np.isfinite(values).all(axis=1)
    if not is_finite.all():
        raise RunFailedError(
            f"feature={feature}: a segment of {track_ids[int(is_finite.argmin())]} in the {split} split has values "
            "that are not finite numbers, or too large for one: leave the track out and prepare the data again"
        )
