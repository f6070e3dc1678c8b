"""Mean spectra of genres and mean vectors of tracks, in one pass over the shards and in constant memory."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from beam_pipelines.common.progress import ProgressReporter
from beam_pipelines.records.json_lines import TrackRecord
from beam_pipelines.records.schema import FeatureSpec
from beam_pipelines.splits.assign import keyed_order
from trainer.data.batches import PlainBatch, plain_batches, shard_read_errors
from trainer.data.prepared import PreparedData, find_shards
from trainer.explore.plotted_features import PlottedFeatures

# The most float64 values that the mean vectors of all sampled tracks may have: 160 MB.
_MOST_VECTOR_VALUES = 20_000_000


@dataclass(frozen=True)
class GenreBands:
    """Statistics of a feature of shape (frames, bands), over all frames of a genre without the padding of segments.

    Attributes:
        num_frames: (genres,) int64.
        mean: (genres, bands) float64; NaN where a genre has no frames.
        std: (genres, bands) float64, the standard deviation of the population (divided by the number of frames).
    """

    num_frames: NDArray[np.int64]
    mean: NDArray[np.float64]
    std: NDArray[np.float64]


@dataclass(frozen=True)
class TrackVectors:
    """The mean of a feature over all frames and segments of a track.

    Attributes:
        feature: The name of the feature.
        track_ids: The tracks.
        values: (tracks, dimensions) float64.
    """

    feature: str
    track_ids: tuple[str, ...]
    values: NDArray[np.float64]


@dataclass(frozen=True)
class FeatureStatistics:
    """The results of the pass over the shards.

    Attributes:
        genre_bands: The statistics by genre, by the name of the feature.
        vectors: The mean vectors of the sampled tracks; None if no feature can be projected.
    """

    genre_bands: Mapping[str, GenreBands]
    vectors: TrackVectors | None


def sample_tracks(tracks: Sequence[TrackRecord], *, most: int, seed: int) -> tuple[str, ...]:
    """Returns the ids of at most `most` tracks; the sample depends on the seed and the ids only."""
    return tuple(sorted((track.track_id for track in tracks), key=lambda name: keyed_order(name, seed=seed))[:most])


def compute_statistics(
    data: PreparedData,
    *,
    plotted: PlottedFeatures,
    band_splits: Sequence[str],
    sample: Sequence[str],
    batch_size: int,
    progress: ProgressReporter,
) -> FeatureStatistics:
    """Reads the shards of all splits once.

    Args:
        data: The data set.
        plotted: The features to compute statistics of.
        band_splits: The splits whose frames are used for the spectra of genres.
        sample: The ids of the tracks whose mean vectors are wanted; for long vectors only the first of them are used.
        batch_size: Segments read at a time.
        progress: Is updated with the number of segments read.

    Raises:
        UserError: A shard is missing.
        RunFailedError: A shard is damaged.
    """
    specs = {feature.spec.name: feature.spec for feature in plotted.bands}
    num_frames = {feature.spec.name: feature.num_frames for feature in plotted.bands}
    band_sums = {name: _BandSums(len(data.labels), spec.shape[-1]) for name, spec in specs.items()}
    vector_sums = None
    if plotted.vector is not None:
        specs[plotted.vector.name] = plotted.vector
        num_frames.setdefault(plotted.vector.name, _frames_per_segment(plotted.vector))
        most_tracks = max(2, _MOST_VECTOR_VALUES // plotted.vector.shape[-1])
        vector_sums = _VectorSums(sample[:most_tracks], plotted.vector.shape[-1])
    num_done = 0
    for split in data.info.splits if specs else ():
        if split.num_examples == 0:
            continue
        for sums in _segment_sums(data, split.name, specs=specs, num_frames=num_frames, batch_size=batch_size):
            if split.name in band_splits:
                for name, total in band_sums.items():
                    total.add(sums.labels, sums.totals[name], sums.squares[name], num_frames[name])
            if vector_sums is not None and plotted.vector is not None:
                name = plotted.vector.name
                vector_sums.add(sums.track_ids, sums.totals[name], num_frames[name])
            num_done += len(sums.labels)
            progress.update(completed=num_done)
    return FeatureStatistics(
        genre_bands={name: total.result() for name, total in band_sums.items()},
        vectors=None
        if vector_sums is None or plotted.vector is None
        else TrackVectors(plotted.vector.name, vector_sums.track_ids, vector_sums.means()),
    )


class _SegmentSums(NamedTuple):
    """Sums over the frames of each segment of a batch: {name: (batch, bands) float64}, labels and ids (batch,)."""

    totals: Mapping[str, NDArray[np.float64]]
    squares: Mapping[str, NDArray[np.float64]]
    labels: NDArray[np.int64]
    track_ids: NDArray[Any]


def _segment_sums(
    data: PreparedData, split: str, *, specs: Mapping[str, FeatureSpec], num_frames: Mapping[str, int], batch_size: int
) -> Iterator[_SegmentSums]:
    def sum_frames(batch: PlainBatch) -> _SegmentSums:
        values = {
            name: _as_frames(tf.cast(batch.features[name], tf.float64), spec)[:, : num_frames[name]]
            for name, spec in specs.items()
        }
        return _SegmentSums(
            totals={name: tf.reduce_sum(frames, axis=1) for name, frames in values.items()},
            squares={name: tf.reduce_sum(frames * frames, axis=1) for name, frames in values.items()},
            labels=batch.labels,
            track_ids=batch.track_ids,
        )

    shards = find_shards(data, split)
    batches = plain_batches(shards, specs=specs, batch_size=batch_size)
    with shard_read_errors(shards):
        yield from batches.map(sum_frames).prefetch(2).as_numpy_iterator()


def _as_frames(values: Any, spec: FeatureSpec) -> Any:
    """(batch, frames, bands) unchanged; (batch, values) → (batch, 1, values)."""
    return values if len(spec.shape) == 2 else tf.expand_dims(values, 1)


def _frames_per_segment(spec: FeatureSpec) -> int:
    return spec.shape[0] if len(spec.shape) == 2 else 1


class _BandSums:
    """Running sums over the frames of each genre."""

    def __init__(self, num_genres: int, num_bands: int) -> None:
        self._num_frames = np.zeros(num_genres, dtype=np.int64)
        self._totals = np.zeros((num_genres, num_bands))
        self._squares = np.zeros((num_genres, num_bands))

    def add(
        self,
        labels: NDArray[np.int64],
        totals: NDArray[np.float64],
        squares: NDArray[np.float64],
        frames_per_segment: int,
    ) -> None:
        np.add.at(self._num_frames, labels, frames_per_segment)
        np.add.at(self._totals, labels, totals)
        np.add.at(self._squares, labels, squares)

    def result(self) -> GenreBands:
        with np.errstate(invalid="ignore"):
            mean = self._totals / self._num_frames[:, None]
            # Rounding can make the variance of a constant band slightly negative.
            variance = np.maximum(self._squares / self._num_frames[:, None] - mean * mean, 0.0)
        return GenreBands(num_frames=self._num_frames, mean=mean, std=np.sqrt(variance))


class _VectorSums:
    """Running sums over the frames of each sampled track."""

    def __init__(self, track_ids: Sequence[str], dimensions: int) -> None:
        self.track_ids = tuple(track_ids)
        self._rows = {track_id.encode(): row for row, track_id in enumerate(track_ids)}
        self._num_frames = np.zeros(len(track_ids), dtype=np.int64)
        self._totals = np.zeros((len(track_ids), dimensions))

    def add(self, track_ids: NDArray[Any], totals: NDArray[np.float64], frames_per_segment: int) -> None:
        rows = np.array([self._rows.get(track_id, -1) for track_id in track_ids])
        is_sampled = rows >= 0
        np.add.at(self._num_frames, rows[is_sampled], frames_per_segment)
        np.add.at(self._totals, rows[is_sampled], totals[is_sampled])

    def means(self) -> NDArray[np.float64]:
        """Returns (tracks, dimensions); NaN where a track has no segments."""
        with np.errstate(invalid="ignore"):
            means: NDArray[np.float64] = self._totals / self._num_frames[:, None]
        return means
