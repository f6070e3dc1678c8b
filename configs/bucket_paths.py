"""Which settings of a command are paths in buckets, and checks of paths before the command begins."""

from collections.abc import Iterator, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from beam_pipelines.common.bucket_access import buckets_of, check_access
from beam_pipelines.common.errors import UserError
from beam_pipelines.common.paths import is_in_bucket
from beam_pipelines.common.retries import StorageConfig

# Settings that are written to; other gs:// paths are read.
_WRITTEN = frozenset(
    {"destination", "output_dir", "run_dir", "search_dir", "folds_dir", "output", "output.markdown", "output.csv"}
    | {"runner.temp_location"}
)

_WEB = ("http://", "https://")


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
    found = [(key, value) for key, value in _texts(config) if is_in_bucket(value)]
    check_access(
        read=[*(path for key, path in found if key not in _WRITTEN), *buckets_of(paths)],
        written=[] if dry_run else [path for key, path in found if key in _WRITTEN],
    )


def check_no_web_addresses(config: Any, *, paths: Sequence[str]) -> None:
    """Raises a UserError if a path is a web address, from which nothing is read.

    Args:
        config: The settings, a dataclass. Those whose name ends with url, uri or endpoint are addresses.
        paths: Other paths that the command reads.
    """
    given = [*(("", path) for path in paths), *_texts(config)]
    for key, value in given:
        if value.startswith(_WEB) and not key.endswith(("url", "uri", "endpoint")):
            named = f"{key}={value}" if key else value
            raise UserError(f"{named} is a web address: download the files first, and give their local path or gs://…")


def _texts(config: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yields the settings that are texts, by dotted key."""
    for one in fields(config):
        key, value = f"{prefix}{one.name}", getattr(config, one.name)
        if is_dataclass(value):
            yield from _texts(value, f"{key}.")
        elif isinstance(value, str):
            yield key, value
