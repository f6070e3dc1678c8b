"""Errors about shards that are damaged or missing."""

from pathlib import Path

import pytest
import tensorflow as tf

from beam_pipelines.common.errors import RunFailedError
from trainer.data.batches import TrainStream, shard_read_errors
from trainer.data.config import StreamConfig
from trainer.data.prepared import find_shards, open_prepared


def read_all(directory: Path, *, cache: bool = True) -> None:
    data = open_prepared(str(directory))
    shards = find_shards(data, "train")
    config = StreamConfig(global_batch_size=8, cache=cache, shuffle_buffer_examples=16)
    stream = TrainStream(shards, config, specs=data.specs, num_classes=len(data.labels))
    with shard_read_errors(shards):
        for _ in stream.epoch(tf.distribute.get_strategy(), 1):
            pass


@pytest.mark.parametrize("cache", [True, False])
def test_a_shard_cut_in_a_record(prepared_dir: Path, cache: bool) -> None:
    shard = prepared_dir / "tiny-train.tfrecord-00001-of-00003"
    shard.write_bytes(shard.read_bytes()[:-100])
    with pytest.raises(
        RunFailedError, match=r"tiny-train\.tfrecord-00001-of-00003 is damaged .* after 8 of 9 examples"
    ):
        read_all(prepared_dir, cache=cache)


def test_a_shard_cut_between_records(prepared_dir: Path) -> None:
    shard = prepared_dir / "tiny-train.tfrecord-00002-of-00003"
    content = shard.read_bytes()
    shard.write_bytes(content[: len(content) // 9 * 8])
    with pytest.raises(RunFailedError, match=r"tiny-train\.tfrecord-00002-of-00003 has 8 examples, expected 9"):
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


def test_a_shard_that_is_removed(prepared_dir: Path) -> None:
    shards = find_shards(open_prepared(str(prepared_dir)), "train")
    Path(shards[1].path).unlink()
    with (
        pytest.raises(RunFailedError, match=r"tiny-train\.tfrecord-00001-of-00003 is missing"),
        shard_read_errors(shards),
    ):
        for _ in tf.data.TFRecordDataset([shard.path for shard in shards]):
            pass


def test_errors_that_are_not_of_a_shard_pass_through(prepared_dir: Path) -> None:
    shards = find_shards(open_prepared(str(prepared_dir)), "train")
    with pytest.raises(tf.errors.NotFoundError), shard_read_errors(shards):
        tf.io.read_file("/nowhere")
