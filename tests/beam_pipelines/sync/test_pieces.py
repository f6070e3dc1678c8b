import io

import pytest

from beam_pipelines.sync.errors import ChangingError, StoppedError
from beam_pipelines.sync.pieces import ReadPiece, WritePiece
from beam_pipelines.sync.transfers import Transfers


def test_a_piece_is_read_like_a_file_of_its_own():
    transfers = Transfers()
    piece = ReadPiece(io.BytesIO(b"0123456789"), start=3, size_bytes=4, transfers=transfers)
    assert (piece.read(3), piece.tell()) == (b"345", 3)
    assert piece.read() == b"6"
    assert piece.read(1) == b""
    assert piece.seek(1) == 1
    assert piece.read(100) == b"456"
    assert piece.seek(0, io.SEEK_END) == 4
    assert piece.seekable() and piece.readable() and not piece.writable()
    assert transfers.num_bytes == 3 + 1 + 3


def test_a_file_that_has_become_shorter_is_an_error():
    piece = ReadPiece(io.BytesIO(b"0123456789"), start=8, size_bytes=4, transfers=Transfers())
    with pytest.raises(ChangingError, match="shorter"):
        piece.read()


def test_a_piece_is_written_where_it_belongs():
    transfers = Transfers()
    file = io.BytesIO(b"0123456789")
    first = WritePiece(file, start=2, size_bytes=3, transfers=transfers)
    second = WritePiece(file, start=6, size_bytes=2, transfers=transfers)
    assert [first.write(b"a"), second.write(b"xy"), first.write(b"bc")] == [1, 2, 2]
    assert file.getvalue() == b"01abc5xy89"
    assert (first.tell(), second.tell(), transfers.num_bytes) == (3, 2, 5)


def test_no_byte_is_written_behind_a_piece():
    file = io.BytesIO(b"0123456789")
    piece = WritePiece(file, start=2, size_bytes=3, transfers=Transfers())
    with pytest.raises(ChangingError, match="more bytes"):
        piece.write(b"abcd")
    assert file.getvalue() == b"0123456789"


def test_a_stop_ends_reading_and_writing():
    transfers = Transfers()
    transfers.stop()
    with pytest.raises(StoppedError):
        ReadPiece(io.BytesIO(b"01"), start=0, size_bytes=2, transfers=transfers).read()
    with pytest.raises(StoppedError):
        WritePiece(io.BytesIO(b"01"), start=0, size_bytes=2, transfers=transfers).write(b"a")
