"""Decoding with FFmpeg, through PyAV: nearly all formats, to the end of the file, skipping damaged packets.

`read_tags` reads the tags of a file, which PyAV has for as many formats.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import av
import numpy as np
import soxr

from beam_pipelines.audio.channels import with_channels
from beam_pipelines.audio.checked_source import CheckedSource, Source
from beam_pipelines.audio.decode import AudioStream, Block, DecoderError, check_form
from beam_pipelines.audio.unexpected import unexpected_errors

# Audio formats and codecs. FFmpeg has hundreds of others, including playlists, which would open other files.
_FORMATS = (
    *("aac", "ac3", "aiff", "amr", "ape", "asf", "au", "avi", "caf", "dsf", "dts", "eac3", "flac", "flv", "iff", "mov"),
    *("matroska", "mp3", "mpc", "mpc8", "mpeg", "mpegts", "nut", "ogg", "oma", "rm", "shn", "tak", "truehd", "tta"),
    *("voc", "w64", "wav", "wv", "xwma"),
)
_CODECS = (
    *("aac", "ac3", "alac", "amrnb", "amrwb", "ape", "atrac3", "atrac3plus", "cook", "dca", "eac3", "flac", "gsm_ms"),
    *("mlp", "mp1float", "mp2float", "mp3float", "mp3", "mp2", "mp1", "mpc7", "mpc8", "opus", "libopus", "shorten"),
    *("speex", "tak", "truehd", "tta", "vorbis", "wavpack", "wmalossless", "wmapro", "wmav1", "wmav2", "wmavoice"),
    *("adpcm_ima_qt", "adpcm_ima_wav", "adpcm_ms", "adpcm_swf", "adpcm_yamaha", "dsd_lsbf", "dsd_lsbf_planar"),
    *("dsd_msbf", "dsd_msbf_planar", "pcm_alaw", "pcm_f32be", "pcm_f32le", "pcm_f64be", "pcm_f64le", "pcm_mulaw"),
    *("pcm_s8", "pcm_s8_planar", "pcm_s16be", "pcm_s16be_planar", "pcm_s16le", "pcm_s16le_planar", "pcm_s24be"),
    *("pcm_s24le", "pcm_s32be", "pcm_s32le", "pcm_s64be", "pcm_s64le", "pcm_u8", "pcm_u16be", "pcm_u16le", "qdm2"),
)
_OPTIONS = {
    "format_whitelist": ",".join(_FORMATS),
    "codec_whitelist": ",".join(_CODECS),
    "protocol_whitelist": "none",
}
# Formats that store their duration; FFmpeg estimates that of others from the bit rate.
_FORMATS_WITH_LENGTH = frozenset({"ape", "asf", "caf", "dsf", "matroska", "mov", "mpc8", "tak", "tta", "w64", "wv"})
# Formats whose frames or pages have their places: what FFmpeg skips between them leaves a gap.
_FORMATS_WITH_PLACES = frozenset({"flac", "ogg"})
# Places of packets in a page are computed, and not exact.
_SMALLEST_GAP_S = 0.01
_BLOCK_FRAMES = 1 << 16
# Decoding ends after this many errors of the container.
_MAX_DEMUX_ERRORS = 100
# A larger tag, such as a cover of 200 MB, is not read: several files are read at the same time.
_MAX_TAG_BYTES = 1 << 24
# FFmpeg's errors and those of PyAV, for unsupported rates and layouts and for streams that start in the middle.
_ERRORS = (av.FFmpegError, ValueError, LookupError)


@contextmanager
def open_ffmpeg(source: Source, *, start: int = 0) -> Iterator[AudioStream]:
    """Opens the first audio stream of a file with FFmpeg.

    Damaged packets are skipped. If the rate or the channels change within the file, the audio after the change is
    converted to the rate (by soxr) and the channels (by their mean) of the beginning.

    Args:
        source: The file, open for reading and seeking.
        start: The offset at which FFmpeg starts to read.

    Raises:
        DecoderError: FFmpeg cannot decode the file, or it has no audio.
        AudioError: The source cannot be read; raised while blocks are read, too.
    """
    checked = CheckedSource(source, start=start)
    with _errors(checked):
        container = av.open(checked, metadata_errors="ignore", options=_OPTIONS)
    with container:
        stream = _audio_stream(container)
        losses = _Losses()
        frames = _frames(container, stream, checked, losses)
        # The rate of the first frame, because the header of HE-AAC may state half of it.
        first = next(frames, None)
        if first is None and losses.num_packets > 0:
            raise DecoderError("undecodable", "FFmpeg cannot decode it: every packet is damaged")
        if first is None:
            raise DecoderError("no_audio", "the file decodes to no samples")

        def decode(num_frames: int) -> Iterator[Block]:
            for block in _blocks(first, frames, checked, num_frames):
                audio.lost_s = losses.lost_s
                yield block

        audio = AudioStream(
            decoder="ffmpeg",
            sample_rate_hz=first.sample_rate,
            channels=first.layout.nb_channels,
            num_stated=_num_stated(container, stream, first.sample_rate),
            decode=decode,
        )
        yield audio


@unexpected_errors("tags")
def read_tags(source: Source) -> dict[str, str]:
    """Returns the tags of a file and of its first audio stream by their names in FFmpeg, such as "artist".

    Names are in lower case. Text that is not UTF-8, which old tags of mp3s hold, is read as Latin-1.

    Args:
        source: The file, open for reading and seeking; at most 16 MiB of it are read.

    Raises:
        AudioError: The file cannot be read, or FFmpeg does not know its format.
    """
    checked = CheckedSource(source)
    with (
        _errors(checked),
        av.open(_FirstBytes(checked), metadata_errors="surrogateescape", options=_OPTIONS) as container,
    ):
        holders = [*container.streams.audio[:1], container]
        return {name.lower(): _text(value) for holder in holders for name, value in holder.metadata.items()}


class _FirstBytes:
    """A file that ends after `_MAX_TAG_BYTES` have been read, wherever they are."""

    def __init__(self, source: CheckedSource) -> None:
        self._num_left = _MAX_TAG_BYTES
        self._source = source
        self.seek = source.seek
        self.tell = source.tell

    def read(self, num_bytes: int) -> bytes:
        data = self._source.read(min(num_bytes, self._num_left))
        self._num_left -= len(data)
        return data


def _text(value: str) -> str:
    """Returns a tag that was decoded with "surrogateescape" as text."""
    data = value.encode("utf-8", "surrogateescape")
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1")


@dataclass
class _Losses:
    """The packets that cannot be decoded: their number, and their total duration as far as it is known.

    Attributes:
        num_packets: Their number.
        duration_s: The sum of their own durations.
        gaps_s: The sum of the gaps between frames.
    """

    num_packets: int = 0
    duration_s: float = 0.0
    gaps_s: float = 0.0
    _end_s: float | None = None

    @property
    def lost_s(self) -> float:
        """Seconds that are missing. Damaged packets leave gaps, so that both sums have them."""
        return max(self.duration_s, self.gaps_s)

    def add_gap_before(self, frame: Any) -> None:
        """Adds the gap between the last frame and this one, which follows it. Parts of chained files begin anew."""
        if frame.time is None:
            return
        if self._end_s is not None and frame.time - self._end_s > _SMALLEST_GAP_S:
            self.gaps_s += frame.time - self._end_s
        self._end_s = frame.time + frame.samples / frame.sample_rate


def _audio_stream(container: Any) -> Any:
    if not container.streams.audio:
        raise DecoderError("no_audio", "the file has no audio stream")
    for stream in container.streams.audio:
        if stream.codec_context is not None:
            break
    else:
        raise DecoderError("undecodable", "FFmpeg has no decoder for the audio of this file")
    stream.codec_context.thread_count = 1
    if stream.codec_context.name == "flac":
        # A frame with a wrong checksum decodes to noise. For other codecs, some encoders write wrong checksums.
        stream.codec_context.options = {"err_detect": "crccheck+explode"}
    return stream


def _num_stated(container: Any, stream: Any, sample_rate_hz: int) -> int | None:
    if _FORMATS_WITH_LENGTH.isdisjoint(container.format.name.split(",")):
        return None
    if stream.duration:
        return int(stream.duration * stream.time_base * sample_rate_hz)
    return int(container.duration * sample_rate_hz / av.time_base) if container.duration else None


def _frames(container: Any, stream: Any, source: CheckedSource, losses: _Losses) -> Iterator[Any]:
    """Yields the decoded frames of a stream, skipping packets that cannot be decoded."""
    has_places = not _FORMATS_WITH_PLACES.isdisjoint(container.format.name.split(","))
    num_errors = 0
    packets = container.demux(stream)
    while num_errors <= _MAX_DEMUX_ERRORS:
        try:
            packet = next(packets)
        except StopIteration:
            return
        except _ERRORS:
            source.raise_error()
            num_errors += 1
            packets = container.demux(stream)
            continue
        try:
            decoded = packet.decode()
        except _ERRORS:
            losses.num_packets += 1
            losses.duration_s += float((packet.duration or 0) * packet.time_base) if packet.time_base else 0.0
            # An mp3 decoder would combine bits of previous frames with those of the next one, and output noise.
            stream.codec_context.flush_buffers()
        else:
            for frame in decoded:
                if has_places:
                    losses.add_gap_before(frame)
                yield frame
        source.raise_error()


def _blocks(first: Any, frames: Iterator[Any], source: CheckedSource, num_frames: int) -> Iterator[Block]:
    """Yields blocks of the samples of several frames, at the rate and with the channels of the first frame."""
    conformer = _Conformer(sample_rate_hz=first.sample_rate, channels=first.layout.nb_channels)
    parts: list[Block] = []
    num_waiting = 0

    def add(samples: Block) -> None:
        nonlocal num_waiting
        parts.append(samples)
        num_waiting += len(samples)

    with _errors(source):
        add(conformer(first))
        for frame in frames:
            add(conformer(frame))
            if num_waiting >= min(_BLOCK_FRAMES, num_frames):
                yield np.concatenate(parts)
                num_frames -= num_waiting
                num_waiting = 0
                parts.clear()
                if num_frames <= 0:
                    return
        add(conformer.finish())
    yield np.concatenate(parts)


class _Conformer:
    """Converts frames to float32 at one rate with one number of channels."""

    def __init__(self, *, sample_rate_hz: int, channels: int) -> None:
        self._rate_hz = sample_rate_hz
        self._channels = channels
        self._form: tuple[str, str, int] | None = None
        self._to_float: Any = None
        self._resampler: soxr.ResampleStream | None = None

    def __call__(self, frame: Any) -> Block:
        """Returns the samples of a frame, (frames, channels), after the rest of the frames before a change."""
        form = (frame.format.name, frame.layout.name, frame.sample_rate)
        before: Block | None = None
        if form != self._form:
            before = self.finish()
            self._begin(form, frame.layout.nb_channels)
        # Not with `frame.to_ndarray` itself: if a frame has eight planes or more, as in a damaged file, PyAV reads past
        # the last one and the process crashes.
        converted = [part.to_ndarray().reshape(-1, part.layout.nb_channels) for part in self._to_float.resample(frame)]
        samples = with_channels(np.concatenate(converted), self._channels) if converted else self._nothing()
        if self._resampler is not None:
            samples = self._resampler.resample_chunk(np.ascontiguousarray(samples))
        return samples if before is None else np.concatenate([before, samples])

    def finish(self) -> Block:
        """Returns the last samples of the resampler."""
        if self._resampler is None:
            return self._nothing()
        rest: Block = self._resampler.resample_chunk(self._nothing(), last=True)
        self._resampler = None
        return rest

    def _begin(self, form: tuple[str, str, int], num_channels: int) -> None:
        check_form(channels=num_channels, sample_rate_hz=form[2])
        self._form = form
        self._to_float = av.AudioResampler(format="flt")
        rate_hz = form[2]
        if rate_hz != self._rate_hz:
            self._resampler = soxr.ResampleStream(rate_hz, self._rate_hz, self._channels, dtype="float32", quality="HQ")

    def _nothing(self) -> Block:
        return np.empty((0, self._channels), dtype=np.float32)


@contextmanager
def _errors(source: CheckedSource) -> Iterator[None]:
    try:
        yield
    except av.FFmpegError as error:
        source.raise_error()
        raise DecoderError("undecodable", f"FFmpeg cannot decode it: {error.strerror}") from error
    except (ValueError, LookupError) as error:
        source.raise_error()
        raise DecoderError("undecodable", f"PyAV cannot decode it: {error}") from error
