"""One file over HTTP: resumed where a connection broke off, and never there unless whole and of the right checksum."""

import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import requests
import urllib3

from beam_pipelines.common.errors import RunFailedError, UserError
from beam_pipelines.download.checksum import sha1_of
from beam_pipelines.download.disk import require_free_space
from beam_pipelines.download.partial_file import PartialFile, Source
from beam_pipelines.download.progress import OnProgress, ignore_progress

_CHUNK_BYTES = 2**16
_CONTENT_RANGE = re.compile(r"bytes (?P<first>\d{1,18})-\d{1,18}/(?P<total>\d{1,18}|\*)")
# How urllib3 begins its messages: HTTPConnection(host='127.0.0.1', port=80): …
_CONNECTION = re.compile(r"^(?:<[^>]*>|\w+\(host=[^)]*\)): ")
_UNSATISFIED_RANGE = re.compile(r"bytes \*/(?P<total>\d{1,18})")

_OK = 200
_PARTIAL_CONTENT = 206
_RANGE_NOT_SATISFIABLE = 416
# Answers that another attempt may change: timeouts, too many requests, and the server's own errors.
_PASSING_STATUSES = frozenset({408, 425, 429, *range(500, 600)})

# Mistakes in the address, or in one that the server leads to: another attempt would end the same way.
_WRONG_ADDRESS = (
    requests.exceptions.InvalidSchema,
    requests.exceptions.InvalidURL,
    requests.exceptions.MissingSchema,
    requests.exceptions.TooManyRedirects,
)


@dataclass(frozen=True)
class RetryPolicy:
    """How patient a download is.

    Attributes:
        max_failures: It gives up after this many attempts in a row that brought it no further.
        backoff_s: The wait before the second attempt; it doubles with each attempt that brings nothing.
        max_backoff_s: No wait is longer than this.
        connect_timeout_s: How long a server may take to be reached.
        read_timeout_s: How long a server may be silent.
    """

    max_failures: int = 8
    backoff_s: float = 1.0
    max_backoff_s: float = 30.0
    connect_timeout_s: float = 20.0
    read_timeout_s: float = 60.0

    def wait_s(self, num_failures: int) -> float:
        """Returns how long to wait after this many attempts that brought nothing."""
        return min(self.max_backoff_s, self.backoff_s * 2.0 ** max(0, num_failures - 1))


DEFAULT_POLICY = RetryPolicy()


class _InterruptedTransferError(Exception):
    """An attempt ended before the file was whole; the message says why."""


def download_file(
    url: str,
    path: str,
    *,
    sha1: str | None,
    max_bytes: int,
    on_progress: OnProgress = ignore_progress,
    on_retry: Callable[[str], None] = lambda line: None,
    policy: RetryPolicy = DEFAULT_POLICY,
) -> None:
    """Fetches a file, going on from what an earlier call left in `<path>.partial`.

    One process at a time may do this for a path.

    Args:
        url: Its address, http or https.
        path: Where it goes, in a folder that is there. A file that is there with the right checksum is kept.
        sha1: What its SHA-1 must be; None where nobody publishes it, and whoever reads the file finds out what it is.
        max_bytes: No more than this is fetched.
        on_progress: Told how far the phases "downloading" and "checking" are.
        on_retry: Told in a line why an attempt ended and when the next begins.
        policy: How often to try, and how long to wait.

    Raises:
        UserError: The address or the file there is wrong, the checksum is, or the disk is full.
        RunFailedError: The server cannot be reached or breaks off time and again; what is there is kept.
    """
    if os.path.exists(path):
        _check_existing(path, sha1=sha1, on_progress=on_progress)
        return
    with PartialFile(path, url=url) as partial, requests.Session() as session:
        transfer = _Transfer(session, url, partial, max_bytes=max_bytes, on_progress=on_progress, policy=policy)
        _try_until_whole(transfer, partial, url=url, on_retry=on_retry, policy=policy)
        partial.flush()
        if sha1 is not None:
            _check_transferred(partial, url=url, sha1=sha1, on_progress=on_progress)
        partial.finish()


