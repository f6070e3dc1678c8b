"""The memory that can still be used."""

import pytest

from beam_pipelines.common.memory import available_memory_bytes


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
