"""The length of MPEG audio (mp3, mp2) by the headers of its frames, which are counted without decoding any.

Sources: ISO/IEC 11172-3, section 2.4 (headers); ISO/IEC 13818-3 (half rates); the Xing, LAME and VBRI headers as
LAME 3.100 (VbrTag.c) and Fraunhofer write them.
"""

import re
from dataclasses import dataclass

from beam_pipelines.audio.file_bytes import FileBytes

_HEADER_BYTES = 4
# Version bits of a header: 0 is MPEG 2.5, 1 is reserved, 2 is MPEG 2, 3 is MPEG 1. Layer bits: 1 is III, 2 is II, 3 is I.
_MPEG_1 = 3
_LAYER_III, _LAYER_II, _LAYER_I = 1, 2, 3
_SAMPLE_RATES_HZ = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}
_BIT_RATES_KBPS = {
    (True, _LAYER_I): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, _LAYER_II): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, _LAYER_III): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, _LAYER_I): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, _LAYER_II): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, _LAYER_III): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_SYNC = re.compile(
    rb"\xff[\xe2-\xe7\xf2-\xf7\xfa-\xff]["
    + b"".join(rb"\x%02x" % value for value in range(256) if 1 <= value >> 4 <= 14 and (value >> 2) & 3 != 3)
    + rb"]"
)
# A decoder of mp3 puts this many samples in front, which are left out together with the encoder's delay, and not at the
# end, where the padding that the encoder states includes them.
_DECODER_DELAY = 529
# Frames in a row that tell MPEG audio from bytes that happen to look like a header.
_FRAMES_TO_BEGIN = 4
_FRAMES_TO_RESUME = 2
# Junk in front of the first frame is searched this far; tags have been skipped before.
_MAX_JUNK_BYTES = 1 << 20
# A file made of such places is no music, and looking at each would take long.
_MAX_FALSE_STARTS = 20_000
_MAX_CHANGES = 20_000


@dataclass(frozen=True)
class Mp3Length:
    """How long MPEG audio is.

    Attributes:
        start: The offset of the first frame.
        sample_rate_hz: The rate of the first frame.
        num_present: Samples in the frames that are there, at the rate of the first frame, without the encoder's delay
            and padding where they are known. Where counting stopped early, at least as many as were asked for.
        num_stated: Samples that the file held when its Xing or VBRI header was written; None where it has none.
        is_regular: Whether the frames follow one another without a gap, with one rate and one number of channels,
            and their number is the one in the header.
        is_counted: Whether all frames were counted; not where the file is longer than asked for, or is mostly junk.
    """

    start: int
    sample_rate_hz: int
    num_present: int
    num_stated: int | None
    is_regular: bool
    is_counted: bool


@dataclass(frozen=True)
class _Frame:
    """A frame's header: what stays the same from frame to frame in most files, its bytes and its samples."""

    version: int
    layer: int
    sample_rate_hz: int
    is_mono: bool
    num_bytes: int
    num_samples: int

    def continues(self, other: "_Frame") -> bool:
        """Returns whether both can be of one stream."""
        return (self.version, self.layer, self.sample_rate_hz, self.is_mono) == (
            other.version,
            other.layer,
            other.sample_rate_hz,
            other.is_mono,
        )


@dataclass(frozen=True)
class _InfoHeader:
    """What a Xing, Info or VBRI header says: frames beside its own, their bytes, and samples to leave out."""

    num_frames: int | None = None
    num_bytes: int | None = None
    num_skipped: int = 0


@dataclass
class _Count:
    """Frames counted so far."""

    offset: int
    duration_s: float = 0.0
    is_regular: bool = True
    num_changes: int = 0
    num_false_starts: int = 0