def _check_transferred(partial: PartialFile, *, url: str, sha1: str, on_progress: OnProgress) -> None:
    actual = sha1_of(partial.path, on_progress=on_progress)
    if actual != sha1:
        partial.discard()
        raise UserError(
            f"{url}: what came has the SHA-1 {actual}, expected {sha1}; it was deleted: give the command again, "
            "and if this comes again, the file there is not the published one"
        )


def _check_existing(path: str, *, sha1: str | None, on_progress: OnProgress) -> None:
    if not os.path.isfile(path):
        raise UserError(f"{path} is no file: expected nothing there, or the file to download; move it away")
    if sha1 is None:
        return
    actual = sha1_of(path, on_progress=on_progress)
    if actual != sha1:
        raise UserError(f"{path} is there with the SHA-1 {actual}, expected {sha1}: delete it or move it away")


def _try_until_whole(
    transfer: "_Transfer", partial: PartialFile, *, url: str, on_retry: Callable[[str], None], policy: RetryPolicy
) -> None:
    """Makes attempts until the file is whole, or too many in a row brought it no further than any before."""
    furthest_bytes = partial.size_bytes
    num_failures = 0
    while not partial.is_whole:
        try:
            transfer.attempt()
            return
        except _WRONG_ADDRESS as error:
            raise UserError(f"{url} leads nowhere ({error}): expected a file on a server, http or https") from error
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:  # raised before any content comes
            reason = _cause(error)
        except _InterruptedTransferError as error:
            reason = str(error)
        num_failures = 0 if partial.size_bytes > furthest_bytes else num_failures + 1
        furthest_bytes = max(furthest_bytes, partial.size_bytes)
        if num_failures >= policy.max_failures:
            raise RunFailedError(
                f"{url} cannot be fetched ({reason}): the same command goes on where it stopped, "
                f"with {partial.size_bytes / 2**20:.1f} MiB there"
            )
        wait_s = policy.wait_s(num_failures)
        on_retry(f"{url}: {reason}; trying again in {wait_s:.0f} s")
        time.sleep(wait_s)


