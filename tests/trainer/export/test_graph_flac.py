"""The independent source is libsndfile; tensorflow-io's operation is replaced."""

import io
import struct

import numpy as np
import pytest
import soundfile
import tensorflow as tf

from trainer.export.graph_bytes import FileBytes
from trainer.export.graph_flac import decode_flac

RATE_HZ = 22_050
SAMPLES = np.random.default_rng(0).uniform(-0.5, 0.5, (6000, 2))


def encoded(subtype="PCM_16"):
    file = io.BytesIO()
    soundfile.write(file, SAMPLES, RATE_HZ, format="FLAC", subtype=subtype)
    return file.getvalue()


WHOLE = encoded()


class Operation:
    """tensorflow-io's operation: returns two samples of two channels, and keeps what it is given."""

    def __call__(self, text, dtype):
        def run(text):
            self.text, self.dtype = text, dtype
            return np.array([[1, 3], [64, 64]], dtype.as_numpy_dtype)

        return tf.ensure_shape(tf.numpy_function(run, [text], dtype), (None, None))


OPERATION = Operation()


@tf.function(input_signature=[tf.TensorSpec((), tf.string)], autograph=False)
def graph(text):
    return decode_flac(FileBytes(text, tf.constant(1)), OPERATION)


def decode(data):
    samples, rate_hz = graph(tf.constant(data))
    return samples.numpy(), int(rate_hz), OPERATION


@pytest.mark.parametrize(
    ("subtype", "dtype", "expected"),
    [
        ("PCM_S8", tf.uint8, [2 / 2**7 - 1, -0.5]),
        ("PCM_16", tf.int16, [2 / 2**15, 64 / 2**15]),
        ("PCM_24", tf.int32, [2 / 2**31, 64 / 2**31]),
    ],
)
def test_samples_are_scaled_by_the_bits_that_the_file_states(subtype, dtype, expected):
    samples, rate_hz, operation = decode(encoded(subtype))
    assert (rate_hz, operation.dtype) == (RATE_HZ, dtype)
    assert samples.tolist() == expected


def test_frames_behind_the_file_end_the_operation():
    _, _, operation = decode(WHOLE)
    assert operation.text.startswith(WHOLE)
    behind = operation.text[len(WHOLE) :]
    frame = behind[:16]
    assert behind == frame * (len(behind) // 16)
    assert len(behind) > 65_535 * 8 * 4  # bytes of the longest frame whose samples have 32 bits
    # With a STREAMINFO that fits, libsndfile decodes the frame, whose number is the largest one.
    info = struct.pack(">HH6sQ16s", 192, 192, bytes(6), RATE_HZ << 44 | 7 << 36 | 192, bytes(16))
    with soundfile.SoundFile(io.BytesIO(b"fLaC\x80\0\0\x22" + info + frame)) as file:
        assert file.read().tolist() == [0] * 192
    assert frame[4:11] == b"\xfe" + b"\xbf" * 6


def test_large_and_empty_blocks_of_metadata_are_skipped():
    blocks = b"\x01" + (300_000).to_bytes(3, "big") + b"\xff" * 300_000 + b"\x01\0\0\0"
    data = WHOLE[:42] + blocks + WHOLE[42:]
    assert decode(data)[2].text.startswith(data)
    assert soundfile.info(io.BytesIO(data)).frames == len(SAMPLES)


def test_each_wrong_byte_of_the_frames_is_found():
    rng = np.random.default_rng(0)
    begin = WHOLE.index(b"\xff\xf8")
    for at in (begin, len(WHOLE) - 1, *rng.integers(begin, len(WHOLE), 5)):
        data = bytearray(WHOLE)
        data[at] ^= 1 << int(rng.integers(8))
        with pytest.raises(tf.errors.InvalidArgumentError, match="checksums of its frames are wrong"):
            decode(bytes(data))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (WHOLE[:-1], "a truncated or damaged FLAC file: checksums of its frames are wrong; its bytes are"),
        (WHOLE[: len(WHOLE) // 2], "checksums of its frames are wrong"),
        (WHOLE[:40], "a truncated FLAC file: it has no frames; its bytes are.*40"),
        (b"fLaC", "a truncated FLAC file: it has no frames"),
        (b"fLaC" + b"\x84" + WHOLE[5:], "a damaged FLAC file: no STREAMINFO"),
        (WHOLE[:21] + bytes([WHOLE[21] & 0xF0]) + bytes(4) + WHOLE[26:], "does not state its number of samples"),
        (WHOLE[:21] + bytes([WHOLE[21] & 15 | 0xB0]) + WHOLE[22:], r"a kind that is not decoded: bits:\] \[12\]"),
    ],
)
def test_what_is_not_decoded_is_an_assertion_that_names_the_file(data, message):
    with pytest.raises(tf.errors.InvalidArgumentError, match=message) as caught:
        decode(data)
    assert "[file of the batch:] [1]" in str(caught.value)
