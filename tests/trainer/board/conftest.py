"""Fixtures of the tests of the board: predictions and shards with given values."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from beam_pipelines.records.example import encode_example
from beam_pipelines.records.tfrecord import write_record
from trainer.data.prepared import Shard
from trainer.metrics.predictions import Predictions, make_predictions


@pytest.fixture
def predict() -> Callable[..., Predictions]:
    """Makes predictions of {track: (label, [probabilities of each segment])}; segments start 2 s apart."""

    def make(tracks: Mapping[str, tuple[int, Sequence[Sequence[float]]]]) -> Predictions:
        rows = [
            (track_id, label, 2.0 * index, probabilities)
            for track_id, (label, segments) in tracks.items()
            for index, probabilities in enumerate(segments)
        ]
        return make_predictions(
            np.array([row[3] for row in rows]),
            labels=np.array([row[1] for row in rows]),
            track_ids=[row[0] for row in rows],
            starts_s=np.array([row[2] for row in rows], dtype=np.float32),
            group_of_track={row[0]: "group" for row in rows},
        )

    return make


@pytest.fixture
def write_shard(tmp_path: Path) -> Callable[..., Shard]:
    """Writes a shard of {(track, start in s): {feature: values}}; returns it."""

    def write(segments: Mapping[tuple[str, float], Mapping[str, np.ndarray]], *, name: str = "shard") -> Shard:
        path = tmp_path / name
        with path.open("wb") as sink:
            for index, ((track_id, start_s), features) in enumerate(segments.items()):
                record = encode_example(
                    track_id=track_id, segment_index=index, start_s=start_s, label=0, features=features
                )
                write_record(sink, record)
        return Shard(path=str(path), num_examples=len(segments))

    return write
