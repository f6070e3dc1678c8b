"""The independent source of samples is libsndfile."""

import io
import struct

import numpy as np
import pytest
import soundfile
import tensorflow as tf

from trainer.export.graph_bytes import FileBytes
from trainer.export.graph_wav import decode_wav

RATE_HZ = 22_050
STEREO = np.random.default_rng(0).uniform(-0.9, 0.9, (50, 2))


def encoded(samples, *, subtype="PCM_16", audio_format="WAV"):
    file = io.BytesIO()
    soundfile.write(file, samples, RATE_HZ, format=audio_format, subtype=subtype)
    return file.getvalue()


@tf.function(input_signature=[tf.TensorSpec((), tf.string)], autograph=False)
def graph(text):
    return decode_wav(FileBytes(text, tf.constant(3)))


def decode(data):
    samples, rate_hz = graph(tf.constant(data))
    return samples.numpy(), int(rate_hz)


def chunk(name, content):
    return name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


def wav_of(*chunks):
    return b"RIFF" + struct.pack("<I", 4 + sum(map(len, chunks))) + b"WAVE" + b"".join(chunks)


FORMAT = chunk(b"fmt ", struct.pack("<HHIIHH", 1, 1, RATE_HZ, 2 * RATE_HZ, 2, 16))
DATA = chunk(b"data", struct.pack("<3h", 0, 16_384, -32_768))


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
@pytest.mark.parametrize("channels", [1, 2])
def test_samples_are_the_mean_of_those_of_libsndfile(subtype, channels):
    data = encoded(STEREO[:, :channels], subtype=subtype)
    expected, _ = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)
    samples, rate_hz = decode(data)
    assert rate_hz == RATE_HZ
    assert samples.dtype == np.float32
    np.testing.assert_allclose(samples, expected.mean(axis=1), rtol=0, atol=1e-7)


def test_an_extensible_header_names_the_format_in_its_end():
    data = encoded(np.repeat(STEREO, 3, axis=1), subtype="PCM_24", audio_format="WAVEX")
    expected, _ = soundfile.read(io.BytesIO(data), dtype="float32")
    np.testing.assert_allclose(decode(data)[0], expected.mean(axis=1), rtol=0, atol=1e-7)


def test_other_chunks_are_skipped_also_those_of_odd_size():
    data = wav_of(chunk(b"LIST", b"odd"), FORMAT, chunk(b"fact", b"1234"), DATA, chunk(b"id3 ", b"behind"))
    assert decode(data)[0].tolist() == [0.0, 0.5, -1.0]


@pytest.mark.parametrize("stated", [0x7FFFFFFF, 0xFFFFFFFF, 0xFFFFFFF7])
def test_a_length_that_was_not_known_yet_is_the_rest_of_the_file(stated):
    data = wav_of(FORMAT) + b"data" + struct.pack("<I", stated) + struct.pack("<3h", 0, 16_384, -32_768) + b"\1"
    assert decode(data)[0].tolist() == [0.0, 0.5, -1.0]


A_LAW = encoded(STEREO, subtype="ALAW")
WHOLE = wav_of(FORMAT, DATA)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (WHOLE[:-1], r"a truncated WAV file: bytes of samples that are stated, and there:\] \[6 5\]"),
        (WHOLE[: len(WHOLE) - 6], r"stated, and there:\] \[6 0\]"),
        (wav_of(FORMAT), "a truncated WAV file: it has no data chunk; its bytes are.*36"),
        (wav_of(DATA), "a WAV file without a format chunk; its bytes are.*26"),
        (b"RIFF", "without a format chunk"),
        (A_LAW, r"of a kind that is not decoded: format, bits:\] \[6 8\]"),
        (WHOLE[:22], r"of a kind that is not decoded: format, bits:\] \[1 0\]"),
        (wav_of(chunk(b"fmt ", struct.pack("<HHIIHH", 1, 0, 8000, 0, 0, 16)), DATA), r"channels:\] \[0\]"),
        (wav_of(chunk(b"fmt ", b""), DATA), "of a kind that is not decoded"),
    ],
)
def test_what_is_not_decoded_is_an_assertion_that_names_the_file(data, message):
    with pytest.raises(tf.errors.InvalidArgumentError, match=message) as caught:
        decode(data)
    assert "[file of the batch:] [3]" in str(caught.value)


def test_a_chunk_that_ends_far_behind_the_file_ends_the_search():
    data = wav_of(FORMAT) + b"LIST" + struct.pack("<I", 0xFFFFFFFF)
    with pytest.raises(tf.errors.InvalidArgumentError, match="it has no data chunk"):
        decode(data)
