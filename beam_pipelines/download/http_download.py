"""Downloads one file over HTTP. Interrupted downloads resume; the file exists only when its checksum is right."""

import hashlib
import os
import re
import time
from dataclasses import dataclass
from http import HTTPStatus

import requests
import urllib3

from beam_pipelines.common.errors import RunFailedError, UserError
from beam_pipelines.download.disk import remove_if_there, writing
from beam_pipelines.download.download_progress import DownloadProgress

_CHUNK_BYTES = 2**16
_SHA1_CHUNK_BYTES = 2**20
# How urllib3 starts its messages: HTTPConnection(host='127.0.0.1', port=80): …
_CONNECTION = re.compile(r"^(?:<[^>]*>|\w+\(host=[^)]*\)): ")

_TEMPORARY_STATUSES = frozenset({408, 425, 429, *range(500, 600)})

# The address or a redirect is wrong: another attempt would fail in the same way.
_WRONG_ADDRESS = (
    requests.exceptions.InvalidSchema,
    requests.exceptions.InvalidURL,
    requests.exceptions.MissingSchema,
    requests.exceptions.TooManyRedirects,
)


@dataclass(frozen=True)
class RetryPolicy:
    """When to retry and when to give up.

    Attributes:
        max_failures: Gives up after this many attempts in a row that brought no new bytes.
        backoff_s: The wait before the second attempt; it doubles with each attempt that brings no new bytes.
        max_backoff_s: The longest wait.
        connect_timeout_s: The longest time until a connection is made.
        read_timeout_s: The longest time without data from the server.
    """

    max_failures: int = 8
    backoff_s: float = 1.0
    max_backoff_s: float = 30.0
    connect_timeout_s: float = 20.0
    read_timeout_s: float = 60.0

    def wait_s(self, num_failures: int) -> float:
        """Returns the wait after this many attempts in a row that brought no new bytes."""
        return min(self.max_backoff_s, self.backoff_s * 2.0 ** max(0, num_failures - 1))


DEFAULT_POLICY = RetryPolicy()


class _InterruptedDownloadError(Exception):
    """An attempt ended before the file was complete; another one may succeed."""


def download_file(
    url: str,
    path: str,
    *,
    sha1: str | None,
    max_bytes: int,
    progress: DownloadProgress,
    policy: RetryPolicy = DEFAULT_POLICY,
) -> None:
    """Downloads a file. Resumes from `<path>.partial`, which an interrupted call leaves, if the checksum is known.

    Without a checksum, nothing shows that the parts are of one version of the file. Only one process at a time may
    download to a path.

    Args:
        url: The address, http or https.
        path: The file to create, in a folder that exists. A file with the right checksum is kept.
        sha1: The expected SHA-1, or None where it is not known.
        max_bytes: The most that is downloaded.
        progress: Shows the phases "downloading" and "checking", and a line before each retry.
        policy: When to retry and when to give up.

    Raises:
        UserError: The address, the existing file or the checksum is wrong, or the disk is full.
        RunFailedError: The server cannot be reached or keeps closing the connection.
    """
    if os.path.exists(path):
        if not os.path.isfile(path):
            raise UserError(f"{path} is not a file: expected a free path, or the file to download; move it away")
        if sha1 is not None and (actual := _sha1(path, progress=progress)) != sha1:
            raise UserError(f"{path} exists with the SHA-1 {actual}, expected {sha1}: move it away")
        return
    partial_path = f"{path}.partial"
    try:
        with requests.Session() as session:
            _Transfer(
                session=session,
                url=url,
                partial_path=partial_path,
                can_resume=sha1 is not None,
                max_bytes=max_bytes,
                progress=progress,
                policy=policy,
            ).run()
        if sha1 is not None and (actual := _sha1(partial_path, progress=progress)) != sha1:
            remove_if_there(partial_path)
            raise UserError(
                f"{url}: the downloaded file has the SHA-1 {actual}, expected {sha1}, and was deleted: run the command "
                "again; if that fails too, the file on the server is not the published one"
            )
        with writing(path):
            os.replace(partial_path, path)
    finally:
        if sha1 is None:
            remove_if_there(partial_path)


def _sha1(path: str, *, progress: DownloadProgress) -> str:
    digest = hashlib.sha1(usedforsecurity=False)
    size_bytes = os.path.getsize(path)
    with open(path, "rb") as file:
        while chunk := file.read(_SHA1_CHUNK_BYTES):
            digest.update(chunk)
            progress.update("checking", file.tell(), size_bytes)
    return digest.hexdigest()


