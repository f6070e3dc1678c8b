"""Single segments of a split: which ones are shown, and what the shards hold of them."""

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
class FoundSegments:
    """Some of the wanted segments.

    Attributes:
        places: (segments,) int64, their places among those that are wanted.
        features: {name: (segments, *shape)} in their stored dtype.
    """

    places: NDArray[np.int64]
    features: Mapping[str, NDArray[Any]]


def sample_segments(predictions: Predictions, rows: Sequence[int], *, most: int, seed: int) -> list[int]:
    """Returns some of the rows of predicted segments, ascending: the same ones whatever order they come in.

    Args:
        predictions: Those of a split.
        rows: The segments to choose from.
        most: How many are chosen; all where there are no more.
        seed: Another one chooses others.
    """

    def key(row: int) -> bytes:
        track_id, start_s = _key_of(predictions, row)
        return keyed_order(f"{start_s!r} {track_id}", seed=seed)

    return sorted(sorted(rows, key=key)[:most])


def find_segments(
    shards: Sequence[Shard], predictions: Predictions, rows: Sequence[int], *, specs: Mapping[str, FeatureSpec]
) -> Iterator[FoundSegments]:
    """Yields what the shards hold of predicted segments, in the order of the shards; memory holds a batch at a time.

    Args:
        shards: Those of the split.
        predictions: Those of the split.
        rows: The segments that are wanted, no two the same.
        specs: The features that are wanted of them.
    """
    place_of = {_key_of(predictions, row): place for place, row in enumerate(rows)}
    for batch in plain_batches(shards, specs=specs, batch_size=_BATCH_SIZE):
        keys = zip(batch.track_ids.numpy().tolist(), batch.starts_s.numpy().tolist(), strict=True)
        places = [place_of.get((track_id.decode(), start_s)) for track_id, start_s in keys]
        chosen = [index for index, place in enumerate(places) if place is not None]
        if chosen:
            yield FoundSegments(
                places=np.array([places[index] for index in chosen], dtype=np.int64),
                features={name: values.numpy()[chosen] for name, values in batch.features.items()},
            )


def _key_of(predictions: Predictions, row: int) -> tuple[str, float]:
    """Returns what tells a segment from all others of its split."""
    track_id = predictions.track_ids[predictions.segment_tracks[row]]
    return track_id, float(predictions.segment_starts_s[row])
