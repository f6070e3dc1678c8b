"""The length of Ogg files (Vorbis, Opus, FLAC, Speex), from the granule positions of their pages.

Sources: RFC 3533, section 6 (pages); RFC 7845, section 4 (positions in Opus, pre-skip); the Vorbis I specification,
section 4.2.2 (identification header); "Ogg mapping" of FLAC.
"""

from dataclasses import dataclass, field

from beam_pipelines.audio.file_bytes import FileBytes

_PAGE_HEADER_BYTES = 27
_NO_POSITION = (1 << 64) - 1
_OPUS_RATE_HZ = 48_000
# Bounds of the time for hostile files.
_MAX_GAPS = 20_000
_MAX_STREAMS = 20_000
# If the position of the first page is later, the stream is a part of a longer one and starts there.
_LONGEST_FIRST_PAGE_S = 10


@dataclass(frozen=True)
class OggLength:
    """The length of an Ogg file.

    Attributes:
        sample_rate_hz: The rate of the first stream.
        num_present: Samples of all chained streams, at the rate of the first. If reading stopped early, samples in the
            pages that were read.
        is_regular: Whether the file is one audio stream without gaps between pages.
        is_counted: Whether all pages were read.
    """

    sample_rate_hz: int
    num_present: int
    is_regular: bool
    is_counted: bool


@dataclass
class _Stream:
    """A logical stream: its rate (None if it is not audio) and the positions of its first and last page."""

    rate_hz: int | None
    num_skipped: int
    first: int | None = None
    last: int = 0
    next_page: int = 1

    def duration_s(self) -> float:
        if self.rate_hz is None:
            return 0.0
        first = self.first or 0
        skipped = first if first > _LONGEST_FIRST_PAGE_S * self.rate_hz else self.num_skipped
        return max(self.last - skipped, 0) / self.rate_hz


@dataclass
class _State:
    """The streams of the current link of the chain, by serial number, and the duration of the previous links."""

    running: dict[int, _Stream] = field(default_factory=dict)
    num_streams: int = 0
    ended_s: float = 0.0
    first_rate_hz: int | None = None
    is_regular: bool = True

    def duration_s(self) -> float:
        return self.ended_s + max((stream.duration_s() for stream in self.running.values()), default=0.0)


def ogg_length(file: FileBytes, *, start: int, max_duration_s: float) -> OggLength | None:
    """Reads the headers of the pages of an Ogg file.

    Args:
        file: The file.
        start: The offset of the first page, after the tags.
        max_duration_s: Reading stops after about this many seconds of audio.

    Returns:
        The length, or None if there is no stream of a known audio codec.
    """
    state = _State()
    offset, num_gaps, is_counted = start, 0, True
    while (header := file.read(offset, _PAGE_HEADER_BYTES + 255)) and len(header) >= _PAGE_HEADER_BYTES:
        if header[:4] != b"OggS":
            found = _find_page(file, offset)
            if found is None:
                break
            state.is_regular = False
            num_gaps += 1
            if num_gaps > _MAX_GAPS:
                is_counted = False
                break
            offset = found
            continue
        num_segments = header[26]
        num_bytes = _PAGE_HEADER_BYTES + num_segments + sum(header[27 : 27 + num_segments])
        if offset + num_bytes > file.size:
            break
        _add_page(state, header, file.read(offset + _PAGE_HEADER_BYTES + num_segments, 64))
        offset += num_bytes
        if state.num_streams > _MAX_STREAMS or state.duration_s() > max_duration_s:
            is_counted = False
            break
    if state.first_rate_hz is None:
        return None
    return OggLength(
        sample_rate_hz=state.first_rate_hz,
        num_present=round(state.duration_s() * state.first_rate_hz),
        is_regular=state.is_regular and state.num_streams == 1,
        is_counted=is_counted,
    )


def _add_page(state: _State, header: bytes, body: bytes) -> None:
    position = int.from_bytes(header[6:14], "little")
    serial, page = int.from_bytes(header[14:18], "little"), int.from_bytes(header[18:22], "little")
    if header[5] & 2:  # the first page of a stream
        if state.running and all(stream.first is not None for stream in state.running.values()):
            # The next link of a chained file.
            state.ended_s = state.duration_s()
            state.running = {}
        rate_hz, num_skipped = _identify(body)
        state.running[serial] = _Stream(rate_hz=rate_hz, num_skipped=num_skipped)
        state.num_streams += 1
        state.first_rate_hz = state.first_rate_hz or rate_hz
        return
    stream = state.running.get(serial)
    if stream is None:
        state.is_regular = False
        return
    state.is_regular = state.is_regular and page == stream.next_page
    stream.next_page = page + 1
    if 0 < position < 1 << 62:
        stream.first = stream.first if stream.first is not None else position
        stream.last = max(stream.last, position)


def _identify(body: bytes) -> tuple[int | None, int]:
    """Returns the rate of a stream and the samples to skip, from its first packet; (None, 0) if it is not audio."""
    if body[:7] == b"\x01vorbis" and len(body) >= 16:
        return int.from_bytes(body[12:16], "little") or None, 0
    if body[:8] == b"OpusHead" and len(body) >= 12:
        return _OPUS_RATE_HZ, int.from_bytes(body[10:12], "little")
    if body[:5] == b"\x7fFLAC" and len(body) >= 30:
        return int.from_bytes(body[27:30], "big") >> 4 or None, 0
    if body[:8] == b"Speex   " and len(body) >= 40:
        return int.from_bytes(body[36:40], "little") or None, 0
    return None, 0


def _find_page(file: FileBytes, offset: int) -> int | None:
    """Returns the offset of the next page; None if there is none."""
    offset += 1
    while offset < file.size:
        chunk = file.chunk(offset)
        at = chunk.find(b"OggS")
        if at >= 0:
            return offset + at
        offset += max(len(chunk) - 3, 1)
    return None