@dataclass(frozen=True, kw_only=True)
class _Transfer:
    """Copies what a server sends to the partial file."""

    session: requests.Session
    url: str
    partial_path: str
    can_resume: bool
    max_bytes: int
    progress: DownloadProgress
    policy: RetryPolicy

    def run(self) -> None:
        """Makes attempts until one succeeds, or too many in a row have brought no new bytes."""
        most_bytes = self._size_bytes()
        num_failures = 0
        while True:
            try:
                self._attempt()
                return
            except _WRONG_ADDRESS as error:
                raise UserError(f"{self.url} cannot be used ({error}): expected a file on an HTTP server") from error
            except (requests.RequestException, urllib3.exceptions.HTTPError, _InterruptedDownloadError) as error:
                reason = _reason(error)
            size_bytes = self._size_bytes()
            num_failures = 0 if size_bytes > most_bytes else num_failures + 1
            most_bytes = max(most_bytes, size_bytes)
            if num_failures >= self.policy.max_failures:
                resume = f"to resume after {size_bytes / 2**20:.1f} MiB" if self.can_resume else "to try again"
                raise RunFailedError(f"{self.url} cannot be downloaded ({reason}): run the same command {resume}")
            wait_s = self.policy.wait_s(num_failures)
            self.progress.log(f"{self.url}: {reason}; trying again in {wait_s:.0f} s")
            time.sleep(wait_s)

    def _size_bytes(self) -> int:
        return os.path.getsize(self.partial_path) if os.path.exists(self.partial_path) else 0

    def _attempt(self) -> None:
        """Requests the bytes that are missing. Errors other than a UserError mean that some are still missing."""
        offset_bytes = self._size_bytes() if self.can_resume else 0
        # The offset counts bytes of the file, not of a compressed transfer.
        headers = {"Accept-Encoding": "identity"}
        if offset_bytes:
            headers["Range"] = f"bytes={offset_bytes}-"
        timeout_s = (self.policy.connect_timeout_s, self.policy.read_timeout_s)
        with self.session.get(self.url, headers=headers, stream=True, timeout=timeout_s) as response:
            status = f"status {response.status_code} {response.reason}"
            if offset_bytes and response.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                return  # the server has no more bytes; the checksum shows whether that is right
            if response.status_code in _TEMPORARY_STATUSES:
                raise _InterruptedDownloadError(f"the server answered with {status}")
            if response.status_code not in (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT):
                raise UserError(
                    f"{response.url} answered with {status}: expected a file there; "
                    "check the address, which base_url=… changes"
                )
            if response.status_code == HTTPStatus.OK:
                offset_bytes = 0
            elif not response.headers.get("Content-Range", "").startswith(f"bytes {offset_bytes}-"):
                remove_if_there(self.partial_path)
                raise _InterruptedDownloadError("the server sent another part than requested; the download starts over")
            self._copy(response, offset_bytes=offset_bytes)

    def _copy(self, response: requests.Response, *, offset_bytes: int) -> None:
        length_bytes = response.raw.length_remaining
        total_bytes = None if length_bytes is None else offset_bytes + length_bytes
        with writing(self.partial_path), open(self.partial_path, "ab") as file:
            file.truncate(offset_bytes)
            # Not decoded: some servers call a .tar.gz a tar with the encoding gzip.
            for chunk in response.raw.stream(_CHUNK_BYTES, decode_content=False):
                offset_bytes += len(chunk)
                if (size_bytes := max(offset_bytes, total_bytes or 0)) > self.max_bytes:
                    os.unlink(self.partial_path)
                    raise UserError(
                        f"{self.url} has {size_bytes:,} bytes or more, expected at most {self.max_bytes:,}: "
                        "the file on the server is not the published one"
                    )
                file.write(chunk)
                self.progress.update("downloading", offset_bytes, total_bytes)
            file.flush()
            os.fsync(file.fileno())
        if total_bytes is not None and offset_bytes < total_bytes:
            raise _InterruptedDownloadError(f"the connection was closed after {offset_bytes:,} bytes")


def _reason(error: BaseException) -> str:
    """Returns the innermost reason of a failed connection: the outer ones repeat the address."""
    causes = (getattr(error, "reason", None), *error.args)
    inner = next((cause for cause in causes if isinstance(cause, BaseException)), None)
    if inner is not None:
        return _reason(inner)
    return _CONNECTION.sub("", " ".join(str(error).split())) or type(error).__name__
