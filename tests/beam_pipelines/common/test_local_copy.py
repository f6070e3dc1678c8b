import io
import os

import pytest

from beam_pipelines.common import storage
from beam_pipelines.common.local_copy import copy_to_disk

DATA = bytes(range(256)) * 20_000  # 5 MB: several reads


class Failing(io.BytesIO):
    """A file of a bucket: fails after some bytes, or ends there without a word."""

    def __init__(self, num_good: int, error: Exception | None) -> None:
        super().__init__(DATA)
        self._num_good = num_good
        self._error = error

    def read(self, num_bytes: int | None = -1) -> bytes:
        data = super().read(num_bytes)
        if self.tell() <= self._num_good:
            return data
        if self._error is not None:
            raise self._error
        return b""


@pytest.mark.parametrize("num_failures", [0, 1, 3])
@pytest.mark.parametrize("num_good", [0, 2_000_000])
@pytest.mark.parametrize("error", [ConnectionError("reset"), RuntimeError("of a client"), None])
def test_a_copy_is_complete_after_some_failures(num_failures, num_good, error):
    opened, waits = [], []

    def open_source() -> io.BytesIO:
        opened.append(1)
        return Failing(num_good, error) if len(opened) <= num_failures else io.BytesIO(DATA)

    with copy_to_disk(open_source, name="gs://b/a.mp3", sleep=waits.append) as copy:
        assert copy.tell() == 0
        assert copy.read() == DATA
        assert os.fstat(copy.fileno()).st_size == len(DATA)
    assert waits == [1.0, 2.0, 4.0][:num_failures]


@pytest.mark.parametrize(
    ("error", "words"),
    [(ConnectionError("reset\nby peer"), "ConnectionError: reset by peer"), (None, "of 5120000 bytes were read")],
)
def test_what_cannot_be_read_is_an_error_and_no_shorter_file(error, words):
    waits = []
    with pytest.raises(OSError, match="gs://b/a.mp3 cannot be read in 4 attempts") as caught:
        copy_to_disk(lambda: Failing(2_000_000, error), name="gs://b/a.mp3", sleep=waits.append)
    assert words in str(caught.value)
    assert waits == [1.0, 2.0, 4.0]


def test_opening_is_tried_again_unless_there_is_no_file():
    def fail(error):
        opened.append(1)
        raise error

    for error, num_opened in (
        (TimeoutError("slow"), 4),
        (FileNotFoundError("none"), 1),
        (PermissionError("no"), 1),
        (ValueError("scheme"), 1),
    ):
        opened = []
        with pytest.raises(type(error) if num_opened == 1 else OSError):
            copy_to_disk(lambda error=error: fail(error), name="a", sleep=lambda _: None)
        assert len(opened) == num_opened


def test_a_file_that_is_too_large_is_not_copied():
    with pytest.raises(OSError, match="a has 5120000 bytes: expected at most 1000000"):
        copy_to_disk(lambda: io.BytesIO(DATA), name="a", max_bytes=1_000_000)


def test_local_files_are_opened_where_they_are_and_others_are_copied(tmp_path, monkeypatch):
    path = tmp_path / "a.mp3"
    path.write_bytes(b"abc")
    with storage.open_local(str(path)) as file:
        assert os.fstat(file.fileno()).st_ino == path.stat().st_ino
    monkeypatch.setattr(storage, "open_file", lambda path: io.BytesIO(f"content of {path}".encode()))
    with storage.open_local("hdfs://bucket/a.mp3") as file:
        assert (file.read(), file.fileno() > 2) == (b"content of hdfs://bucket/a.mp3", True)