def mp3_length(file: FileBytes, *, start: int, max_duration_s: float) -> Mp3Length | None:
    """Counts the frames of MPEG audio.

    Args:
        file: The file.
        start: Where to look for the first frame, behind the tags.
        max_duration_s: Counting stops at about this, in seconds of audio.

    Returns:
        The length, or None where there is no MPEG audio, or none whose frames say how long they are (free format).
    """
    first_offset = _find_first(file, start)
    if first_offset is None:
        return None
    first = _parse(file.read(first_offset, _HEADER_BYTES))
    assert first is not None
    info = _info_header(file, first_offset, first)
    count = _Count(offset=first_offset if info is None else first_offset + first.num_bytes)
    is_counted = _count_frames(file, count, first, max_duration_s=max_duration_s)
    num_skipped = 0 if info is None else info.num_skipped
    num_present = max(round(count.duration_s * first.sample_rate_hz) - num_skipped, 0)
    num_stated = None
    if info is not None and info.num_frames is not None:
        num_stated = max(info.num_frames * first.num_samples - num_skipped, 0)
        has_all_bytes = info.num_bytes is not None and file.size - first_offset >= info.num_bytes
        if is_counted and count.is_regular and has_all_bytes and num_stated > num_present:
            num_stated = None  # the number is wrong: nothing is missing
    return Mp3Length(
        start=first_offset,
        sample_rate_hz=first.sample_rate_hz,
        num_present=num_present,
        num_stated=num_stated,
        is_regular=count.is_regular and num_stated is not None and (num_stated == num_present or not is_counted),
        is_counted=is_counted,
    )


def _count_frames(file: FileBytes, count: _Count, first: _Frame, *, max_duration_s: float) -> bool:
    """Counts frames from `count.offset` on; returns whether it came to the end of the file."""
    current = first
    while count.duration_s <= max_duration_s:
        _count_run(file, count, current, max_duration_s=max_duration_s)
        if count.duration_s > max_duration_s:
            break
        following = _parse(file.read(count.offset, _HEADER_BYTES))
        if following is not None and _num_in_row(file, count.offset, _FRAMES_TO_RESUME) == _FRAMES_TO_RESUME:
            found = count.offset  # a frame of another rate or number of channels
        else:
            resumed = _find_next(file, count)
            if resumed is None:
                return count.num_false_starts < _MAX_FALSE_STARTS
            found = resumed
            following = _parse(file.read(found, _HEADER_BYTES))
        assert following is not None
        count.is_regular = False
        count.num_changes += 1
        if count.num_changes > _MAX_CHANGES:
            return False
        count.offset, current = found, following
    return False


def _count_run(file: FileBytes, count: _Count, like: _Frame, *, max_duration_s: float) -> None:
    """Counts whole frames that follow one another and are like one; leaves `count.offset` behind the last of them.

    A frame's length follows from its header, and the same few headers come again and again.
    """
    frame_s = like.num_samples / like.sample_rate_hz
    most_frames = int((max_duration_s - count.duration_s) / frame_s) + 1
    lengths: dict[bytes, int] = {}
    num_frames, offset = 0, count.offset
    while True:
        chunk = file.chunk(offset)
        position, last = 0, len(chunk) - _HEADER_BYTES
        num_before = num_frames
        while position <= last and num_frames <= most_frames:
            header = chunk[position : position + _HEADER_BYTES]
            num_bytes = lengths.get(header)
            if num_bytes is None:
                frame = _parse(header)
                if frame is None or not frame.continues(like):
                    break
                num_bytes = lengths[header] = frame.num_bytes
            if offset + position + num_bytes > file.size:
                break
            position += num_bytes
            num_frames += 1
        offset += position
        if num_frames == num_before or num_frames > most_frames:
            break
    count.offset = offset
    count.duration_s += num_frames * frame_s


def _find_first(file: FileBytes, start: int) -> int | None:
    """Returns the offset of the first of some frames in a row."""
    num_false_starts = 0
    offset = start
    while offset < min(start + _MAX_JUNK_BYTES, file.size):
        chunk = bytes(file.chunk(offset))
        for match in _SYNC.finditer(chunk):
            found = offset + match.start()
            num_frames = _num_in_row(file, found, _FRAMES_TO_BEGIN)
            # A file that is that short is taken at its word where it begins with a frame.
            if num_frames == _FRAMES_TO_BEGIN or (num_frames > 0 and found == start):
                return found
            num_false_starts += 1
            if num_false_starts > _MAX_FALSE_STARTS:
                return None
        offset += max(len(chunk) - _HEADER_BYTES + 1, 1)
    return None


