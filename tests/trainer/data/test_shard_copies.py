"""Shards in a bucket are read through local copies: the same records in the same order, whatever the network does."""

import os
from pathlib import Path

import pytest
import tensorflow as tf
from gcs.faults import Faults
from gcs.fixture import Gcs

from beam_pipelines.common.errors import RunAgainError, RunFailedError, UserError
from beam_pipelines.common.retries import StorageConfig
from trainer.data.batches import shard_read_errors
from trainer.data.parsing import read_records
from trainer.data.prepared import Shard

NUM_SHARDS = 10


@pytest.fixture
def shards(gcs_here: Gcs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Shard]:
    """Shards of different lengths in a bucket, each record with its own content; the same in a local folder."""
    monkeypatch.setenv("BEAMTUNE_STORAGE_RETRY_DEADLINE_S", "")
    StorageConfig(retry_deadline_s=0).apply()
    lengths = [1 + index % 5 for index in range(NUM_SHARDS)]
    for index, length in enumerate(lengths):
        with tf.io.TFRecordWriter(str(tmp_path / f"shard-{index}")) as sink:
            for number in range(length):
                sink.write(f"record {number} of {index}".encode() * 100)
    gcs_here.upload(tmp_path)
    gcs_here.clear_requests()
    return [Shard(f"{gcs_here.url}/shard-{index}", length) for index, length in enumerate(lengths)]


def read(shards: list[Shard]) -> list[bytes]:
    with shard_read_errors(shards):
        return list(read_records(shards).as_numpy_iterator())


def open_files() -> int:
    return sum("beamtune-" in link or "(deleted)" in link for link in map(_target, os.listdir("/dev/fd")))


def _target(descriptor: str) -> str:
    try:
        return os.readlink(f"/dev/fd/{descriptor}")
    except FileNotFoundError:  # that of the listing itself
        return ""


def test_records_and_requests(gcs_here: Gcs, shards: list[Shard], tmp_path: Path) -> None:
    before = open_files()
    local = [Shard(str(tmp_path / os.path.basename(shard.path)), shard.num_examples) for shard in shards]
    assert read(shards) == read(local)
    assert [record.kind for record in gcs_here.requests()].count("get") == NUM_SHARDS
    assert open_files() == before


def test_an_iterator_that_is_not_read_to_its_end_leaves_no_copies(shards: list[Shard]) -> None:
    before = open_files()
    for _ in range(3):
        iterator = iter(read_records(shards).repeat().prefetch(4))
        next(iterator)
        del iterator
    assert open_files() == before


@pytest.mark.parametrize("fault", ["truncated", "cut_reply", "unavailable"])
def test_what_is_cut_is_read_again(gcs_here: Gcs, shards: list[Shard], fault: str) -> None:
    expected = read(shards)
    StorageConfig(retry_deadline_s=600).apply()
    gcs_here.clear_requests()
    gcs_here.set_faults(Faults(kinds=("get",), times=3, **{f"{fault}_share": 1.0}))
    assert read(shards) == expected
    assert [record.fault for record in gcs_here.requests()].count(fault) == 3


@pytest.mark.parametrize(
    ("faults", "error", "message"),
    [
        (Faults(kinds=("get",), unavailable_share=1.0), RunAgainError, "shard-.* cannot be reached .Backend Error"),
        (Faults(kinds=("get",), truncated_share=1.0), RunAgainError, "run the same command again"),
        (Faults(granted=()), UserError, "lacks the permission storage.objects.get"),
    ],
)
def test_an_outage_and_a_refusal_are_named(
    gcs_here: Gcs, shards: list[Shard], faults: Faults, error: type[Exception], message: str
) -> None:
    gcs_here.set_faults(faults)
    with pytest.raises(error, match=message):
        read(shards)


def test_a_missing_and_a_damaged_shard_are_named(gcs_here: Gcs, shards: list[Shard]) -> None:
    content = gcs_here.read("shard-7")
    gcs_here.write("shard-7", content[:-5])
    with pytest.raises(RunFailedError, match="shard-7 is damaged or truncated after 2 of 3 examples"):
        read(shards)
    gcs_here.delete("shard-7")
    with pytest.raises(RunFailedError, match="shard-7 is missing: prepare the data again"):
        read(shards)
