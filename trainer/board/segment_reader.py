"""Samples predicted segments, and reads their features from the shards."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beam_pipelines.records.schema import FeatureSpec
from beam_pipelines.splits.assign import keyed_order
from trainer.data.batches import plain_batches
from trainer.data.prepared import Shard
from trainer.metrics.predictions import Predictions

_BATCH_SIZE = 64


@dataclass(frozen=True)
class SegmentFeatures:
    """The features of some of the wanted segments.

    Attributes:
        positions: (segments,) int64, their positions in the list of wanted segments.
        features: {name: (segments, *shape)} in their stored dtype.
    """

    positions: NDArray[np.int64]
    features: Mapping[str, NDArray[Any]]


def sample_segments(predictions: Predictions, rows: Sequence[int], *, most: int, seed: int) -> list[int]:
    """Returns at most `most` rows of predicted segments, ascending; the sample does not depend on the order of rows.

    Args:
        predictions: The predictions of a split.
        rows: The rows to sample from.
        most: The largest number of rows to return.
        seed: The seed of the sample.
    """

    def key(row: int) -> bytes:
        track_id, start_s = _segment_key(predictions, row)
        return keyed_order(f"{start_s!r} {track_id}", seed=seed)

    return sorted(sorted(rows, key=key)[:most])


def read_segments(
    shards: Sequence[Shard], predictions: Predictions, rows: Sequence[int], *, specs: Mapping[str, FeatureSpec]
) -> Iterator[SegmentFeatures]:
    """Yields the stored features of predicted segments, in the order of the shards, one batch in memory at a time.

    Args:
        shards: The shards of the split.
        predictions: The predictions of the split.
        rows: The rows of the wanted segments, without repetition.
        specs: The features to read.
    """
    position_of = {_segment_key(predictions, row): position for position, row in enumerate(rows)}
    for batch in plain_batches(shards, specs=specs, batch_size=_BATCH_SIZE):
        keys = zip(batch.track_ids.numpy().tolist(), batch.starts_s.numpy().tolist(), strict=True)
        positions = [position_of.get((track_id.decode(), start_s)) for track_id, start_s in keys]
        wanted = [index for index, position in enumerate(positions) if position is not None]
        if wanted:
            yield SegmentFeatures(
                positions=np.array([positions[index] for index in wanted], dtype=np.int64),
                features={name: values.numpy()[wanted] for name, values in batch.features.items()},
            )


def _segment_key(predictions: Predictions, row: int) -> tuple[str, float]:
    """Returns the track id and the start of a segment, which are unique within a split."""
    track_id = predictions.track_ids[predictions.segment_tracks[row]]
    return track_id, float(predictions.segment_starts_s[row])
