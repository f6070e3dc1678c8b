"""Decoding WAV files of integers and floats in a graph, with TensorFlow's own operations.

Source: Microsoft, "Multiple channel audio data and WAVE files". tensorflow-io's decoder reads integers of 32 bits as
floats, and damaged headers end the process.
"""

from typing import Any

import tensorflow as tf

from trainer.export.graph_bytes import FileBytes

MAGIC = b"RIFF"
_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
# Programs that do not know the length yet write about 2 GiB or about 4 GiB.
_LEAST_PLACEHOLDER = (1 << 31) - (1 << 16)
_MAX_CHUNKS = 1000


def decode_wav(file: FileBytes) -> tuple[Any, Any]:
    """Returns the samples of a WAV file, (samples,) float32 in [-1, 1], mono, and their rate, () int32.

    The graph fails where the file is truncated, is damaged, or has compressed samples.
    """
    header, data = _find_chunk(file, b"fmt "), _find_chunk(file, b"data")
    tag, channels, bits = (
        tf.cast(file.number(header + at, num_bytes=2, is_little=True), tf.int32) for at in (8, 10, 22)
    )
    tag = tf.where(tag == _EXTENSIBLE, tf.cast(file.number(header + 32, num_bytes=2, is_little=True), tf.int32), tag)
    rate_hz = tf.cast(file.number(header + 12, num_bytes=4, is_little=True) & 0x7FFFFFFF, tf.int32)
    kinds = [(_PCM, 8), (_PCM, 16), (_PCM, 24), (_PCM, 32), (_FLOAT, 32), (_FLOAT, 64)]
    is_kind = tf.stack([(tag == kind) & (bits == width) for kind, width in kinds])
    num_stated = file.number(data + 4, num_bytes=4, is_little=True)
    num_left = tf.cast(file.size - data - 8, tf.int64)
    checks = (
        (header < file.size, "encoded is a WAV file without a format chunk; its bytes are", file.size),
        (tf.reduce_any(is_kind), "encoded is a WAV file of a kind that is not decoded: format, bits:", [tag, bits]),
        (channels > 0, "encoded is a WAV file with a damaged header: channels:", channels),
        (data < file.size, "encoded is a truncated WAV file: it has no data chunk; its bytes are", file.size),
        (
            (num_stated <= num_left) | (num_stated >= _LEAST_PLACEHOLDER),
            "encoded is a truncated WAV file: bytes of samples that are stated, and there:",
            [num_stated, num_left],
        ),
    )
    frame_bytes = file.after_checks(checks, channels) * bits // 8
    num_bytes = tf.cast(tf.minimum(num_stated, num_left), tf.int32) // tf.maximum(frame_bytes, 1) * frame_bytes
    samples = file.part(data + 8, data + 8 + num_bytes)
    values = tf.switch_case(
        tf.argmax(is_kind, output_type=tf.int32),
        [
            lambda: tf.cast(tf.io.decode_raw(samples, tf.uint8), tf.float32) / 2**7 - 1,
            lambda: tf.cast(tf.io.decode_raw(samples, tf.int16), tf.float32) / 2**15,
            lambda: _integers_of_24_bits(samples) / 2**23,
            lambda: tf.cast(tf.io.decode_raw(samples, tf.int32), tf.float32) / 2**31,
            lambda: tf.io.decode_raw(samples, tf.float32),
            lambda: tf.cast(tf.io.decode_raw(samples, tf.float64), tf.float32),
        ],
    )
    return tf.reduce_mean(tf.reshape(values, tf.stack([-1, channels])), axis=1), rate_hz


def _find_chunk(file: FileBytes, name: bytes) -> Any:
    """Returns the offset of the first chunk with a name, () int32; at least the size of the file if there is none."""

    def skip(at: Any) -> list[Any]:
        num_bytes = file.number(at + 4, num_bytes=4, is_little=True)
        # They are padded to an even size.
        after = tf.cast(at, tf.int64) + 8 + num_bytes + num_bytes % 2
        return [tf.cast(tf.minimum(after, tf.cast(file.size, tf.int64)), tf.int32)]

    return tf.while_loop(
        lambda at: (at < file.size) & ~file.starts_with(name, at),
        skip,
        [tf.constant(12)],
        maximum_iterations=_MAX_CHUNKS,
    )[0]


def _integers_of_24_bits(samples: Any) -> Any:
    """Returns little-endian integers, () string → (values,) float32."""
    parts = tf.cast(tf.reshape(tf.io.decode_raw(samples, tf.uint8), [-1, 3]), tf.int32)
    unsigned = tf.reduce_sum(parts * [1, 1 << 8, 1 << 16], axis=1)
    return tf.cast(tf.where(unsigned >= 1 << 23, unsigned - (1 << 24), unsigned), tf.float32)
