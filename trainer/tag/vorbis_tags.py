"""The comment GENRE of FLAC, Ogg Vorbis, Opus and Ogg FLAC files. mutagen keeps order and text of all others."""

from collections.abc import Callable, Sequence
from typing import Any, BinaryIO

from mutagen.flac import FLAC, Padding, VCFLACDict
from mutagen.oggflac import OggFLAC
from mutagen.oggopus import OggOpus
from mutagen.oggvorbis import OggVorbis

from beam_pipelines.audio.decode import AudioError
from beam_pipelines.audio.file_bytes import FileBytes, skip_id3v2

_KEY = "GENRE"
_NO_TEXT = "\ufffd"  # what mutagen reads in place of bytes that are not UTF-8
_FLAC_MARKER = b"fLaC"
_BLOCK_HEADER_BYTES = 4
_LAST_BLOCK = 0x80


class VorbisTags:
    """The comments of an open file.

    Attributes:
        genres: The values of all comments GENRE.
        others: All other comments in their order, and the other metadata blocks of a FLAC file, to compare.
    """

    def __init__(self, file: BinaryIO, file_type: Callable[..., Any]) -> None:
        """Reads the comments.

        Args:
            file: The file, open for reading and seeking.
            file_type: mutagen's FLAC, OggVorbis, OggOpus or OggFLAC.

        Raises:
            AudioError: There are comments that cannot be written again without a loss.
            mutagen.MutagenError: The file or its comments are damaged.
        """
        file.seek(0)
        self._file = file_type(file)
        if self._file.tags is None:
            self._file.add_tags()
        else:
            _check_complete(self._file.tags, framing=file_type is OggVorbis)
        comments = list(self._file.tags)
        self.genres = tuple(value for key, value in comments if key.upper() == _KEY)
        blocks = _flac_blocks(file) if file_type is FLAC else []
        self.others = ([one for one in comments if one[0].upper() != _KEY], blocks)

    def save(self, file: BinaryIO, genres: Sequence[str]) -> None:
        """Replaces the genres in a copy of the file, open for reading and writing."""
        self._file.tags[_KEY] = list(genres)
        file.seek(0)
        self._file.save(file)


def _check_complete(tags: Any, *, framing: bool) -> None:
    """Raises an AudioError if mutagen has left out a comment, or has read other bytes than it would write."""
    if len(tags.write(framing=framing)) != tags._size or any(_NO_TEXT in text for comment in tags for text in comment):
        raise AudioError("tags", "its comments are not all KEY=value in UTF-8: writing would change them", stage="tags")


def _flac_blocks(file: BinaryIO) -> list[tuple[int, bytes]]:
    """Returns type and content of the metadata blocks of a FLAC file, without padding and comments."""
    data = FileBytes(file)
    offset, blocks, is_last = skip_id3v2(data) + len(_FLAC_MARKER), [], False
    while not is_last and offset < data.size:
        header = data.read(offset, _BLOCK_HEADER_BYTES)
        is_last, code = bool(header[0] & _LAST_BLOCK), header[0] & ~_LAST_BLOCK
        size = int.from_bytes(header[1:], "big")
        offset += _BLOCK_HEADER_BYTES
        if code not in (Padding.code, VCFLACDict.code):
            blocks.append((code, data.read(offset, size)))
        offset += size
    return blocks


def flac_tags(file: BinaryIO) -> VorbisTags:
    """Returns the tags of a FLAC file."""
    return VorbisTags(file, FLAC)


def ogg_vorbis_tags(file: BinaryIO) -> VorbisTags:
    """Returns the tags of an Ogg Vorbis file."""
    return VorbisTags(file, OggVorbis)


def opus_tags(file: BinaryIO) -> VorbisTags:
    """Returns the tags of an Opus file."""
    return VorbisTags(file, OggOpus)


def ogg_flac_tags(file: BinaryIO) -> VorbisTags:
    """Returns the tags of a FLAC stream in an Ogg file."""
    return VorbisTags(file, OggFLAC)
