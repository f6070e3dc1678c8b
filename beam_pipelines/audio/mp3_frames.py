"""The length of MPEG audio (mp3, mp2): counts frames by their headers, without decoding."""

from dataclasses import dataclass

from beam_pipelines.audio.file_bytes import FileBytes
from beam_pipelines.audio.mp3_headers import HEADER_BYTES, SYNC, Frame, parse_header, parse_info_header

# Consecutive frames that are required, because other bytes may look like the header of a frame.
_FRAMES_TO_BEGIN = 4
_FRAMES_TO_RESUME = 2
# The first frame is searched in this many bytes after the tags.
_MAX_JUNK_BYTES = 1 << 20
# Bounds of the time for hostile files.
_MAX_FALSE_STARTS = 20_000
_MAX_CHANGES = 20_000


@dataclass(frozen=True)
class Mp3Length:
    """The length of MPEG audio.

    Attributes:
        start: The offset of the first frame.
        sample_rate_hz: The rate of the first frame.
        num_present: Samples in the frames of the file, at the rate of the first frame, without the encoder's delay and
            padding if they are known. If counting stopped early, samples in the counted frames.
        num_stated: Samples according to the Xing or VBRI header; None if there is none.
        is_regular: Whether the frames are contiguous, have one rate and one number of channels, and are as many as the
            header states.
        is_counted: Whether all frames were counted; not if the file is longer than `max_duration_s` or mostly junk.
    """

    start: int
    sample_rate_hz: int
    num_present: int
    num_stated: int | None
    is_regular: bool
    is_counted: bool


@dataclass
class _Count:
    """The frames counted so far, and the offset of the next one."""

    offset: int
    duration_s: float = 0.0
    is_regular: bool = True
    num_changes: int = 0
    num_false_starts: int = 0


def mp3_length(file: FileBytes, *, start: int, max_duration_s: float) -> Mp3Length | None:
    """Counts the frames of MPEG audio.

    Args:
        file: The file.
        start: The offset after the tags, where the search for the first frame starts.
        max_duration_s: Counting stops after about this many seconds of audio.

    Returns:
        The length, or None if there are no four consecutive frames (a tenth of a second), or if their headers do not
        give their lengths (free format).
    """
    first_offset = _find_first(file, start)
    if first_offset is None:
        return None
    first = parse_header(file.read(first_offset, HEADER_BYTES))
    assert first is not None
    info = parse_info_header(file.read(first_offset, first.num_bytes), first)
    count = _Count(offset=first_offset if info is None else first_offset + first.num_bytes)
    is_counted = _count_frames(file, count, first, max_duration_s=max_duration_s)
    num_skipped = 0 if info is None else info.num_skipped
    num_present = max(round(count.duration_s * first.sample_rate_hz) - num_skipped, 0)
    num_stated = None
    if info is not None and info.num_frames is not None:
        num_stated = max(info.num_frames * first.num_samples - num_skipped, 0)
        has_all_bytes = info.num_bytes is not None and count.offset - first_offset >= info.num_bytes
        if is_counted and count.is_regular and has_all_bytes and num_stated > num_present:
            num_stated = None  # the header is wrong, because no byte is missing
    return Mp3Length(
        start=first_offset,
        sample_rate_hz=first.sample_rate_hz,
        num_present=num_present,
        num_stated=num_stated,
        is_regular=count.is_regular and num_stated is not None and (num_stated == num_present or not is_counted),
        is_counted=is_counted,
    )


def _count_frames(file: FileBytes, count: _Count, first: Frame, *, max_duration_s: float) -> bool:
    """Counts frames from `count.offset` on; returns whether the end of the file was reached."""
    current = first
    while count.duration_s <= max_duration_s:
        _count_run(file, count, current, max_duration_s=max_duration_s)
        if count.duration_s > max_duration_s:
            break
        following = parse_header(file.read(count.offset, HEADER_BYTES))
        if following is not None and _are_in_row(file, count.offset, _FRAMES_TO_RESUME):
            found = count.offset  # a frame of another rate or number of channels
        else:
            resumed = _find_next(file, count)
            if resumed is None:
                return count.num_false_starts < _MAX_FALSE_STARTS
            found = resumed
            following = parse_header(file.read(found, HEADER_BYTES))
        assert following is not None
        count.is_regular = False
        count.num_changes += 1
        if count.num_changes > _MAX_CHANGES:
            return False
        count.offset, current = found, following
    return False


def _count_run(file: FileBytes, count: _Count, like: Frame, *, max_duration_s: float) -> None:
    """Counts contiguous whole frames of one kind; moves `count.offset` behind the last one.

    The length of a frame follows from its header, and the same few headers recur, so a dict of lengths suffices.
    """
    frame_s = like.num_samples / like.sample_rate_hz
    most_frames = int((max_duration_s - count.duration_s) / frame_s) + 1
    lengths: dict[bytes, int] = {}
    num_frames, offset = 0, count.offset
    while True:
        chunk = file.chunk(offset)
        position, last = 0, len(chunk) - HEADER_BYTES
        num_before = num_frames
        while position <= last and num_frames <= most_frames:
            header = chunk[position : position + HEADER_BYTES]
            num_bytes = lengths.get(header)
            if num_bytes is None:
                frame = parse_header(header)
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
    """Returns the offset of the first frame; None if there is none."""
    num_false_starts = 0
    offset = start
    while offset < min(start + _MAX_JUNK_BYTES, file.size):
        chunk = bytes(file.chunk(offset))
        for match in SYNC.finditer(chunk):
            found = offset + match.start()
            if _are_in_row(file, found, _FRAMES_TO_BEGIN) or _is_info_frame(file, found):
                return found
            num_false_starts += 1
            if num_false_starts > _MAX_FALSE_STARTS:
                return None
        offset += max(len(chunk) - HEADER_BYTES + 1, 1)
    return None


def _is_info_frame(file: FileBytes, offset: int) -> bool:
    """Returns whether there is a frame with a Xing, Info or VBRI header at an offset."""
    frame = parse_header(file.read(offset, HEADER_BYTES))
    return frame is not None and parse_info_header(file.read(offset, frame.num_bytes), frame) is not None


def _find_next(file: FileBytes, count: _Count) -> int | None:
    """Returns the offset of the next frame after a gap; None if there is none."""
    offset = count.offset + 1
    while offset < file.size - HEADER_BYTES:
        chunk = bytes(file.chunk(offset))
        for match in SYNC.finditer(chunk):
            found = offset + match.start()
            if _are_in_row(file, found, _FRAMES_TO_RESUME):
                return found
            count.num_false_starts += 1
            if count.num_false_starts >= _MAX_FALSE_STARTS:
                return None
        offset += max(len(chunk) - HEADER_BYTES + 1, 1)
    return None


def _are_in_row(file: FileBytes, offset: int, num_frames: int) -> bool:
    """Returns whether there are consecutive whole frames of one kind at an offset."""
    first: Frame | None = None
    for _ in range(num_frames):
        frame = parse_header(file.read(offset, HEADER_BYTES))
        if frame is None or offset + frame.num_bytes > file.size or (first is not None and not frame.continues(first)):
            return False
        first = frame
        offset += frame.num_bytes
    return True