def _find_next(file: FileBytes, count: _Count) -> int | None:
    """Returns where frames go on behind a gap; None where they do not."""
    offset = count.offset + 1
    while offset < file.size - _HEADER_BYTES:
        chunk = bytes(file.chunk(offset))
        for match in _SYNC.finditer(chunk):
            found = offset + match.start()
            if _num_in_row(file, found, _FRAMES_TO_RESUME) == _FRAMES_TO_RESUME:
                return found
            count.num_false_starts += 1
            if count.num_false_starts >= _MAX_FALSE_STARTS:
                return None
        offset += max(len(chunk) - _HEADER_BYTES + 1, 1)
    return None


def _num_in_row(file: FileBytes, offset: int, num_wanted: int) -> int:
    """Returns how many whole frames of one kind follow one another from an offset on, up to a number."""
    first: _Frame | None = None
    for index in range(num_wanted):
        frame = _parse(file.read(offset, _HEADER_BYTES))
        if frame is None or offset + frame.num_bytes > file.size or (first is not None and not frame.continues(first)):
            return index
        first = frame
        offset += frame.num_bytes
    return num_wanted


def _parse(header: bytes) -> _Frame | None:
    """Returns what a header says; None where it is not one, or gives no length."""
    if len(header) < _HEADER_BYTES or _SYNC.match(header) is None:
        return None
    version, layer = (header[1] >> 3) & 3, (header[1] >> 1) & 3
    sample_rate_hz = _SAMPLE_RATES_HZ[version][(header[2] >> 2) & 3]
    bit_rate = 1000 * _BIT_RATES_KBPS[version == _MPEG_1, layer][(header[2] >> 4) - 1]
    padding = (header[2] >> 1) & 1
    if layer == _LAYER_I:
        num_samples, num_bytes = 384, (12 * bit_rate // sample_rate_hz + padding) * 4
    else:
        num_samples = 1152 if layer == _LAYER_II or version == _MPEG_1 else 576
        num_bytes = num_samples // 8 * bit_rate // sample_rate_hz + padding
    return _Frame(
        version=version,
        layer=layer,
        sample_rate_hz=sample_rate_hz,
        is_mono=header[3] >> 6 == 3,
        num_bytes=num_bytes,
        num_samples=num_samples,
    )


def _info_header(file: FileBytes, offset: int, first: _Frame) -> _InfoHeader | None:
    """Returns what the first frame says about the others; None where it holds sound, as any other."""
    data = file.read(offset, first.num_bytes)
    if data[36:40] == b"VBRI" and len(data) >= 54:
        return _InfoHeader(num_frames=int.from_bytes(data[50:54], "big"), num_bytes=int.from_bytes(data[46:50], "big"))
    if first.version == _MPEG_1:
        at = 21 if first.is_mono else 36
    else:
        at = 13 if first.is_mono else 21
    if data[at : at + 4] not in (b"Xing", b"Info") or len(data) < at + 8:
        return None
    flags = int.from_bytes(data[at + 4 : at + 8], "big")
    at += 8
    num_frames = num_bytes = None
    if flags & 1:
        num_frames = int.from_bytes(data[at : at + 4], "big")
        at += 4
    if flags & 2:
        num_bytes = int.from_bytes(data[at : at + 4], "big")
        at += 4
    at += 100 * (flags >> 2 & 1) + 4 * (flags >> 3 & 1)
    # The encoder's name, then, 21 bytes behind its first, delay and padding in 12 bits each.
    lame = data[at : at + 24]
    num_skipped = 0
    if len(lame) == 24 and lame[0]:
        delay, padding = lame[21] << 4 | lame[22] >> 4, (lame[22] & 15) << 8 | lame[23]
        num_skipped = delay + _DECODER_DELAY + max(padding - _DECODER_DELAY, 0)
    return _InfoHeader(num_frames=num_frames, num_bytes=num_bytes, num_skipped=num_skipped)