class _Transfer:
    """The attempts at one file."""

    def __init__(
        self,
        session: requests.Session,
        url: str,
        partial: PartialFile,
        *,
        max_bytes: int,
        on_progress: OnProgress,
        policy: RetryPolicy,
    ) -> None:
        self._session = session
        self._url = url
        self._partial = partial
        self._max_bytes = max_bytes
        self._on_progress = on_progress
        self._timeout_s = (policy.connect_timeout_s, policy.read_timeout_s)

    def attempt(self) -> None:
        """Makes one request for what is missing; the file is whole then.

        Raises:
            _InterruptedTransferError: It is not whole yet; another attempt may go on, or start over.
        """
        offset_bytes = self._partial.size_bytes
        with self._session.get(self._url, headers=self._headers(), stream=True, timeout=self._timeout_s) as response:
            if response.status_code == _RANGE_NOT_SATISFIABLE and offset_bytes:
                self._require_end(response, offset_bytes=offset_bytes)
                return
            self._require_content(response)
            if response.status_code == _PARTIAL_CONTENT:
                self._require_continuation(response, offset_bytes=offset_bytes)
            else:
                self._partial.start_over(_source(self._url, response, total_bytes=_content_length(response)))
            self._require_room()
            self._copy(response)

    def _headers(self) -> dict[str, str]:
        # Compressed on the way, a range would count other bytes than those of the file.
        headers = {"Accept-Encoding": "identity"}
        if self._partial.size_bytes:
            headers["Range"] = f"bytes={self._partial.size_bytes}-"
            if self._partial.source.strong_validator:
                headers["If-Range"] = self._partial.source.strong_validator
        return headers

    def _require_end(self, response: requests.Response, *, offset_bytes: int) -> None:
        """Starts over unless the server says that the file ends where the next byte was asked for."""
        found = _UNSATISFIED_RANGE.fullmatch(response.headers.get("Content-Range", ""))
        if found is None or int(found["total"]) != offset_bytes:
            self._partial.start_over(Source(url=self._url))
            raise _InterruptedTransferError(
                f"the server has no byte {offset_bytes:,}, where the next was expected, so the download starts over"
            )

    def _require_content(self, response: requests.Response) -> None:
        status = response.status_code
        if status in _PASSING_STATUSES:
            raise _InterruptedTransferError(f"the server answered with status {status} {response.reason}")
        if status not in (_OK, _PARTIAL_CONTENT):
            raise UserError(
                f"{response.url} answered with status {status} {response.reason}: expected a file there; "
                "check the address, which base_url=… changes"
            )

    def _require_continuation(self, response: requests.Response, *, offset_bytes: int) -> None:
        """Starts over unless the bytes that come are the next ones of the same version of the file."""
        content_range = response.headers.get("Content-Range", "")
        found = _CONTENT_RANGE.fullmatch(content_range)
        total_bytes = None if found is None or found["total"] == "*" else int(found["total"])
        is_beyond_end = total_bytes is not None and total_bytes <= offset_bytes
        if found is None or int(found["first"]) != offset_bytes or is_beyond_end:
            self._partial.start_over(Source(url=self._url))
            raise _InterruptedTransferError(
                f"the server sent {content_range or 'an unnamed part'} where the bytes from {offset_bytes} on were "
                "asked for, so the download starts over"
            )
        source = _source(self._url, response, total_bytes=total_bytes)
        if offset_bytes == 0:
            self._partial.start_over(source)
        elif not self._partial.source.may_be_same(source):
            self._partial.start_over(Source(url=self._url))
            raise _InterruptedTransferError("the file there has changed, so the download starts over")
        elif total_bytes is not None:
            self._partial.learn_size(total_bytes)

    def _require_room(self) -> None:
        total_bytes = self._partial.source.size_bytes
        if total_bytes is None:
            return
        self._require_within_bound(total_bytes)
        require_free_space(
            os.path.dirname(self._partial.path) or ".",
            needed_bytes=total_bytes - self._partial.size_bytes,
            purpose=f"downloading {self._url}",
        )

    def _require_within_bound(self, size_bytes: int) -> None:
        if size_bytes > self._max_bytes:
            self._partial.discard()
            raise UserError(
                f"{self._url} has {size_bytes:,} bytes or more, expected at most {self._max_bytes:,}: "
                "the file there is not the published one"
            )

    def _copy(self, response: requests.Response) -> None:
        """Adds what the server sends, up to the size that it announced."""
        partial = self._partial
        total_bytes = partial.source.size_bytes
        # Bytes as they are on the server: some call a .tar.gz a tar with the encoding gzip.
        chunks = response.raw.stream(_CHUNK_BYTES, decode_content=False)
        while not partial.is_whole:
            chunk = self._next(chunks)
            if not chunk and total_bytes is None:
                return
            if not chunk:
                raise self._broken_off("it was closed")
            if total_bytes is None:
                self._require_within_bound(partial.size_bytes + len(chunk))
            else:
                chunk = chunk[: total_bytes - partial.size_bytes]
            partial.append(chunk)
            self._on_progress("downloading", partial.size_bytes, total_bytes)

    def _next(self, chunks: Iterator[bytes]) -> bytes:
        try:
            return next(chunks, b"")
        except urllib3.exceptions.HTTPError as error:
            raise self._broken_off(_cause(error)) from error

    def _broken_off(self, cause: str) -> _InterruptedTransferError:
        return _InterruptedTransferError(f"the connection broke off at byte {self._partial.size_bytes:,} ({cause})")


def _source(url: str, response: requests.Response, *, total_bytes: int | None) -> Source:
    return Source(
        url=url,
        etag=response.headers.get("ETag", ""),
        last_modified=response.headers.get("Last-Modified", ""),
        size_bytes=total_bytes,
    )


def _content_length(response: requests.Response) -> int | None:
    value = response.headers.get("Content-Length", "")
    return int(value) if re.fullmatch(r"\d{1,18}", value, re.ASCII) else None


def _cause(error: Exception) -> str:
    """Returns the innermost reason of a failed connection: the outer ones repeat the address."""
    inner: BaseException = error
    while True:
        nested = getattr(inner, "reason", None) or next(
            (argument for argument in inner.args if isinstance(argument, BaseException)), None
        )
        if not isinstance(nested, BaseException):
            break
        inner = nested
    text = " ".join(str(inner).split())
    return _CONNECTION.sub("", text) or type(inner).__name__
