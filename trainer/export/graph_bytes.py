"""The bytes of a file in a graph: numbers in headers, at offsets that the graph computes."""

from typing import Any

import tensorflow as tf

from trainer.export.graph_checks import after_checks

# Zeros behind the end: the headers of all formats can be read there before it is checked whether they are complete.
_PADDING_BYTES = 256
# Files have several tags at times; this bounds the time for hostile files.
_MAX_ID3V2_TAGS = 64


class FileBytes:
    """The bytes of one encoded file.

    Attributes:
        text: () string, all bytes.
        size: () int32, their number.
        index: () int32, the place of the file in its batch.
        values: (size + 256,) uint8, the bytes and zeros.
    """

    def __init__(self, text: Any, index: Any) -> None:
        """Takes the bytes, () string, and the place of the file in its batch."""
        self.text = text
        self.index = index
        self.size = tf.strings.length(text)
        self.values = tf.pad(tf.io.decode_raw(text, tf.uint8), [[0, _PADDING_BYTES]])

    def number(self, at: Any, *, num_bytes: int, is_little: bool = False) -> Any:
        """Returns the unsigned integers of some bytes, int64, with zeros for bytes behind the end.

        Args:
            at: The offsets of their first bytes, int32 of any shape.
            num_bytes: How many bytes a number has, at most 7.
            is_little: Whether the last byte is the highest; otherwise the first one is.
        """
        places = tf.clip_by_value(at, 0, self.size)[..., None] + tf.range(num_bytes)
        powers = tf.constant([256**power for power in range(num_bytes)][:: 1 if is_little else -1], tf.int64)
        return tf.reduce_sum(tf.cast(tf.gather(self.values, places), tf.int64) * powers, axis=-1)

    def starts_with(self, word: bytes, at: Any = 0) -> Any:
        """Returns whether the bytes at an offset, () int32, are those of a word of at most 7 bytes; () bool."""
        return self.number(at, num_bytes=len(word)) == int.from_bytes(word, "big")

    def after_checks(self, checks: tuple[tuple[Any, str, Any], ...], value: Any) -> Any:
        """Returns a value that the graph computes after checks of this file, which their messages name."""
        return after_checks(checks, value, place=("file of the batch:", self.index))

    def part(self, start: Any, end: Any) -> Any:
        """Returns the bytes from one offset to another, () int32, as () string; none behind the end of the file."""
        start = tf.clip_by_value(start, 0, self.size)
        return tf.strings.substr(self.text, start, tf.clip_by_value(end, start, self.size) - start)


def bits(value: Any, *, at: int, count: int) -> Any:
    """Returns some bits of unsigned integers, of their type and shape; the lowest bit is at 0."""
    return value // (1 << at) % (1 << count)


def without_id3v2(file: FileBytes) -> FileBytes:
    """Returns a file without the ID3v2 tags at its start: an empty one where a tag is cut off."""

    def skip(at: Any) -> list[Any]:
        # Four bytes of seven bits each, without the header of 10 bytes and a footer of as many.
        sizes = tf.cast(file.number(at + 6 + tf.range(4), num_bytes=1) & 0x7F, tf.int32)
        footer = tf.cast(bits(file.number(at + 5, num_bytes=1), at=4, count=1), tf.int32)
        return [tf.minimum(at + 10 + tf.reduce_sum(sizes * [1 << 21, 1 << 14, 1 << 7, 1]) + 10 * footer, file.size)]

    start = tf.while_loop(
        lambda at: file.starts_with(b"ID3", at), skip, [tf.constant(0)], maximum_iterations=_MAX_ID3V2_TAGS
    )[0]
    return FileBytes(file.part(start, file.size), file.index)
