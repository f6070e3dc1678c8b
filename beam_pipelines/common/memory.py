"""The memory that can still be used."""

from pathlib import Path

_PROC = Path("/proc/meminfo")
_CGROUP = Path("/sys/fs/cgroup")


def available_memory_bytes(*, meminfo: Path = _PROC, cgroup: Path = _CGROUP) -> int | None:
    """Returns the memory that can still be used, swap included, within the limit of the container; None if unknown.

    Args:
        meminfo: Linux's table of memory; other systems have none.
        cgroup: The folder of the container's limits (cgroup v2).
    """
    try:
        table = {key: int(value.split()[0]) * 1024 for key, _, value in _pairs(meminfo, separator=":")}
        available = table["MemAvailable"] + table.get("SwapFree", 0)
    except (OSError, KeyError, ValueError):
        return None
    try:
        # Cached files count as used, but are given up for other uses.
        used = {key: int(value) for key, _, value in _pairs(cgroup / "memory.stat", separator=" ")}["anon"]
        return min(available, max(0, int((cgroup / "memory.max").read_text()) - used))
    except (OSError, KeyError, ValueError):  # no limit, or another version of cgroups
        return available


def _pairs(path: Path, *, separator: str) -> list[tuple[str, str, str]]:
    return [line.partition(separator) for line in path.read_text().splitlines()]
