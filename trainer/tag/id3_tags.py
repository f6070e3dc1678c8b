"""The genre in the ID3v2 tag of an mp3, WAV or AIFF file.

The frame TCON is replaced; all other frames keep their bytes, and so does the ID3v1 tag of an mp3. mutagen would parse
and write them again, and lose what it does not understand.
"""

import os
import struct
from collections.abc import Callable, Iterator, Sequence
from typing import Any, BinaryIO

from mutagen.aiff import AIFF
from mutagen.id3 import TCON, Encoding, Frames
from mutagen.mp3 import MP3
from mutagen.wave import WAVE

from beam_pipelines.audio.decode import AudioError

_GENRE_FRAME = "TCON"
_HEADER_BYTES = 10
_ID3V1_BYTES = 128
# Of a tag's header, and of the flags in it: sections 3.1 and 3.4 of the document below.
_FLAGS, _FOOTER = 5, 0x10
# Of the flags in the last byte of a frame's header in ID3v2.4: id3.org, ID3v2.4.0 main structure, section 4.1.2.
_FRAME_UNSYNCHRONISED = 0x02
# Of the sizes of chunks, as `struct` writes it.
_WAV_ORDER, _AIFF_ORDER = "<", ">"


class _Frames(dict[str, Any]):
    """The frames that mutagen knows. It parses some of them, and keeps the others as bytes in `unknown_frames`."""

    def __init__(self, *parsed: str) -> None:
        super().__init__(Frames)
        self._parsed = parsed

    def __getitem__(self, name: str) -> Any:
        if name not in self._parsed:
            raise KeyError(name)
        return super().__getitem__(name)


