"""Decoding FLAC files in a graph, with tensorflow-io's operation and what it needs to be safe.

The operation reads for ever where a file ends before the number of samples that it states, and it leaves out what is
damaged. So the checksums of all frames are compared first; and frames are added at the end at which it stops, because
their number is wrong.

Source: RFC 9639, sections 8 (metadata) and 9 (frames).
"""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from trainer.export.graph_bytes import FileBytes, bits

MAGIC = b"fLaC"
# Of headers x^8 + x^2 + x + 1, and of frames x^16 + x^15 + x^2 + 1, whose remainders repeat after the period in bits.
_CRC8 = 0x107
_CRC16 = 0x18005
_CRC16_PERIOD = 32_767
# 192 samples of one channel of 8 bits, and the largest number of a first sample.
_STOP_HEADER = bytes.fromhex("fff91002 febfbfbfbfbfbf")
# More bytes than the longest frame can have, 65,535 samples of 8 channels: a frame that is cut off ends in them.
_STOP_BYTES = 1 << 22
_MAX_METADATA_BLOCKS = 4096
# The result's type by the bits of a sample, and its full scale.
_TYPES = {8: (tf.uint8, 2.0**7), 16: (tf.int16, 2.0**15), 24: (tf.int32, 2.0**31)}


def decode_flac(file: FileBytes, decode: Callable[..., Any]) -> tuple[Any, Any]:
    """Returns the samples of a FLAC file, (samples,) float32 in [-1, 1], mono, and their rate, () int32.

    The graph fails where the file is truncated or damaged, does not state its length, or has samples of other than 8,
    16 or 24 bits.

    Args:
        file: The file.
        decode: The operation of tensorflow-io, from the bytes and `dtype` to (samples, channels).
    """
    # 20 bits of rate, 3 of channels, 5 of bits of a sample, 36 of samples.
    rate_and_kind = file.number(18, num_bytes=4)
    rate_hz = tf.cast(bits(rate_and_kind, at=12, count=20), tf.int32)
    width = 1 + tf.cast(bits(rate_and_kind, at=4, count=5), tf.int32)
    num_samples = bits(rate_and_kind, at=0, count=4) * (1 << 32) + file.number(22, num_bytes=4)
    first_frame = _after_metadata(file)
    checks = (
        (
            file.number(4, num_bytes=1) % 128 == 0,
            "encoded is a damaged FLAC file: no STREAMINFO; its bytes are",
            file.size,
        ),
        (first_frame < file.size, "encoded is a truncated FLAC file: it has no frames; its bytes are", file.size),
        (tf.reduce_any(width == list(_TYPES)), "encoded is a FLAC file of a kind that is not decoded: bits:", width),
        (num_samples > 0, "encoded is a FLAC file that does not state its number of samples:", num_samples),
        (
            _has_right_checksums(file.values[first_frame : file.size]),
            "encoded is a truncated or damaged FLAC file: checksums of its frames are wrong; its bytes are",
            file.size,
        ),
    )
    width = file.after_checks(checks, width)
    stop_frames = _stop_frame() * 256
    text = tf.strings.reduce_join(
        [file.text, tf.strings.reduce_join(tf.fill([_STOP_BYTES // len(stop_frames)], stop_frames))]
    )

    def decoded_as(dtype: Any, full_scale: float) -> Any:
        values = tf.cast(decode(text, dtype=dtype), tf.float32)
        mono = tf.reduce_mean(values, axis=1) / full_scale
        return mono - 1 if dtype == tf.uint8 else mono

    branches = [lambda dtype=dtype, scale=scale: decoded_as(dtype, scale) for dtype, scale in _TYPES.values()]
    return tf.switch_case(width // 8 - 1, branches), rate_hz


def _after_metadata(file: FileBytes) -> Any:
    """Returns the offset of the first frame, () int32: the size of the file if a block is cut off."""

    def skip(at: Any, _: Any) -> list[Any]:
        header = file.number(at, num_bytes=4)
        after = tf.minimum(at + 4 + tf.cast(bits(header, at=0, count=24), tf.int32), file.size)
        return [after, (bits(header, at=31, count=1) == 0) & (after < file.size)]

    return tf.while_loop(
        lambda _, is_next: is_next,
        skip,
        [tf.constant(len(MAGIC)), tf.constant(True)],
        maximum_iterations=_MAX_METADATA_BLOCKS,
    )[0]


def _has_right_checksums(values: Any) -> Any:
    """Returns whether frames, (bytes,) uint8, end with right checksums; () bool.

    Each frame ends with its CRC-16, so the bits of one, and of all of them together, are a polynomial that is divisible
    by that of the CRC. The remainder of a bit depends on its place modulo the period.
    """
    num_missing = _CRC16_PERIOD - tf.size(values) % _CRC16_PERIOD
    rows = tf.reshape(tf.pad(values[::-1], [[0, num_missing]]), [-1, _CRC16_PERIOD])

    def halve(rows: Any) -> list[Any]:
        half = tf.shape(rows)[0] // 2
        return [tf.concat([tf.bitwise.bitwise_xor(rows[:half], rows[-half:]), rows[half:-half]], axis=0)]

    shape = tf.TensorShape([None, _CRC16_PERIOD])
    row = tf.while_loop(lambda rows: tf.shape(rows)[0] > 1, halve, [rows], shape_invariants=[shape])[0][0]
    all_bits = tf.stack([bits(row, at=at, count=1) for at in range(8)], axis=1)
    is_odd = tf.reduce_sum(tf.cast(tf.reshape(all_bits, [8, _CRC16_PERIOD]), tf.int32), axis=0) % 2
    remainders = is_odd * tf.constant(_remainders())
    return tf.reduce_all([tf.reduce_sum(bits(remainders, at=at, count=1)) % 2 == 0 for at in range(16)])


def _remainders() -> list[int]:
    """Returns the remainder of each power of x from 0 to the period."""
    found = [1]
    for _ in range(_CRC16_PERIOD - 1):
        found.append(found[-1] << 1 ^ (_CRC16 if found[-1] >> 15 else 0))
    return found


def _stop_frame() -> bytes:
    """Returns a whole frame at which the operation stops with an error."""
    header = _STOP_HEADER + bytes([_remainder(_STOP_HEADER, _CRC8, 8)])
    frame = header + bytes([0, 0])  # a constant, which is 0
    return frame + _remainder(frame, _CRC16, 16).to_bytes(2, "big")


def _remainder(data: bytes, divisor: int, num_bits: int) -> int:
    """Returns a checksum with a polynomial of some degree."""
    found = int.from_bytes(data, "big") << num_bits
    while (length := found.bit_length()) > num_bits:
        found ^= divisor << length - num_bits - 1
    return found
