"""Whether examples fit into memory."""

import pytest

from beam_pipelines.common.errors import UserError
from beam_pipelines.records.schema import FeatureSpec
from trainer.data.memory import available_memory_bytes, check_fits_into_memory
from trainer.data.prepared import Shard

SPECS = {"log_mel": FeatureSpec(name="log_mel", shape=(100, 64), dtype="float16")}
SHARDS = [Shard(path="a", num_examples=1_000), Shard(path="b", num_examples=500)]
NEEDED = 1_500 * (100 * 64 * 2 + 16)


def test_examples_that_fit_pass_and_one_byte_less_is_refused():
    check_fits_into_memory(SHARDS, SPECS, available_bytes=NEEDED)
    check_fits_into_memory(SHARDS, SPECS, available_bytes=None)
    with pytest.raises(UserError, match=r"cache=true: .* take 0\.0 GiB .*: set cache=false \(with sampling=natural\)"):
        check_fits_into_memory(SHARDS, SPECS, available_bytes=NEEDED - 1)


@pytest.mark.parametrize(
    ("limit", "stat", "expected"),
    [
        (None, None, 9_000 * 1024),
        ("max\n", "anon 1000\nfile 5\n", 9_000 * 1024),
        ("50000\n", "anon 1000\nfile 40000\n", 49_000),
        ("500\n", "anon 1000\n", 0),
        ("99999999999\n", "anon 1000\n", 9_000 * 1024),
        ("50000\n", "nothing\n", 9_000 * 1024),
    ],
)
def test_available_memory_is_that_of_the_machine_within_the_limit_of_the_container(tmp_path, limit, stat, expected):
    meminfo = tmp_path / "meminfo"
    meminfo.write_text(
        "MemTotal: 16000 kB\nMemFree: 10 kB\nMemAvailable:    8000 kB\nSwapFree: 1000 kB\nHugePages: 0\n"
    )
    if limit is not None:
        (tmp_path / "memory.max").write_text(limit)
        (tmp_path / "memory.stat").write_text(stat)
    assert available_memory_bytes(meminfo=meminfo, cgroup=tmp_path) == expected


def test_a_system_without_the_table_is_unknown(tmp_path):
    assert available_memory_bytes(meminfo=tmp_path / "none", cgroup=tmp_path) is None
    (tmp_path / "meminfo").write_text("MemTotal: 16000 kB\n")
    assert available_memory_bytes(meminfo=tmp_path / "meminfo", cgroup=tmp_path) is None
