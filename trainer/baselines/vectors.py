"""Reads a split into memory as one vector for each segment, or for each track."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beam_pipelines.common.errors import RunFailedError, UserError
from beam_pipelines.records.schema import FeatureSpec
from trainer.data.batches import plain_batches, shard_read_errors
from trainer.data.feature_kinds import Scale, sound_features
from trainer.data.prepared import PreparedData, find_shards

# Segments decoded at a time.
_BATCH_SIZE = 256
_BYTES_PER_VALUE = 4
_MIB = 2**20


@dataclass(frozen=True)
class FeaturePooling:
    """Converts a feature of a segment to a vector.

    Attributes:
        spec: The feature, of shape (values,) or (frames, values).
        pooling: "mean" or "mean_std" over frames; features of shape (values,) are not pooled.
        num_frames: The number of frames without those that reach into the padding at the end of a segment.
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
        """Returns vectors, (segments, *shape) → (segments, size); standard deviations are divided by num_frames."""
        if features.ndim == 2:
            return features.astype(np.float32)
        frames = features[:, : self.num_frames].astype(np.float64)
        pooled = [frames.mean(axis=1)]
        if self.pooling == "mean_std":
            pooled.append(frames.std(axis=1))
        return np.asarray(np.concatenate(pooled, axis=1), dtype=np.float32)


@dataclass(frozen=True)
class Vectorizer:
    """Converts the features of a segment to one vector: the vectors of the features one after the other.

    Attributes:
        poolings: One for each feature.
    """

    poolings: tuple[FeaturePooling, ...]

    @property
    def size(self) -> int:
        """The length of a vector."""
        return sum(pooling.size for pooling in self.poolings)

    @property
    def specs(self) -> Mapping[str, FeatureSpec]:
        """The features by name."""
        return {pooling.spec.name: pooling.spec for pooling in self.poolings}

    def __call__(self, features: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """Returns vectors, {feature: (segments, *shape)} → (segments, size)."""
        return np.concatenate([pooling(features[pooling.spec.name]) for pooling in self.poolings], axis=1)

    def feature_at(self, place: int) -> str:
        """Returns the name of the feature that a value of the vector is of."""
        ends = np.cumsum([pooling.size for pooling in self.poolings])
        return self.poolings[int(np.searchsorted(ends, place, side="right"))].spec.name


@dataclass(frozen=True)
class Vectors:
    """The segments of a split, or its tracks.

    Attributes:
        values: (examples, size) float32, finite.
        labels: (examples,) int64.
        track_ids: (examples), the track of each example.
        starts_s: (examples,) float32, where each segment starts in its track, in seconds; 0 for tracks.
    """

    values: NDArray[np.float32]
    labels: NDArray[np.int64]
    track_ids: tuple[str, ...]
    starts_s: NDArray[np.float32]


def make_vectorizer(data: PreparedData, features: Sequence[str], *, pooling: str) -> Vectorizer:
    """Returns the vectorizer of features of a data set.

    Raises:
        UserError: The data lack one of the features, or it is neither a vector nor frames of values.
    """
    return Vectorizer(tuple(_make_pooling(data, feature, pooling=pooling) for feature in features))


def _make_pooling(data: PreparedData, feature: str, *, pooling: str) -> FeaturePooling:
    spec = data.specs.get(feature)
    if spec is None:
        raise UserError(
            f"feature={feature}: {data.path} has no such feature, it has {', '.join(sorted(data.specs))}: "
            f"set feature to one of these, or prepare the data again with {feature} among its features"
        )
    sound = sound_features(data, [spec]).get(feature)
    if len(spec.shape) not in (1, 2) or (sound is not None and sound.scale is Scale.SAMPLE):
        raise UserError(
            f"feature={feature}: expected a vector or frames of values for each segment, not samples of shape "
            f"{spec.shape}: use spectral_stats, yamnet, musicnn, embedding, mfcc or log_mel"
        )
    return FeaturePooling(spec=spec, pooling=pooling, num_frames=spec.shape[0] if sound is None else sound.num_frames)


def check_fits_memory(data: PreparedData, splits: Sequence[str], *, vectorizer: Vectorizer, max_mib: int) -> None:
    """Checks the size of the vectors of splits.

    Raises:
        UserError: They need more than `max_mib` MiB.
    """
    num_segments = sum(data.info.split(split).num_examples for split in splits)
    mib = -(-num_segments * vectorizer.size * _BYTES_PER_VALUE // _MIB)
    if mib > max_mib:
        raise UserError(
            f"max_matrix_mib={max_mib}: {num_segments} segments of {vectorizer.size} values need {mib} MiB, and "
            f"learners a few times as much: set max_matrix_mib={mib} if there is memory, or use smaller features"
        )


def read_vectors(data: PreparedData, split: str, *, vectorizer: Vectorizer) -> Vectors:
    """Returns the vectors of all segments of a split, in the order in which they are read.

    Each batch is written into one array, so that the vectors are in memory once.

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
        batches = plain_batches(shards, specs=vectorizer.specs, batch_size=_BATCH_SIZE)
        for batch in batches.prefetch(1).as_numpy_iterator():
            places = slice(len(track_ids), len(track_ids) + len(batch.labels))
            with np.errstate(over="ignore", invalid="ignore"):  # _check_finite reports the results
                values[places] = vectorizer(batch.features)
            labels[places], starts_s[places] = batch.labels, batch.starts_s
            track_ids += [name.decode() for name in batch.track_ids]
            _check_finite(values[places], track_ids[places], vectorizer=vectorizer, split=split)
    return Vectors(values=values, labels=labels, track_ids=tuple(track_ids), starts_s=starts_s)


def mean_of_tracks(vectors: Vectors) -> Vectors:
    """Returns the mean vector of each track, in the order of their ids."""
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


def _check_finite(values: NDArray[np.float32], track_ids: Sequence[str], *, vectorizer: Vectorizer, split: str) -> None:
    is_finite = np.isfinite(values)
    if not is_finite.all():
        segment, place = divmod(int(is_finite.argmin()), vectorizer.size)
        raise RunFailedError(
            f"feature={vectorizer.feature_at(place)}: a segment of {track_ids[segment]} in the {split} split has "
            "values that are not finite, or too large for float32: leave the track out and prepare the data again"
        )
