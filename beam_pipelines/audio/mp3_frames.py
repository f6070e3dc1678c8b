"""The length of MPEG audio (mp3, mp2) by the headers of its frames, which are counted without decoding any."""

from dataclasses import dataclass

from beam_pipelines.audio.file_bytes import FileBytes
from beam_pipelines.audio.mp3_headers import HEADER_BYTES, SYNC, Frame, parse_header, parse_info_header

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
        The length, or None where there is no MPEG audio, less than four frames of it (a tenth of a second), or none
        whose frames say how long they are (free format).
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
            num_stated = None  # the number is wrong: nothing is missing
    return Mp3Length(
        start=first_offset,
        sample_rate_hz=first.sample_rate_hz,
        num_present=num_present,
        num_stated=num_stated,
        is_regular=count.is_regular and num_stated is not None and (num_stated == num_present or not is_counted),
        is_counted=is_counted,
    )


def _count_frames(file: FileBytes, count: _Count, first: Frame, *, max_duration_s: float) -> bool:
    """Counts frames from `count.offset` on; returns whether it came to the end of the file."""
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
    """Counts whole frames that follow one another and are like one; leaves `count.offset` behind the last of them.

    A frame's length follows from its header, and the same few headers come again and again.
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
    """Returns the offset of the first of some frames in a row."""
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
    """Returns whether a frame says how long the file is, so that there is no doubt that it is one."""
    frame = parse_header(file.read(offset, HEADER_BYTES))
    return frame is not None and parse_info_header(file.read(offset, frame.num_bytes), frame) is not None


def _find_next(file: FileBytes, count: _Count) -> int | None:
    """Returns where frames go on behind a gap; None where they do not."""
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
    """Returns whether some whole frames of one kind follow one another from an offset on."""
    first: Frame | None = None
    for _ in range(num_frames):
        frame = parse_header(file.read(offset, HEADER_BYTES))
        if frame is None or offset + frame.num_bytes > file.size or (first is not None and not frame.continues(first)):
            return False
        first = frame
        offset += frame.num_bytes
    return True
