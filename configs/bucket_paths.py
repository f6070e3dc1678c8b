"""Which settings of a command are paths in buckets, and the check of these before the command begins."""

from collections.abc import Iterator, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from beam_pipelines.common.bucket_access import buckets_of, check_access
from beam_pipelines.common.paths import is_in_bucket
from beam_pipelines.common.retries import StorageConfig

# Settings that are written to; other gs:// paths are read.
_WRITTEN = frozenset(
    {"destination", "output_dir", "run_dir", "search_dir", "folds_dir", "output", "output.markdown", "output.csv"}
    | {"runner.temp_location"}
)


def check_buckets(config: Any, *, paths: Sequence[str] = (), dry_run: bool = False) -> None:
    """Checks that the buckets in the settings of a command can be accessed; sets the deadline of operations on them.

    Args:
        config: The settings, a dataclass.
        paths: Other paths that the command reads. The first in each bucket is checked.
        dry_run: Whether the command writes nothing.

    Raises:
        UserError: A bucket cannot be accessed.
        RunAgainError: A bucket could not be reached until the deadline.
    """
    storage = getattr(config, "storage", None)
    if isinstance(storage, StorageConfig):
        storage.apply()
    found = list(_paths(config))
    check_access(
        read=[*(path for key, path in found if key not in _WRITTEN), *buckets_of(paths)],
        written=[] if dry_run else [path for key, path in found if key in _WRITTEN],
    )


def _paths(config: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yields the settings that are gs:// paths, by dotted key."""
    for one in fields(config):
        key, value = f"{prefix}{one.name}", getattr(config, one.name)
        if is_dataclass(value):
            yield from _paths(value, f"{key}.")
        elif isinstance(value, str) and is_in_bucket(value):
            yield key, value
