"""What batches hold, in which order they come, and what is said of files that cannot be read."""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from beam_pipelines.errors import RunFailedError
from trainer.data import TrainStream, count_steps, naming_damaged_shard, scoring_batches
from trainer.dataset_dir import Shard, find_shards, open_prepared

MakeRows = Callable[..., list[Any]]
STRATEGY = tf.distribute.get_strategy()


class TwoPipelines:
    """Stands in for a strategy of two workers with a replica each: only what data sets ask of it."""

    def __init__(self, pipeline: int) -> None:
        self._context = tf.distribute.InputContext(2, pipeline, 2)

    def distribute_datasets_from_function(self, dataset_function: Any) -> Any:
        return dataset_function(self._context)


def make_stream(directory: Path, *, seed: int = 0, cache: bool = True, batch_size: int = 8) -> TrainStream:
    data = open_prepared(str(directory))
    return TrainStream(
        find_shards(data, "train"),
        specs=data.specs,
        global_batch_size=batch_size,
        seed=seed,
        cache=cache,
        shuffle_buffer_examples=16,
    )


def keys(batches: Any) -> list[float]:
    """Returns a value that tells an example from others, of all examples in order."""
    return [float(value) for batch in batches for value in batch.features["log_mel"][:, 0, 0].numpy()]


def keys_of_rows(rows: Sequence[Any]) -> list[float]:
    return [float(row.values[0, 0]) for row in rows]


@pytest.mark.parametrize("cache", [True, False])
def test_order_depends_on_nothing_but_seed_and_epoch(prepared_dir: Path, cache: bool) -> None:
    stream = make_stream(prepared_dir, cache=cache)
    first, second = keys(stream.epoch(STRATEGY, 1)), keys(stream.epoch(STRATEGY, 2))
    assert first != second
    assert keys(make_stream(prepared_dir, cache=cache).epoch(STRATEGY, 2)) == second
    assert keys(stream.epoch(STRATEGY, 1)) == first
    assert keys(make_stream(prepared_dir, cache=cache, seed=1).epoch(STRATEGY, 1)) != first


@pytest.mark.parametrize("cache", [True, False])
def test_an_epoch_sees_every_example_and_fills_the_last_batch(
    prepared_dir: Path, make_rows: MakeRows, cache: bool
) -> None:
    stream = make_stream(prepared_dir, cache=cache)
    seen = keys(stream.epoch(STRATEGY, 1))
    assert stream.steps_per_epoch == 4
    assert len(seen) == 32
    assert Counter(seen[:30]) == Counter(keys_of_rows(make_rows("train", num_tracks=10)))
    assert set(seen[30:]) <= set(seen[:30])


def test_fewer_examples_than_a_batch(prepared_dir: Path, make_rows: MakeRows) -> None:
    seen = keys(make_stream(prepared_dir, batch_size=64).epoch(STRATEGY, 1))
    assert len(seen) == 64
    assert set(seen) == set(keys_of_rows(make_rows("train", num_tracks=10)))


def test_cached_examples_are_read_from_disk_once(prepared_dir: Path) -> None:
    stream = make_stream(prepared_dir)
    first = keys(stream.epoch(STRATEGY, 1))
    for path in prepared_dir.glob("tiny-train*"):
        path.unlink()
    assert sorted(keys(stream.epoch(STRATEGY, 2))[:30]) == sorted(first[:30])


def test_batches_hold_what_was_written(prepared_dir: Path, make_rows: MakeRows) -> None:
    rows = {float(row.values[0, 0]): row for row in make_rows("train", num_tracks=10)}
    batch = next(make_stream(prepared_dir).epoch(STRATEGY, 1))
    assert batch.features["log_mel"].dtype == tf.float16
    assert batch.features["log_mel"].shape == (8, 8, 16)
    for values, label in zip(batch.features["log_mel"].numpy(), batch.labels.numpy(), strict=True):
        row = rows[float(values[0, 0])]
        np.testing.assert_array_equal(values, row.values)
        assert label == row.label


