"""The length of FLAC files, from the header of the last frame, without decoding.

Source: RFC 9639, sections 8.2 (STREAMINFO) and 9.1 (frame headers).
"""

import re
from dataclasses import dataclass

from beam_pipelines.audio.file_bytes import FileBytes

_STREAMINFO_BYTES = 34
_MAX_METADATA_BLOCKS = 4096
_LONGEST_HEADER_BYTES = 16
# For fixed and for variable block sizes.
_SYNC = re.compile(rb"\xff[\xf8\xf9]")
# Zeros and tags after the last frame.
_MAX_ZEROS = 16 << 20
_MAX_TAG_BYTES = 1 << 18
_MAX_FRAME_BYTES = 1 << 20
# Bounds the time for hostile files.
_MAX_CANDIDATES = 20_000
# By the code in the header of a frame; 0 refers to STREAMINFO, 12 to 14 to the end of the header.
_SAMPLE_RATES_HZ = (0, 88_200, 176_400, 192_000, 8_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 96_000)


def _crc8_table() -> bytes:
    table = []
    for value in range(256):
        for _ in range(8):
            value = (value << 1) ^ (0x107 if value & 0x80 else 0)
        table.append(value)
    return bytes(table)


_CRC8 = _crc8_table()


@dataclass(frozen=True)
class FlacLength:
    """The length of a FLAC file.

    Attributes:
        sample_rate_hz: The rate in STREAMINFO.
        num_stated: The number of samples in STREAMINFO; None if it is unknown.
        num_present: Samples up to the end of the last frame; None if no frame is found.
    """

    sample_rate_hz: int
    num_stated: int | None
    num_present: int | None


@dataclass(frozen=True)
class _StreamInfo:
    """The STREAMINFO block."""

    max_block_samples: int
    max_frame_bytes: int
    sample_rate_hz: int
    channels: int
    num_samples: int


def flac_length(file: FileBytes, *, start: int) -> FlacLength | None:
    """Finds the last frame of a FLAC file.

    Args:
        file: The file.
        start: The offset of "fLaC", after the tags.

    Returns:
        The length, or None if STREAMINFO is damaged.
    """
    info = _stream_info(file.read(start, 8 + _STREAMINFO_BYTES))
    if info is None:
        return None
    first_frame = _skip_metadata(file, start + 4)
    return FlacLength(
        sample_rate_hz=info.sample_rate_hz,
        num_stated=info.num_samples or None,
        num_present=_last_sample(file, info, first_frame),
    )


def _stream_info(data: bytes) -> _StreamInfo | None:
    if len(data) < 8 + _STREAMINFO_BYTES or data[:4] != b"fLaC" or data[4] & 0x7F != 0:
        return None
    bits = int.from_bytes(data[18:26], "big")  # 20 bits rate, 3 channels - 1, 5 bits per sample - 1, 36 samples
    info = _StreamInfo(
        max_block_samples=int.from_bytes(data[10:12], "big"),
        max_frame_bytes=int.from_bytes(data[15:18], "big"),
        sample_rate_hz=bits >> 44,
        channels=(bits >> 41 & 7) + 1,
        num_samples=bits & (1 << 36) - 1,
    )
    return info if info.sample_rate_hz > 0 else None


def _skip_metadata(file: FileBytes, offset: int) -> int:
    """Returns the offset after the metadata blocks."""
    for _ in range(_MAX_METADATA_BLOCKS):
        header = file.read(offset, 4)
        if len(header) < 4:
            break
        offset += 4 + int.from_bytes(header[1:], "big")
        if header[0] & 0x80:
            break
    return min(offset, file.size)


def _last_sample(file: FileBytes, info: _StreamInfo, first_frame: int) -> int | None:
    """Returns the number of samples up to the end of the last frame; None if no frame is found."""
    end = _skip_zeros_back(file, first_frame)
    longest = min(info.max_frame_bytes or _MAX_FRAME_BYTES, _MAX_FRAME_BYTES)
    num_candidates = 0
    # First in the bytes where the last frame is if no tags follow it.
    for num_bytes in (longest + _LONGEST_HEADER_BYTES, longest + _MAX_TAG_BYTES):
        start = max(first_frame, end - num_bytes)
        data = file.read(start, end - start)
        for match in reversed(list(_SYNC.finditer(data))):
            num_candidates += 1
            if num_candidates > _MAX_CANDIDATES:
                return None
            position = _end_of_frame(data[match.start() : match.start() + _LONGEST_HEADER_BYTES], info)
            if position is not None:
                return position
    return None


def _skip_zeros_back(file: FileBytes, first_frame: int) -> int:
    """Returns the offset of the zeros at the end of the file, or a little after it."""
    end = file.size
    lowest = max(first_frame, end - _MAX_ZEROS)
    while end > lowest:
        start = max(lowest, end - (1 << 16))
        data = file.read(start, end - start).rstrip(b"\0")
        if data:
            # The last frame may end with zeros.
            return min(start + len(data) + _LONGEST_HEADER_BYTES, file.size)
        end = start
    return end


def _end_of_frame(header: bytes, info: _StreamInfo) -> int | None:
    """Returns the number of samples up to the end of a frame; None if this is not the header of a frame."""
    if len(header) < 6 or header[3] & 1:
        return None
    block_code, rate_code = header[2] >> 4, header[2] & 15
    channel_code = header[3] >> 4
    channels = 2 if 8 <= channel_code <= 10 else channel_code + 1
    number, at = _coded_number(header)
    if number is None or block_code == 0 or rate_code == 15 or channel_code > 10 or channels != info.channels:
        return None
    if block_code in (6, 7):
        width = block_code - 5
        block_samples = int.from_bytes(header[at : at + width], "big") + 1
        at += width
    elif block_code == 1:
        block_samples = 192
    else:
        block_samples = 576 << block_code - 2 if block_code < 6 else 256 << block_code - 8
    if rate_code in (12, 13, 14):
        width = 1 if rate_code == 12 else 2
        rate_hz = int.from_bytes(header[at : at + width], "big") * {12: 1000, 13: 1, 14: 10}[rate_code]
        at += width
    else:
        rate_hz = _SAMPLE_RATES_HZ[rate_code] or info.sample_rate_hz
    if rate_hz != info.sample_rate_hz or at >= len(header) or _crc8(header[:at]) != header[at]:
        return None
    is_variable = header[1] & 1
    return (number if is_variable else number * info.max_block_samples) + block_samples


def _coded_number(header: bytes) -> tuple[int | None, int]:
    """Returns the number of a frame or of its first sample, in the extended UTF-8 of FLAC, and the offset after it."""
    first = header[4]
    if first < 0x80:
        return first, 5
    num_more = 7 - (first ^ 0xFF).bit_length()
    more = header[5 : 5 + num_more]
    if not 1 <= num_more <= 6 or len(more) < num_more or any(byte & 0xC0 != 0x80 for byte in more):
        return None, 0
    number = first & (0x3F >> num_more)
    for byte in more:
        number = number << 6 | byte & 0x3F
    return number, 5 + num_more


def _crc8(data: bytes) -> int:
    value = 0
    for byte in data:
        value = _CRC8[value ^ byte]
    return value