class Id3Tags:
    """The ID3 tags of an open file.

    Attributes:
        genres: The genres; those of an ID3v1 tag where the ID3v2 tag has none.
        others: All other frames, the ID3v1 tag and the list of other chunks, to compare.
    """

    def __init__(self, file: BinaryIO, file_type: Callable[..., Any], *, byte_order: str | None) -> None:
        """Reads the tags.

        Args:
            file: The file, open for reading and seeking.
            file_type: mutagen's MP3, WAVE or AIFF.
            byte_order: That of the sizes of chunks; None for an mp3, which has none.

        Raises:
            AudioError: There is a tag that cannot be written again without a loss.
            mutagen.MutagenError: The file or its tag is damaged.
        """
        self._byte_order = byte_order
        self._id3v1 = _read_id3v1(file) if byte_order is None else b""
        self._tags = _load(file, file_type, _Frames())
        start = self._start(file)
        if self._tags.size == 0:
            if start is not None and byte_order is not None:
                raise AudioError("tags", "its ID3 chunk cannot be read", stage="tags")
            self._frames: list[bytes] = []
        else:
            self._frames = _raw_frames(self._tags, file, start or 0)
        self.genres = tuple(
            genre
            for frame in _load(file, file_type, _Frames(_GENRE_FRAME)).getall(_GENRE_FRAME)
            for genre in frame.genres
        ) or _id3v1_genres(self._id3v1)
        chunks = [(name, size) for name, _, size in self._chunks(file) if name != b"ID3 "]
        self.others = (self._other_frames(), self._id3v1, chunks)

    def save(self, file: BinaryIO, genres: Sequence[str]) -> None:
        """Replaces the genres in a copy of the file, open for reading and writing."""
        size = file.seek(0, os.SEEK_END)
        file.truncate(size - len(self._id3v1))  # mutagen would write it again, from the frames that it has parsed
        frames = self._other_frames()
        version = self._tags.version[1]
        self._tags.unknown_frames = frames
        if genres:
            self._tags.add(TCON(encoding=_encoding(genres, version), text=list(genres)))
        file.seek(0)
        if genres or frames:
            # Several genres are separated by NUL in ID3v2.3 too: a slash may be a part of a genre.
            self._tags.save(file, v2_version=version, v23_sep=None)
        else:
            self._tags.delete(file)
        file.seek(0, os.SEEK_END)
        file.write(self._id3v1)

    def _other_frames(self) -> list[bytes]:
        return [frame for frame in self._frames if not frame.startswith(_GENRE_FRAME.encode())]

    def _chunks(self, file: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
        """Yields name, offset of the content and size of each chunk of a WAV or AIFF file."""
        if self._byte_order is None:
            return
        size_bytes, offset = file.seek(0, os.SEEK_END), 12
        file.seek(4)
        end = 8 + struct.unpack(f"{self._byte_order}I", file.read(4))[0]
        while offset + 8 <= min(end, size_bytes):
            file.seek(offset)
            name, size = struct.unpack(f"{self._byte_order}4sI", file.read(8))
            offset += 8
            if offset + size > size_bytes:
                raise AudioError("tags", "it is cut, or states a wrong size, so that no tag can be added", stage="tags")
            yield name.upper(), offset, size
            offset += size + size % 2

    def _start(self, file: BinaryIO) -> int | None:
        """Returns the offset of the tag in the file; None in a WAV or AIFF file without an ID3 chunk."""
        if self._byte_order is None:
            return 0
        return next((offset for name, offset, _ in self._chunks(file) if name == b"ID3 "), None)


def _load(file: BinaryIO, file_type: Callable[..., Any], frames: _Frames) -> Any:
    """Returns mutagen's ID3 tag, an empty one of version 2.4 if there is none."""
    file.seek(0)
    loaded = file_type(file, known_frames=frames, translate=False, load_v1=False)
    if loaded.tags is None:
        loaded.add_tags()
    return loaded.tags


def _raw_frames(tags: Any, file: BinaryIO, start: int) -> list[bytes]:
    """Returns all frames of a tag, with their headers."""
    version = tags.version[1]
    if version == 2:
        raise AudioError(
            "tags", "its tag is ID3v2.2, which is not written: convert it to ID3v2.3 or ID3v2.4 first", stage="tags"
        )
    frames = [bytes(frame) for frame in tags.unknown_frames]
    file.seek(start)
    header, body = file.read(_HEADER_BYTES), file.read(tags.size - _HEADER_BYTES)
    if header[_FLAGS] & _FOOTER:
        raise AudioError("tags", "its ID3 tag has a footer, which would stay in front of the audio", stage="tags")
    if version == 3 and tags.f_unsynch:
        body = body.replace(b"\xff\x00", b"\xff")
    joined = b"".join(frames)
    before, found, after = body.partition(joined) if joined else (b"", b"", body)
    if found != joined or (before and not tags.f_extended) or after.strip(b"\0"):
        raise AudioError("tags", "its ID3 tag holds bytes in no valid frame, which would be lost", stage="tags")
    # mutagen clears the flag of the tag that says it of all frames.
    return [_as_unsynchronised(frame) for frame in frames] if version == 4 and tags.f_unsynch else frames


def _as_unsynchronised(frame: bytes) -> bytes:
    flags = frame[_HEADER_BYTES - 1] | _FRAME_UNSYNCHRONISED
    return frame[: _HEADER_BYTES - 1] + bytes([flags]) + frame[_HEADER_BYTES:]


def _encoding(genres: Sequence[str], version: int) -> Any:
    if version == 4:
        return Encoding.UTF8
    return Encoding.LATIN1 if "".join(genres).isascii() else Encoding.UTF16


def _read_id3v1(file: BinaryIO) -> bytes:
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - _ID3V1_BYTES))
    data = file.read(_ID3V1_BYTES)
    return data if len(data) == _ID3V1_BYTES and data.startswith(b"TAG") else b""


def _id3v1_genres(tag: bytes) -> tuple[str, ...]:
    # The last byte is the number of the genre; mutagen knows the names.
    return tuple(TCON(encoding=Encoding.LATIN1, text=[str(tag[-1])]).genres) if tag and tag[-1] != 0xFF else ()


def mp3_tags(file: BinaryIO) -> Id3Tags:
    """Returns the tags of an mp3."""
    return Id3Tags(file, MP3, byte_order=None)


def wav_tags(file: BinaryIO) -> Id3Tags:
    """Returns the tags of a WAV file."""
    return Id3Tags(file, WAVE, byte_order=_WAV_ORDER)


def aiff_tags(file: BinaryIO) -> Id3Tags:
    """Returns the tags of an AIFF or AIFF-C file."""
    return Id3Tags(file, AIFF, byte_order=_AIFF_ORDER)
