"""The half of a file that a download has so far, and where it came from."""

import contextlib
import json
import os
from dataclasses import asdict, dataclass, replace
from types import TracebackType
from typing import IO

from beam_pipelines.download.disk import remove_if_there, writing


@dataclass(frozen=True)
class Source:
    """Which version of which remote file the bytes are from.

    Attributes:
        url: Its address.
        etag: The server's mark of this version, "" where it gave none.
        last_modified: When it was changed, in the server's words, "" where it gave none.
        size_bytes: How large the whole file is, None where the server did not say.
    """

    url: str
    etag: str = ""
    last_modified: str = ""
    size_bytes: int | None = None

    @property
    def strong_validator(self) -> str:
        """What a server can tell versions apart by to the byte, "" where it gave nothing: a weak ETag does not do."""
        return self.etag if self.etag and not self.etag.startswith("W/") else self.last_modified

    def may_be_same(self, other: "Source") -> bool:
        """Returns whether nothing says that the two are different versions."""
        if None not in (self.size_bytes, other.size_bytes) and self.size_bytes != other.size_bytes:
            return False
        if self.etag and other.etag:
            return self.etag == other.etag
        return not (self.last_modified and other.last_modified) or self.last_modified == other.last_modified


class PartialFile:
    """`<path>.partial`, with its Source in `<path>.partial.json`. Used as a context manager.

    Both stay when the block ends, unless there are no bytes.
    Every method raises a UserError where the disk refuses.
    """

    def __init__(self, path: str, *, url: str) -> None:
        """Takes up what an earlier download from the same address left, where it can still be used.

        Args:
            path: The file that is to be.
            url: Where it comes from.
        """
        self._final_path = path
        self._path = f"{path}.partial"
        self._source_path = f"{self._path}.json"
        with writing(self._path):
            self._file: IO[bytes] = open(self._path, "ab")  # noqa: SIM115  (closed by __exit__)
            self._size_bytes = self._file.tell()
        source = _read_source(self._source_path)
        self._source = Source(url=url) if source is None else source
        is_too_long = self._source.size_bytes is not None and self._size_bytes > self._source.size_bytes
        if source is None or source.url != url or is_too_long:
            self.start_over(Source(url=url))

    def __enter__(self) -> "PartialFile":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # Where a full disk broke off the download, closing writes what is left in the buffer and fails once more.
        with contextlib.suppress(OSError):
            self._file.close()
        if self._size_bytes == 0:
            self.discard()

    @property
    def path(self) -> str:
        """Where the bytes are."""
        return self._path

    @property
    def size_bytes(self) -> int:
        """How many bytes are there."""
        return self._size_bytes

    @property
    def source(self) -> Source:
        """Where they are from."""
        return self._source

    @property
    def is_whole(self) -> bool:
        """Whether as many bytes are there as the server said that there are in all."""
        return self.source.size_bytes == self._size_bytes

    def start_over(self, source: Source) -> None:
        """Throws the bytes away; the next ones are of this source."""
        with writing(self._path):
            self._file.truncate(0)
        self._size_bytes = 0
        self._note(source)

    def learn_size(self, total_bytes: int) -> None:
        """Notes how large the whole file is, where that was not known."""
        if self._source.size_bytes is None:
            self._note(replace(self._source, size_bytes=total_bytes))

    def append(self, data: bytes) -> None:
        """Adds bytes at the end."""
        with writing(self._path):
            self._file.write(data)
        self._size_bytes += len(data)

    def flush(self) -> None:
        """Brings all bytes to the disk."""
        with writing(self._path):
            self._file.flush()
            os.fsync(self._file.fileno())

    def finish(self) -> None:
        """Gives the file its name."""
        with writing(self._final_path):
            os.replace(self._path, self._final_path)
        remove_if_there(self._source_path)

    def discard(self) -> None:
        """Deletes the bytes and what is known of them."""
        remove_if_there(self._path)
        remove_if_there(self._source_path)

    def _note(self, source: Source) -> None:
        temporary = f"{self._source_path}.new"
        with writing(self._source_path):
            with open(temporary, "w", encoding="utf-8") as file:
                json.dump(asdict(source), file)
            os.replace(temporary, self._source_path)
        self._source = source


def _read_source(path: str) -> Source | None:
    """Returns what was noted, or None if nothing was, or nothing that can be read."""
    try:
        with open(path, encoding="utf-8") as file:
            source = Source(**json.load(file))
    except (OSError, ValueError, TypeError):
        return None
    texts = (source.url, source.etag, source.last_modified)
    is_sound = all(isinstance(text, str) for text in texts) and isinstance(source.size_bytes, int | None)
    return source if is_sound else None
