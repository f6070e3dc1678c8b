"""The length of WAV, AIFF and AU files of uncompressed samples, from their headers and sizes.

Sources: Microsoft, "Multiple channel audio data and WAVE files"; EBU Tech 3306 (RF64); Apple, "Audio Interchange File
Format AIFF-C"; the header of Sun's au(4).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from beam_pipelines.audio.file_bytes import FileBytes

_MAX_CHUNKS = 1000
_PCM, _FLOAT, _A_LAW, _MU_LAW, _EXTENSIBLE = 1, 3, 6, 7, 0xFFFE
# Programs that do not know the length yet write about 2 GiB, about 4 GiB, or 0.
_LEAST_PLACEHOLDER = (1 << 31) - (1 << 16)
_AU_BITS = {1: 8, 2: 8, 3: 16, 4: 24, 5: 32, 6: 32, 7: 64, 27: 8}
_AU_UNKNOWN = 0xFFFFFFFF


@dataclass(frozen=True)
class PcmLength:
    """The length of a file of uncompressed samples.

    Attributes:
        sample_rate_hz: The rate in the header.
        num_stated: Samples of each channel according to the header; None if it does not say.
        num_present: Samples of each channel in the file.
    """

    sample_rate_hz: int
    num_stated: int | None
    num_present: int


@dataclass(frozen=True)
class _Chunk:
    """A chunk of an IFF or RIFF file: its name, the offset of its contents, and their stated size."""

    name: bytes
    start: int
    num_bytes: int


def wav_length(file: FileBytes, *, start: int) -> PcmLength | None:
    """Determines the length of a WAV file (RIFF, RIFX or RF64).

    Args:
        file: The file.
        start: The offset of "RIFF", after the tags.

    Returns:
        The length, or None if the samples are compressed or the header is damaged.
    """
    order: Literal["little", "big"] = "big" if file.read(start, 4) == b"RIFX" else "little"
    rate_hz = frame_bytes = 0
    long_data_bytes = None
    for chunk in _chunks(file, start + 12, order=order):
        if chunk.name == b"fmt ":
            header = file.read(chunk.start, min(chunk.num_bytes, 40))
            if len(header) < 16:
                return None
            tag, channels = int.from_bytes(header[:2], order), int.from_bytes(header[2:4], order)
            if tag == _EXTENSIBLE and len(header) >= 26:
                tag = int.from_bytes(header[24:26], order)
            bits = int.from_bytes(header[14:16], order)
            rate_hz, frame_bytes = int.from_bytes(header[4:8], order), int.from_bytes(header[12:14], order)
            if tag not in (_PCM, _FLOAT, _A_LAW, _MU_LAW) or frame_bytes != channels * ((bits + 7) // 8):
                return None
        elif chunk.name == b"ds64":
            long_data_bytes = int.from_bytes(file.read(chunk.start + 8, 8), "little")
        elif chunk.name == b"data":
            if rate_hz == 0 or frame_bytes == 0:
                return None
            stated = chunk.num_bytes
            if stated == 0xFFFFFFFF and long_data_bytes is not None:
                stated = long_data_bytes
            num_left = file.size - chunk.start
            is_open = stated > max(num_left, _LEAST_PLACEHOLDER) or (
                stated == 0 and not _is_chunks_to_end(file, chunk.start, order=order)
            )
            return _pcm_length(rate_hz, frame_bytes, stated=None if is_open else stated, num_left=num_left)
    return None


def aiff_length(file: FileBytes, *, start: int) -> PcmLength | None:
    """Determines the length of an AIFF or AIFC file as `wav_length` does; `start` is the offset of "FORM"."""
    is_compressed_kind = file.read(start + 8, 4) == b"AIFC"
    rate_hz = frame_bytes = num_frames = 0
    data: _Chunk | None = None
    for chunk in _chunks(file, start + 12, order="big"):
        if chunk.name == b"COMM":
            header = file.read(chunk.start, 22)
            if len(header) < 18:
                return None
            if is_compressed_kind and header[18:22] not in (b"NONE", b"twos", b"sowt", b"fl32", b"FL32", b"in24"):
                return None
            channels, bits = int.from_bytes(header[:2], "big"), int.from_bytes(header[6:8], "big")
            num_frames, frame_bytes = int.from_bytes(header[2:6], "big"), channels * ((bits + 7) // 8)
            rate_hz = _extended_float(header[8:18])
        elif chunk.name == b"SSND":
            data = chunk
        if data is not None and rate_hz:
            break
    if data is None or rate_hz == 0 or frame_bytes == 0:
        return None
    num_left = max(file.size - data.start - 8, 0)
    is_open = num_frames == 0 or (
        num_frames * frame_bytes >= _LEAST_PLACEHOLDER and num_frames * frame_bytes > num_left
    )
    stated = None if is_open and num_left else num_frames * frame_bytes
    return _pcm_length(rate_hz, frame_bytes, stated=stated, num_left=num_left)


def au_length(file: FileBytes, *, start: int) -> PcmLength | None:
    """Determines the length of an AU file as `wav_length` does; `start` is the offset of ".snd"."""
    header = file.read(start, 24)
    if len(header) < 24:
        return None
    data_start, num_bytes, encoding, rate_hz, channels = (
        int.from_bytes(header[at : at + 4], "big") for at in range(4, 24, 4)
    )
    frame_bytes = channels * _AU_BITS.get(encoding, 0) // 8
    if rate_hz == 0 or frame_bytes == 0:
        return None
    num_left = max(file.size - start - data_start, 0)
    stated = None if num_bytes == _AU_UNKNOWN or (num_bytes == 0 and num_left) else num_bytes
    return _pcm_length(rate_hz, frame_bytes, stated=stated, num_left=num_left)


def _pcm_length(rate_hz: int, frame_bytes: int, *, stated: int | None, num_left: int) -> PcmLength:
    num_present = num_left if stated is None else min(stated, num_left)
    return PcmLength(
        sample_rate_hz=rate_hz,
        num_stated=None if stated is None else stated // frame_bytes,
        num_present=num_present // frame_bytes,
    )


def _chunks(file: FileBytes, offset: int, *, order: Literal["little", "big"]) -> Iterator[_Chunk]:
    """Yields the chunks from an offset on. They are padded to an even size."""
    for _ in range(_MAX_CHUNKS):
        header = file.read(offset, 8)
        if len(header) < 8:
            return
        num_bytes = int.from_bytes(header[4:], order)
        yield _Chunk(name=header[:4], start=offset + 8, num_bytes=num_bytes)
        offset += 8 + num_bytes + (num_bytes & 1)


def _is_chunks_to_end(file: FileBytes, offset: int, *, order: Literal["little", "big"]) -> bool:
    """Returns whether the rest of a file consists of chunks: then an empty data chunk before them is really empty."""
    for chunk in _chunks(file, offset, order=order):
        if not chunk.name.isascii() or not chunk.name.strip().isalnum():
            return False
        offset = chunk.start + chunk.num_bytes
    return file.size - 1 <= offset <= file.size


def _extended_float(data: bytes) -> int:
    """Returns a rate in Hz from an 80-bit float, rounded down; 0 if it is out of range."""
    exponent, mantissa = int.from_bytes(data[:2], "big") - 16_383, int.from_bytes(data[2:10], "big")
    return mantissa >> 63 - exponent if 0 <= exponent <= 31 else 0
