"""Checks, before any work is done, that the buckets of a command exist and can be read or written.

One request for each path. Without google-cloud-storage, one for each bucket shows whether it exists; the first use of a
path shows what else is wrong.
"""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from beam_pipelines.common import bucket_objects
from beam_pipelines.common.bucket_client import client, is_anonymous, is_installed
from beam_pipelines.common.bucket_errors import BucketError, no_bucket, no_credentials
from beam_pipelines.common.bucket_requests import timeout_s
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
    if is_installed():
        google = with_retries(client, path=[*writes, *reads][0])
        checks = [*(partial(_check_writable, google, one) for one in writes)]
        checks += [partial(_check_readable, google, one) for one in reads]
    else:
        checks = [partial(_check_exists, one) for one in buckets_of([*writes, *reads])]
    with ThreadPoolExecutor(_THREADS) as threads:
        for done in [threads.submit(check) for check in checks]:
            done.result()
    _writable.update(writes)
    _readable.update(reads)


def buckets_of(paths: Iterable[str]) -> list[str]:
    """Returns the first of the gs:// paths of each bucket: a check for each of many files would take long."""
    first: dict[str, str] = {}
    for path in paths:
        if is_in_bucket(path):
            first.setdefault(bucket_and_name(path)[0], path)
    return list(first.values())


def _check_exists(path: str) -> None:
    """Asks without credentials whether the bucket of a path exists: the service tells everyone that one does not."""
    import requests

    address = f"https://storage.googleapis.com/storage/v1/b/{quote(_split(path)[0], safe='')}/o"
    with suppress(requests.RequestException):
        answer = requests.get(address, params={"maxResults": "1"}, timeout=_TIMEOUT_S)
        if answer.status_code == HTTPStatus.NOT_FOUND and "bucket does not exist" in answer.text:
            raise no_bucket(path)


def _check_readable(google: Any, path: str) -> None:
    from google.api_core.exceptions import Forbidden

    bucket, name = _split(path)

    def ask() -> None:
        # Objects of this prefix are either the file, or in the folder.
        options = {"max_results": 1, "fields": "items(name)", "retry": None, "timeout": timeout_s(_TIMEOUT_S)}
        list(google.list_blobs(bucket, prefix=name, **options))

    try:
        _ask(ask, path)
    except BucketError as no_list:
        if not name or not isinstance(no_list.__cause__, Forbidden):
            raise
        try:
            # Who may read objects, and not list them, can read this one.
            is_object = bucket_objects.size_bytes(f"gs://{bucket}/{name}") is not None
        except BucketError:
            raise no_list from no_list.__cause__
        if not is_object:
            raise BucketError(f"there is no object {path}; to read it as a folder: {no_list}") from no_list


def _check_writable(google: Any, path: str) -> None:
    bucket, name = _split(path)
    probe = google.bucket(bucket).blob("/".join(filter(None, [name, _PROBE])))

    def ask() -> None:
        probe.create_resumable_upload_session(if_generation_match=0, timeout=timeout_s(_TIMEOUT_S), retry=None)

    _ask(ask, path)


def _ask(request: Callable[[], object], path: str) -> None:
    from requests import ConnectionError as NoConnectionError

    def attempt() -> None:
        try:
            request()
        except NoConnectionError as error:
            # What is wrong for certain: another attempt may fail without credentials, however often it is repeated.
            if is_anonymous():
                raise no_credentials(path) from error
            raise

    try:
        with_retries(attempt, path=path)
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
