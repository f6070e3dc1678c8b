"""The independent source is libsndfile; tensorflow-io's operation is replaced."""

import io

import numpy as np
import pytest
import soundfile
import tensorflow as tf

from beam_pipelines.audio.mp3_headers import parse_header
from trainer.export.graph_bytes import FileBytes, without_id3v2
from trainer.export.graph_mp3 import decode_mp3


def encoded(*, rate_hz=44_100, channels=2, duration_s=0.5):
    file = io.BytesIO()
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, (round(duration_s * rate_hz), channels))
    soundfile.write(file, samples, rate_hz, format="MP3", subtype="MPEG_LAYER_III")
    return file.getvalue()


def frames_of(data):
    """Returns the frames of an mp3 without tags."""
    found = []
    while data:
        num_bytes = parse_header(data[:4]).num_bytes
        found.append(data[:num_bytes])
        data = data[num_bytes:]
    return found


WHOLE = encoded()
FRAMES = frames_of(WHOLE)
NUM_FRAMES = len(FRAMES) - 1  # without the one that has the header
TAG = b"ID3\x04\0\0\0\0\x01\x05" + b"\xff\xfb\x90\x00" * 32 + b"\0" * 5
NUM_LOST = 1152


class Operation:
    """tensorflow-io's operation: decodes all frames but the first one to their numbers, and keeps what it is given."""

    def __call__(self, text):
        return tf.ensure_shape(tf.numpy_function(self.run, [text], tf.float32), (None, None))

    def run(self, text):
        self.text = text
        num_samples = parse_header(text[:4]).num_samples * len(frames_of(text))
        return np.arange(NUM_LOST, num_samples, dtype=np.float32)[:, None] + np.float32([[-1, 1]])


OPERATION = Operation()


@tf.function(input_signature=[tf.TensorSpec((), tf.string)], autograph=False)
def graph(text):
    return decode_mp3(without_id3v2(FileBytes(text, tf.constant(2))), OPERATION)


def decode(data):
    samples, rate_hz = graph(tf.constant(data))
    return samples.numpy(), int(rate_hz), OPERATION.text


@pytest.mark.parametrize(
    ("rate_hz", "channels"), [(44_100, 2), (44_100, 1), (48_000, 2), (32_000, 1), (22_050, 2), (16_000, 1), (8_000, 2)]
)
def test_delay_and_padding_are_left_out_as_by_libsndfile(rate_hz, channels):
    data = encoded(rate_hz=rate_hz, channels=channels)
    samples, found_hz, text = decode(data)
    assert (found_hz, len(samples)) == (rate_hz, soundfile.info(io.BytesIO(data)).frames)
    assert text == b"".join(frames_of(data)[1:])
    # LAME's delay is 576 samples, and a decoder's 529.
    num_silent = NUM_LOST - 576 - 529
    assert samples[:num_silent].tolist() == [0] * num_silent
    assert samples[num_silent : num_silent + 2].tolist() == [NUM_LOST, NUM_LOST + 1]


def test_padding_of_more_than_all_samples_leaves_none():
    at = WHOLE.index(b"LAME") + 22
    changed = WHOLE[:at] + bytes([WHOLE[at] | 15, 255]) + WHOLE[at + 2 :]
    short = frames_of(changed)[:4]
    short[0] = short[0][:44] + (3).to_bytes(4, "big") + short[0][48:]  # the number of frames
    assert decode(b"".join(short))[0].tolist() == []


def test_without_a_header_in_the_first_frame_all_of_it_is_decoded():
    data = b"".join(FRAMES[1:])
    samples, _, text = decode(data)
    assert text == data
    assert len(samples) == 1152 * NUM_FRAMES
    assert samples[:NUM_LOST].tolist() == [0] * NUM_LOST
    assert samples[NUM_LOST] == NUM_LOST


def test_a_vbri_header_is_not_decoded():
    number = NUM_FRAMES.to_bytes(4, "big")
    first = FRAMES[1][:36] + b"VBRI" + bytes(10) + number + FRAMES[1][54:]
    samples, _, text = decode(first + b"".join(FRAMES[1:]))
    assert text == b"".join(FRAMES[1:])
    assert len(samples) == 1152 * NUM_FRAMES
    with pytest.raises(tf.errors.InvalidArgumentError, match="of stated ones"):
        decode(first + b"".join(FRAMES[2:]))


@pytest.mark.parametrize("before", [TAG, TAG * 2, b"\0" * 417, b"\xff\xfb\x90\x00" + b"junk" * 9])
@pytest.mark.parametrize("after", [b"", b"TAG" + b"\xff\xfb" * 62 + b"\0", b"\0" * 500, b"APETAGEX" + b"\xff" * 50])
def test_tags_and_junk_around_the_frames_are_left_out(before, after):
    expected, _, frames = decode(WHOLE)
    samples, _, text = decode(before + WHOLE + after)
    assert text == frames
    assert samples.tolist() == expected.tolist()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            WHOLE[:-1],
            rf"a truncated or damaged mp3 file: whole frames, of stated ones .*\[{NUM_FRAMES - 1} {NUM_FRAMES} ",
        ),
        (WHOLE[: -len(FRAMES[-1])], "a truncated or damaged mp3 file"),
        (b"".join(FRAMES[1:])[:-1], rf"a truncated or damaged mp3 file: .* \[{NUM_FRAMES - 1} -1 "),
        (b"".join(FRAMES[1:9]) + b"other bytes" + b"".join(FRAMES[9:]), r"\[8 -1 "),
        (b"".join(FRAMES[:9]) + b"other bytes" + b"".join(FRAMES[9:]), rf"\[8 {NUM_FRAMES} "),
        (b"".join(FRAMES[:3]), r"no mp3, FLAC or WAV file: .*its first bytes are\] \[255 "),
        (b"OggS" + bytes(500), r"no mp3, FLAC or WAV file: .* \[79 103 103"),
        (b"\xff", "no mp3, FLAC or WAV file"),
        (b"ID3\x04\0\0\x7f\x7f\x7f\x7f" + WHOLE, "no mp3, FLAC or WAV file"),
        (bytes(1 << 17) + WHOLE, "no mp3, FLAC or WAV file"),
    ],
)
def test_what_is_not_decoded_is_an_assertion_that_names_the_file(data, message):
    with pytest.raises(tf.errors.InvalidArgumentError, match=message) as caught:
        decode(data)
    assert "[file of the batch:] [2]" in str(caught.value)
