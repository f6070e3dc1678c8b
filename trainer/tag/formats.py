"""The formats whose tags are written. The content of a file chooses, and not its name."""

from collections.abc import Callable, Mapping, Sequence
from typing import BinaryIO, Protocol

from mutagen import MutagenError

from beam_pipelines.audio.decode import AudioError
from beam_pipelines.audio.expected_length import expected_length
from beam_pipelines.audio.file_bytes import FileBytes, skip_id3v2
from beam_pipelines.audio.unexpected import unexpected_errors
from beam_pipelines.common.errors import first_line
from trainer.tag.id3_tags import aiff_tags, mp3_tags, wav_tags
from trainer.tag.mp4_tags import Mp4Tags
from trainer.tag.vorbis_tags import flac_tags, ogg_flac_tags, ogg_vorbis_tags, opus_tags

FORMAT_NAMES = "mp3, MP4 (m4a), FLAC, Ogg Vorbis, Opus, Ogg FLAC, WAV and AIFF"
# Endings of names that these formats have. Files with others are tagged if they are named one by one.
TAGGED_EXTENSIONS = (
    *(".mp3", ".mp2", ".mp1", ".mpa", ".mpga", ".m4a", ".m4b", ".m4r", ".mp4", ".f4a"),
    *(".flac", ".ogg", ".oga", ".opus", ".wav", ".wave", ".aif", ".aiff", ".aifc"),
)

_HEAD_BYTES = 64
_FIRST_PACKET = slice(27, _HEAD_BYTES)  # of an Ogg page, behind its header: RFC 3533


class Tags(Protocol):
    """The tags of an open file."""

    @property
    def genres(self) -> tuple[str, ...]:
        """The genres, in their order."""

    @property
    def others(self) -> object:
        """What else the tags hold, to compare two files."""

    def save(self, file: BinaryIO, genres: Sequence[str]) -> None:
        """Replaces the genres in a copy of the file, open for reading and writing."""


_OGG_READERS: Mapping[bytes, Callable[[BinaryIO], Tags]] = {
    b"\x01vorbis": ogg_vorbis_tags,
    b"OpusHead": opus_tags,
    b"\x7fFLAC": ogg_flac_tags,
}


@unexpected_errors("tags")
def read_tags(file: BinaryIO) -> Tags:
    """Returns the tags of a file that is open for reading and seeking.

    Raises:
        AudioError: The format is another one, or the tags are damaged or cannot be written again without a loss.
        OSError: The file cannot be read.
    """
    reader = _reader(file)
    if reader is None:
        raise AudioError("format", f"its tags are not written: expected one of {FORMAT_NAMES}", stage="tags")
    try:
        return reader(file)
    except MutagenError as error:
        raise AudioError("tags", f"its tags cannot be read: {first_line(error)}", stage="tags") from error


@unexpected_errors("tags")
def write_genres(file: BinaryIO, genres: Sequence[str]) -> None:
    """Replaces the genres in the tags of a file that is open for reading and writing.

    Raises:
        AudioError: As `read_tags`, or the tags cannot be written.
        OSError: The file cannot be read or written.
    """
    tags = read_tags(file)
    try:
        tags.save(file, genres)
    except MutagenError as error:
        raise AudioError("tags", f"its tags cannot be written: {first_line(error)}", stage="tags") from error


def _reader(file: BinaryIO) -> Callable[[BinaryIO], Tags] | None:
    data = FileBytes(file)
    head = data.read(skip_id3v2(data), _HEAD_BYTES)
    if head[:4] == b"fLaC":
        return flac_tags
    if head[:4] == b"OggS":
        return next((reader for mark, reader in _OGG_READERS.items() if mark in head[_FIRST_PACKET]), None)
    if head[4:8] == b"ftyp":
        return Mp4Tags
    if head[:4] in (b"RIFF", b"RIFX", b"RF64"):
        return wav_tags if head[8:12] == b"WAVE" else None
    if head[:4] == b"FORM":
        return aiff_tags
    length = expected_length(file, max_duration_s=1.0)
    return mp3_tags if length is not None and length.kind == "mp3" else None
