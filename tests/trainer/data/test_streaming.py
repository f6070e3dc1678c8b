"""Examples that are streamed from a bucket: each of them once, each shard copied by few workers, copies removed.

And the draws of few examples on a disk, which are no more than those of the epoch.
"""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from gcs.faults import Faults
from gcs.fixture import Gcs

from beam_pipelines.common.errors import RunAgainError, RunFailedError
from beam_pipelines.common.retries import StorageConfig
from beam_pipelines.records.tfrecord import write_record
from trainer.data.batches import shard_read_errors
from trainer.data.config import StreamConfig
from trainer.data.prepared import Shard
from trainer.data.streamed_order import StreamedOrder
from trainer.data.streaming import ExampleStream

LENGTHS = [1 + index % 5 for index in range(24)]
TOTAL = sum(LENGTHS)
STEPS = -(-TOTAL // 8)


@pytest.fixture
def shards(gcs_here: Gcs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Shard]:
    """Shards in a bucket, each record with its own content."""
    monkeypatch.setenv("BEAMTUNE_STORAGE_RETRY_DEADLINE_S", "")
    StorageConfig(retry_deadline_s=0).apply()
    names = [f"a-train.tfrecord-{index:05d}-of-{len(LENGTHS):05d}" for index in range(len(LENGTHS))]
    for name, length in zip(names, LENGTHS, strict=True):
        with (tmp_path / name).open("wb") as sink:
            for number in range(length):
                write_record(sink, f"record {number} of {name}".encode())
    gcs_here.upload(tmp_path)
    gcs_here.clear_requests()
    return [Shard(f"{gcs_here.url}/{name}", length) for name, length in zip(names, LENGTHS, strict=True)]


def read(shards: list[Shard], *, worker: int = 0, workers: int = 1, epoch: int = 1, first_step: int = 0) -> list[bytes]:
    config = StreamConfig(global_batch_size=8, cache=False, shuffle_buffer_examples=1)
    stream = ExampleStream(shards, config, steps_per_epoch=STEPS)
    context = tf.distribute.InputContext(workers, worker, workers)
    slices = stream.slices(context, epoch, first_step=first_step, with_previous=False)
    with shard_read_errors(shards):
        return [example for examples, _ in slices.as_numpy_iterator() for example in examples.tolist()]


def num_gets(gcs: Gcs) -> int:
    return [record.kind for record in gcs.requests()].count("get")


def test_each_example_once_and_one_request_for_each_shard(gcs_here: Gcs, shards: list[Shard], tmp_path: Path) -> None:
    files = [str(path) for path in tmp_path.glob("*-of-*")]
    expected = list(tf.data.TFRecordDataset(files).as_numpy_iterator())
    seen = read(shards)
    assert Counter(seen[:TOTAL]) == Counter(expected)
    assert set(seen[TOTAL:]) <= set(expected)
    assert num_gets(gcs_here) == len(shards)
    assert read(shards, first_step=4) == seen[4 * 8 :]
    assert read(shards, epoch=2) != seen


def test_workers_divide_an_epoch(gcs_here: Gcs, shards: list[Shard]) -> None:
    parts = [read(shards, worker=worker, workers=2) for worker in range(2)]
    assert [len(part) for part in parts] == [STEPS * 4, STEPS * 4]
    assert len(set(parts[0] + parts[1][: TOTAL - STEPS * 4])) == TOTAL
    assert num_gets(gcs_here) <= len(shards) + 1


def test_few_shards_are_copied_once_for_all_epochs(gcs_here: Gcs, shards: list[Shard]) -> None:
    few = shards[:8]
    config = StreamConfig(global_batch_size=8, cache=False)
    stream = ExampleStream(few, config, steps_per_epoch=3)
    for epoch in (1, 2, 3):
        slices = stream.slices(tf.distribute.InputContext(), epoch, first_step=0, with_previous=True)
        assert len(list(slices)) == 3
    assert num_gets(gcs_here) == len(few)


def test_an_outage_and_a_damaged_shard_are_named(gcs_here: Gcs, shards: list[Shard]) -> None:
    gcs_here.set_faults(Faults(kinds=("get",), unavailable_share=1.0))
    with pytest.raises(RunAgainError, match="a-train.* cannot be reached .Backend Error"):
        read(shards)
    gcs_here.set_faults(Faults())
    name = "a-train.tfrecord-00004-of-00024"
    gcs_here.write(name, gcs_here.read(name)[:-5])
    with pytest.raises(RunFailedError, match=f"{name} is damaged or truncated after 4 of 5 examples"):
        read(shards)
    gcs_here.delete(name)
    with pytest.raises(RunFailedError, match=f"{name} is missing: prepare the data again"):
        read(shards)


@pytest.mark.parametrize("first_step", [0, 2])
def test_no_draws_beyond_the_epoch_are_computed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first_step: int
) -> None:
    """With one example, each draw needs another permutation of all shards."""
    path = tmp_path / "a-train.tfrecord-00000-of-00001"
    with path.open("wb") as sink:
        write_record(sink, b"the only one")
    computed, places = [], StreamedOrder.places

    def counted_places(order: StreamedOrder, draws: Any) -> Any:
        computed.extend(np.ravel(draws).tolist())
        return places(order, draws)

    monkeypatch.setattr(StreamedOrder, "places", counted_places)
    stream = ExampleStream([Shard(str(path), 1)], StreamConfig(global_batch_size=8, cache=False), steps_per_epoch=3)
    slices = stream.slices(tf.distribute.InputContext(), 1, first_step=first_step, with_previous=False)
    assert [examples.tolist() for examples, _ in slices.as_numpy_iterator()] == [[b"the only one"] * 8] * (
        3 - first_step
    )
    assert computed == list(range(8 * first_step, 24))
