"""Decoding mp3 files in a graph, with tensorflow-io's operation and what it needs to read all files.

The operation fails unless it decodes as many samples as the header in the first frame (Xing, Info or VBRI) promises;
without it, it decodes all frames but those at the start that refer to data of earlier frames, which were cut off. So
the frames are counted, only whole ones without the first are decoded, and silence takes the place of what is missing.

Sources: ISO/IEC 11172-3, section 2.4; ISO/IEC 13818-3 (half rates); VbrTag.c of LAME 3.100;
`beam_pipelines.audio.mp3_headers`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

from beam_pipelines.audio.mp3_headers import parse_header
from trainer.export.graph_bytes import FileBytes, bits

# The first frame is searched in this many bytes after the tags.
_MAX_JUNK_BYTES = 1 << 16
# The delay of an mp3 decoder in samples: skipped at the start with the encoder's delay, and part of the stated padding.
_DECODER_DELAY = 529
_MPEG_1 = 3
# What follows the last frame of a whole file: nothing, zeros or tags.
_ENDS = (b"\0\0\0", b"TAG", b"APE", b"LYR", b"ID3")


class _Frames(NamedTuple):
    """The places that look like the headers of frames, in their order.

    Attributes:
        starts: (places,) int32, their offsets.
        ends: (places,) int32, where the frame ends according to the header.
        version: (places,) int32, the bits of the version.
        num_samples: (places,) int32, the samples of the frame.
        rate_hz: (places,) int32.
        is_mono: (places,) bool.
        following: (places,) int32, the index of a place at the end of the frame.
        is_followed: (places,) bool, whether there is one, of the same kind.
    """

    starts: Any
    ends: Any
    version: Any
    num_samples: Any
    rate_hz: Any
    is_mono: Any
    following: Any
    is_followed: Any


class _Info(NamedTuple):
    """The header in the first frame.

    Attributes:
        is_there: () bool.
        num_frames: () int64, how many frames follow; -1 if it does not say.
        num_first, num_last: () int32, samples to leave out at the start and at the end.
    """

    is_there: Any
    num_frames: Any
    num_first: Any
    num_last: Any


def decode_mp3(file: FileBytes, decode: Callable[[Any], Any]) -> tuple[Any, Any]:
    """Returns the samples of an mp3 file, (samples,) float32 in [-1, 1], mono, and their rate, () int32.

    The encoder's delay and padding are left out. The graph fails where the file is no mp3, is truncated or is damaged.

    Args:
        file: The file.
        decode: The operation of tensorflow-io, from the bytes to (samples, channels) float32.
    """
    frames = _find_frames(file)
    first = _first_frame(file, frames)
    info = _info_of(file, frames, first)
    # The header of the last frame, and how many frames there are with it.
    last, num_frames = tf.while_loop(
        lambda index, _: tf.gather(frames.is_followed, index),
        lambda index, number: [tf.gather(frames.following, index), number + 1],
        [first, 1 - tf.cast(info.is_there, tf.int32)],
    )
    end = tf.gather(frames.ends, last)
    is_last_whole = end <= file.size
    num_whole = num_frames - tf.cast(~is_last_whole, tf.int32)
    num_present = tf.cast(num_whole, tf.int64)
    is_at_end = is_last_whole & tf.reduce_any([file.starts_with(word, end) for word in _ENDS])
    checks = (
        (num_whole > 0, "encoded is a truncated mp3 file: it has no whole frame; its bytes are", file.size),
        (
            tf.where(info.num_frames < 0, is_at_end, num_present >= info.num_frames),
            "encoded is a truncated or damaged mp3 file: whole frames, of stated ones (-1: unknown), end of the last:",
            [num_present, info.num_frames, tf.cast(end, tf.int64)],
        ),
    )
    begin = tf.gather(tf.where(info.is_there, frames.ends, frames.starts), first)
    text = file.part(file.after_checks(checks, begin), tf.where(is_last_whole, end, tf.gather(frames.starts, last)))
    mono = tf.reduce_mean(decode(text), axis=1)
    num_samples = num_whole * tf.gather(frames.num_samples, first)
    mono = tf.pad(mono, [[tf.maximum(num_samples - tf.size(mono), 0), 0]])
    return mono[info.num_first : tf.maximum(num_samples - info.num_last, 0)], tf.gather(frames.rate_hz, first)


def _find_frames(file: FileBytes) -> _Frames:
    """Returns what looks like frames of layer III, and the end of the file as the last place."""
    values = file.values[: file.size]
    # The bits of the sync word, and those of the layer.
    found = tf.where((values[:-1] == 0xFF) & (values[1:] & 0xE6 == 0xE2))[:, 0]
    starts = tf.concat([tf.cast(found, tf.int32), [file.size]], axis=0)
    header = tf.cast(file.number(starts + 1, num_bytes=3), tf.int32)
    version = bits(header, at=19, count=2)
    kinds = tf.gather(tf.constant(_header_table()), version * 256 + bits(header, at=8, count=8))
    num_bytes, num_samples, rate_hz = tf.unstack(kinds, axis=1)
    is_mono = bits(header, at=6, count=2) == 3
    ends = starts + num_bytes
    following = tf.minimum(tf.searchsorted(starts, ends), tf.size(starts) - 1)
    is_followed = num_bytes > 0
    for own, other in ((ends, starts), (version, version), (rate_hz, rate_hz), (is_mono, is_mono)):
        is_followed &= own == tf.gather(other, following)
    return _Frames(starts, ends, version, num_samples, rate_hz, is_mono, following, is_followed)


def _header_table() -> list[list[int]]:
    """Returns bytes, samples and rate of frames by the version (2 bits) and the third byte of a header; 0 for none."""
    found = []
    for key in range(1024):
        frame = parse_header(bytes([0xFF, 0xE3 | key >> 8 << 3, key & 0xFF, 0]))
        found.append([0, 0, 0] if frame is None else [frame.num_bytes, frame.num_samples, frame.sample_rate_hz])
    return found


def _first_frame(file: FileBytes, frames: _Frames) -> Any:
    """Returns the index of the first of four consecutive frames, () int32."""
    is_first = frames.is_followed & (frames.starts < _MAX_JUNK_BYTES)
    at = frames.following
    for _ in range(2):
        is_first &= tf.gather(frames.is_followed, at)
        at = tf.gather(frames.following, at)
    checks = (
        (
            tf.reduce_any(is_first),
            "encoded is no mp3, FLAC or WAV file: there are no four consecutive frames; its first bytes are",
            file.values[:4],
        ),
    )
    return file.after_checks(checks, tf.argmax(is_first, output_type=tf.int32))


def _info_of(file: FileBytes, frames: _Frames, first: Any) -> _Info:
    """Returns what the first frame says of the others."""
    start, end, version, is_mono = (
        tf.gather(values, first) for values in (frames.starts, frames.ends, frames.version, frames.is_mono)
    )
    # After the header and the side information, whose size depends on version and channels.
    at = start + tf.where(version == _MPEG_1, tf.where(is_mono, 21, 36), tf.where(is_mono, 13, 21))
    is_xing = file.starts_with(b"Xing", at) | file.starts_with(b"Info", at)
    is_vbri = file.starts_with(b"VBRI", start + 36)
    flags = tf.cast(file.number(at + 4, num_bytes=4) % 16, tf.int32)
    frames_at = tf.where(is_xing, at + 8, start + 50)
    has_frames = is_vbri | (is_xing & (flags % 2 == 1))
    lame_at = at + 8 + tf.reduce_sum(tf.stack([bits(flags, at=at, count=1) for at in range(4)]) * [4, 4, 100, 4])
    has_delay = is_xing & (lame_at + 24 <= end) & (file.number(lame_at, num_bytes=1) > 0)
    delays = tf.cast(file.number(lame_at + 21, num_bytes=3), tf.int32)  # 12 bits each, of delay and padding
    return _Info(
        is_there=is_xing | is_vbri,
        num_frames=tf.where(has_frames, file.number(frames_at, num_bytes=4), -1),
        num_first=tf.where(has_delay, delays // (1 << 12) + _DECODER_DELAY, 0),
        num_last=tf.where(has_delay, tf.maximum(delays % (1 << 12) - _DECODER_DELAY, 0), 0),
    )
