"""Checks, before any work is done, that the buckets of a command exist and can be read or written.

One request for each path. It needs google-cloud-storage; without it the first use of a path shows what is wrong.
"""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from beam_pipelines.common.bucket_client import client, is_installed
from beam_pipelines.common.errors import RunAgainError, UserError
from beam_pipelines.common.paths import bucket_and_name, is_in_bucket
from beam_pipelines.common.retries import with_retries

_TIMEOUT_S = 8.0
_THREADS = 8
# The object is never made: the check only begins its upload.
_PROBE = ".beamtune-access-check"
# What this process has checked.
_writable: set[str] = set()
_readable: set[str] = set()


def check_access(*, read: Iterable[str] = (), written: Iterable[str] = ()) -> None:
    """Checks that gs:// paths can be read or written, once in a process; other paths are left out.

    Args:
        read: Files or folders that a command reads. They need not exist.
        written: Folders that a command writes to. They need not exist.

    Raises:
        UserError: A bucket does not exist, the permission for the path or valid credentials are missing, or the
            project is wrong. The message says what to type.
        RunAgainError: The service could not be reached until the deadline.
    """
    writes = sorted({path for path in written if is_in_bucket(path)} - _writable)
    reads = sorted({path for path in read if is_in_bucket(path)} - {*writes, *_writable, *_readable})
    if not reads and not writes:
        return
    if not is_installed():
        return
    google = with_retries(client, path=[*writes, *reads][0])
    with ThreadPoolExecutor(_THREADS) as threads:
        checks = [threads.submit(_check_writable, google, path) for path in writes]
        checks += [threads.submit(_check_readable, google, path) for path in reads]
        for one in checks:
            one.result()
    _writable.update(writes)
    _readable.update(reads)


def buckets_of(paths: Iterable[str]) -> list[str]:
    """Returns the first of the gs:// paths of each bucket: a check for each of many files would take long."""
    first: dict[str, str] = {}
    for path in paths:
        if is_in_bucket(path):
            first.setdefault(bucket_and_name(path)[0], path)
    return list(first.values())


def _check_readable(google: Any, path: str) -> None:
    bucket, name = _split(path)

    def ask() -> None:
        from google.api_core.exceptions import Forbidden

        try:
            # Objects of this prefix are either the file, or in the folder.
            list(
                google.list_blobs(
                    bucket, prefix=name, max_results=1, fields="items(name)", retry=None, timeout=_TIMEOUT_S
                )
            )
        except Forbidden:
            # Who may read objects, and not list them, can read this one.
            if not name or not _is_readable_object(google.bucket(bucket).blob(name)):
                raise

    _ask(ask, path)


def _is_readable_object(blob: Any) -> bool:
    from google.api_core.exceptions import Forbidden

    try:
        return bool(blob.exists(retry=None, timeout=_TIMEOUT_S))
    except Forbidden:
        return False


def _check_writable(google: Any, path: str) -> None:
    bucket, name = _split(path)
    probe = google.bucket(bucket).blob("/".join(filter(None, [name, _PROBE])))
    _ask(lambda: probe.create_resumable_upload_session(if_generation_match=0, timeout=_TIMEOUT_S, retry=None), path)


def _ask(request: Callable[[], object], path: str) -> None:
    try:
        with_retries(request, path=path)
    except (UserError, RunAgainError):
        raise
    except Exception:  # noqa: S110
        # An answer that says nothing about the access: if something is wrong, the command meets it again.
        pass


def _split(path: str) -> tuple[str, str]:
    bucket, name = bucket_and_name(path)
    if not bucket:
        raise UserError(f"{path} names no bucket: expected gs://BUCKET/PATH")
    return bucket, name.strip("/")