@pytest.mark.parametrize("batch_size", [1, 4, 15, 64])
def test_scoring_sees_every_example_once_in_full_batches(
    prepared_dir: Path, make_rows: MakeRows, batch_size: int
) -> None:
    data = open_prepared(str(prepared_dir))
    batches = list(
        scoring_batches(
            STRATEGY,
            find_shards(data, "validation"),
            specs=data.specs,
            global_batch_size=batch_size,
            cache=True,
        )
    )
    assert {tuple(batch.labels.shape) for batch in batches} == {(batch_size,)}
    seen = [(key, bool(flag)) for key, flag in zip(keys(batches), flags(batches), strict=True)]
    assert Counter(key for key, is_example in seen if is_example) == Counter(
        keys_of_rows(make_rows("validation", num_tracks=5))
    )
    assert {key for key, is_example in seen if not is_example} <= {0.0}
    track_keys = np.concatenate([batch.track_keys.numpy()[batch.is_example.numpy()] for batch in batches])
    assert sorted(Counter(track_keys.tolist()).values()) == [3] * 5


def flags(batches: list[Any]) -> list[bool]:
    return [bool(flag) for batch in batches for flag in batch.is_example.numpy()]


def test_two_pipelines_divide_a_split_and_stop_together(prepared_dir: Path, make_rows: MakeRows) -> None:
    data = open_prepared(str(prepared_dir))
    shards = find_shards(data, "validation")
    assert [shard.num_examples for shard in shards] == [6, 6, 3]
    parts = [
        list(scoring_batches(TwoPipelines(n), shards, specs=data.specs, global_batch_size=8, cache=False))
        for n in range(2)
    ]
    assert [len(part) for part in parts] == [3, 3]  # 9 examples in the first, in batches of 4
    assert [sum(flags(part)) for part in parts] == [9, 6]
    seen = [key for part in parts for key, flag in zip(keys(part), flags(part), strict=True) if flag]
    assert Counter(seen) == Counter(keys_of_rows(make_rows("validation", num_tracks=5)))


def test_two_pipelines_train_on_files_of_their_own(prepared_dir: Path) -> None:
    stream = make_stream(prepared_dir)
    parts = [keys(stream.epoch(TwoPipelines(n), 1)) for n in range(2)]
    assert [len(part) for part in parts] == [16, 16]  # 4 steps of 4
    assert not set(parts[0]) & set(parts[1])


def test_steps_of_an_epoch() -> None:
    shards = [Shard("a", 5), Shard("b", 4)]
    assert [count_steps(shards, global_batch_size=size) for size in (1, 3, 8, 9, 10)] == [9, 3, 2, 1, 1]


def read_all(directory: Path) -> None:
    shards = find_shards(open_prepared(str(directory)), "train")
    with naming_damaged_shard(shards):
        keys(make_stream(directory).epoch(STRATEGY, 1))


def test_a_shard_cut_in_a_record(prepared_dir: Path) -> None:
    shard = prepared_dir / "tiny-train.tfrecord-00001-of-00003"
    shard.write_bytes(shard.read_bytes()[:-100])
    with pytest.raises(
        RunFailedError, match=r"tiny-train\.tfrecord-00001-of-00003 is damaged .* after 8 of 9 examples"
    ):
        read_all(prepared_dir)


def test_a_shard_cut_between_records(prepared_dir: Path) -> None:
    shard = prepared_dir / "tiny-train.tfrecord-00002-of-00003"
    content = shard.read_bytes()
    shard.write_bytes(content[: len(content) // 9 * 8])
    with pytest.raises(RunFailedError, match=r"tiny-train\.tfrecord-00002-of-00003 has 8 examples and should have 9"):
        read_all(prepared_dir)


def test_a_shard_with_a_flipped_bit(prepared_dir: Path) -> None:
    shard = prepared_dir / "tiny-train.tfrecord-00000-of-00003"
    content = bytearray(shard.read_bytes())
    content[200] ^= 1
    shard.write_bytes(content)
    with pytest.raises(
        RunFailedError, match=r"tiny-train\.tfrecord-00000-of-00003 is damaged .* after 0 of 12 examples"
    ):
        read_all(prepared_dir)


def test_a_shard_that_goes_away(prepared_dir: Path) -> None:
    shards = find_shards(open_prepared(str(prepared_dir)), "train")
    Path(shards[1].path).unlink()
    with (
        pytest.raises(RunFailedError, match=r"tiny-train\.tfrecord-00001-of-00003 is gone"),
        naming_damaged_shard(shards),
    ):
        for _ in tf.data.TFRecordDataset([shard.path for shard in shards]):
            pass


def test_errors_that_are_not_of_a_shard_pass_through(prepared_dir: Path) -> None:
    shards = find_shards(open_prepared(str(prepared_dir)), "train")
    with pytest.raises(tf.errors.NotFoundError), naming_damaged_shard(shards):
        tf.io.read_file("/nowhere")
