"""Segments: a sample that depends only on their ids, and their features read from the shards."""

import numpy as np
import pytest

from beam_pipelines.records.schema import FeatureSpec
from trainer.board.segment_reader import read_segments, sample_segments

SPEC = FeatureSpec(name="feature", shape=(2,), dtype="int16")


def names(predictions, rows):
    return {
        (predictions.track_ids[predictions.segment_tracks[row]], float(predictions.segment_starts_s[row]))
        for row in rows
    }


@pytest.fixture
def predictions(predict):
    return predict({f"track{track}": (0, [[0.5, 0.5]] * 5) for track in range(8)})


def test_the_sample_does_not_depend_on_the_order(predict, predictions):
    chosen = sample_segments(predictions, range(40), most=7, seed=3)
    assert len(chosen) == 7
    assert chosen == sorted(chosen)
    assert chosen == sample_segments(predictions, list(reversed(range(40))), most=7, seed=3)
    assert chosen != sample_segments(predictions, range(40), most=7, seed=4)
    # With one more track, no more than some are replaced by segments of that track.
    more = predict({f"track{track}": (0, [[0.5, 0.5]] * 5) for track in range(-1, 8)})
    others = names(more, sample_segments(more, range(45), most=7, seed=3)) - names(predictions, chosen)
    assert {track for track, _ in others} <= {"track-1"}


def test_all_rows_are_returned_if_there_are_no_more(predictions):
    assert sample_segments(predictions, [3, 1, 2], most=3, seed=0) == [1, 2, 3]
    assert sample_segments(predictions, [], most=3, seed=0) == []
    assert sample_segments(predictions, [1], most=0, seed=0) == []


def test_each_wanted_segment_has_its_own_values(predictions, write_shard):
    # In an order of their own, over two shards and more than one batch.
    keys = [(f"track{track}", 2.0 * index) for index in reversed(range(5)) for track in range(8)]
    values = {key: np.array([number, -number], dtype=np.int16) for number, key in enumerate(keys)}
    filler = {(f"other{number}", 0.0): np.zeros(2, dtype=np.int16) for number in range(200)}
    shards = [
        write_shard({key: {"feature": values[key]} for key in keys[:13]}, name="one"),
        write_shard(
            {key: {"feature": array} for key, array in {**filler, **{key: values[key] for key in keys[13:]}}.items()},
            name="two",
        ),
    ]
    wanted = [7, 0, 39, 12]
    found = np.full((4, 2), 99)
    num_found = 0
    for segments in read_segments(shards, predictions, wanted, specs={"feature": SPEC}):
        found[segments.positions] = segments.features["feature"]
        num_found += len(segments.positions)
    assert num_found == 4
    for place, row in enumerate(wanted):
        [key] = names(predictions, [row])
        assert found[place].tolist() == values[key].tolist()


def test_without_wanted_segments_nothing_is_yielded(predictions, write_shard):
    shard = write_shard({("track0", 0.0): {"feature": np.zeros(2, dtype=np.int16)}})
    assert list(read_segments([shard], predictions, [], specs={"feature": SPEC})) == []
