"""Finished data sets whose files are missing or damaged."""

from collections.abc import Callable
from pathlib import Path

import pytest
from prepared_data import write_prepared_data

from beam_pipelines.common.errors import UserError
from beam_pipelines.prepare.finished_files import find_damage, require_intact
from beam_pipelines.records import schema

SHARD = "tiny-train.tfrecord-00001-of-00002"
RECORDS = [[b"a" * 20, b"b" * 30], [b"c" * 40, b"d" * 50, b"e" * 60]]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data set of two shards, of which no record is an example, and an empty split."""
    return write_prepared_data(
        tmp_path / "data", {"train": RECORDS, "test": [[]]}, specs=[], labels=["blues"], tracks=[], config={}
    )


def damage_of(data: Path, *, reads_shards: bool = True) -> str | None:
    return find_damage(str(data), reads_shards=reads_shards)


def test_nothing_is_wrong_with_what_was_written(data: Path) -> None:
    assert damage_of(data) is None
    require_intact(str(data))


def test_an_index_is_not_needed(data: Path) -> None:
    for path in data.glob("*.index-*"):
        path.unlink()
    assert damage_of(data) is None


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5])


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize(
    ("name", "damage", "message"),
    [
        (SHARD, cut, "the shards of the train split have 275 bytes, expected 280"),
        (SHARD, empty, "the shards of the train split have 82 bytes, expected 280"),
        (SHARD, Path.unlink, f"{SHARD} is missing"),
        (schema.DATASET_INFO_FILE, empty, "dataset_info.json or a file beside it is damaged"),
        (schema.FEATURES_FILE, cut, "dataset_info.json or a file beside it is damaged"),
        (schema.STATS_FILE, Path.unlink, "stats.json is missing or damaged"),
        (schema.LABELS_FILE, Path.unlink, "label.labels.txt is missing or damaged"),
    ],
)
def test_what_is_wrong_is_named(data: Path, name: str, damage: Callable[[Path], None], message: str) -> None:
    damage(data / name)
    found = damage_of(data, reads_shards=False)
    assert found is not None and found.endswith(message)
    with pytest.raises(UserError) as error:
        require_intact(str(data))
    assert str(error.value) == f"{found}: set overwrite=true to prepare the data set again"


@pytest.mark.parametrize(("offset", "num_intact"), [(0, 0), (20, 0), (56 + 8, 1), (56 + 66 + 4, 2), (-1, 2)])
def test_a_wrong_bit_is_found_by_reading(data: Path, offset: int, num_intact: int) -> None:
    content = bytearray((data / SHARD).read_bytes())
    content[offset] ^= 1
    (data / SHARD).write_bytes(content)
    assert damage_of(data, reads_shards=False) is None
    assert damage_of(data) == f"{data / SHARD} is damaged after {num_intact} of 3 examples"
