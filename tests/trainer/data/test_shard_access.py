"""Records of shards that are read from anywhere, with an index, without one, and with one that does not fit."""

import gc
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from beam_pipelines.common.errors import RunFailedError
from trainer.data import shard_access
from trainer.data.prepared import Shard, find_shards, open_prepared
from trainer.data.shard_access import LocalShards, open_shards, read_examples


@pytest.fixture
def shards(prepared_dir: Path) -> list[Shard]:
    """Those of the train split: 12, 9 and 9 examples."""
    return find_shards(open_prepared(str(prepared_dir)), "train")


def index_of(shard: Shard) -> Path:
    return Path(shard.path.replace(".tfrecord-", ".index-"))


def check_reads_all(shards: list[Shard]) -> None:
    expected = [list(tf.data.TFRecordDataset(shard.path).as_numpy_iterator()) for shard in shards]
    places = [(place, record) for place in (2, 0, 1) for record in reversed(range(shards[place].num_examples))]
    read = read_examples(open_shards(shards), *map(list, zip(*places, strict=True)))  # type: ignore[arg-type]
    assert read == [expected[place][record] for place, record in places]


def test_records_are_those_that_tensorflow_reads(shards: list[Shard], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise AssertionError("the index is not read")

    monkeypatch.setattr(shard_access, "_scanned", fail)
    check_reads_all(shards)


@pytest.mark.parametrize("change", ["missing", "truncated", "of another shard", "a folder"])
def test_without_an_index_that_fits_the_shard_is_scanned(shards: list[Shard], change: str) -> None:
    path = index_of(shards[0])
    content = path.read_bytes()
    path.unlink()
    if change == "truncated":
        path.write_bytes(content[:-3])
    elif change == "of another shard":
        path.write_bytes(index_of(shards[1]).read_bytes())
    elif change == "a folder":
        path.mkdir()
    check_reads_all(shards)


def cut(shard: Path) -> None:
    shard.write_bytes(shard.read_bytes()[:-5])


def cut_between_records(shard: Path) -> None:
    ends = np.fromfile(index_of(Shard(str(shard), 9)), dtype="<u8")
    shard.write_bytes(shard.read_bytes()[: ends[-2]])


def flip_a_bit_of_data(shard: Path) -> None:
    content = bytearray(shard.read_bytes())
    content[100] ^= 1
    shard.write_bytes(content)


def flip_a_bit_of_a_length(shard: Path) -> None:
    content = bytearray(shard.read_bytes())
    content[0] ^= 1
    shard.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (cut, "is damaged or truncated after 8 of 9 examples: prepare the data again"),
        (cut_between_records, "has 8 examples, expected 9: prepare the data again"),
        (flip_a_bit_of_data, "example 1 of 9 is damaged, or .*index-00001-of-00003 is the index of another shard"),
        (flip_a_bit_of_a_length, "example 1 of 9 is damaged, or .*index-00001-of-00003 is the index of another shard"),
        (Path.unlink, "is missing: prepare the data again"),
    ],
)
def test_a_damaged_shard_is_named(shards: list[Shard], damage: Callable[[Path], None], message: str) -> None:
    damage(Path(shards[1].path))
    with pytest.raises(RunFailedError, match=f"tiny-train.tfrecord-00001-of-00003:? {message}"):
        read_examples(open_shards(shards), [1], [0])


def test_few_files_stay_open(shards: list[Shard], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shard_access, "_MAX_OPEN_FILES", 2)
    access = LocalShards(shards)
    first = access.open(0)
    for place in (1, 2, 1, 0, 2):
        access.open(place)
    assert first.read(3) == access.open(0).read(3)
    del first
    gc.collect()
    assert [os.path.realpath(shard.path) in open_paths() for shard in shards] == [True, False, True]


def open_paths() -> list[str]:
    """Returns the paths of the files that this process has open."""
    return [os.path.realpath(f"/proc/self/fd/{descriptor}") for descriptor in os.listdir("/proc/self/fd")]
