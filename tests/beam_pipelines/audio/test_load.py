import io
import struct
import wave
from pathlib import Path

import av
import librosa
import numpy as np
import pytest
import soundfile

from beam_pipelines.audio.config import AudioConfig
from beam_pipelines.audio.decode import stream_samples
from beam_pipelines.audio.libsndfile import open_libsndfile
from beam_pipelines.audio.load import (
    AudioError,
    Limits,
    content_hash,
    is_audio_path,
    load_audio,
    load_audio_at_rates,
    read_at_rates,
)

CONFIG = AudioConfig(sample_rate_hz=16_000)


def load(path, config=CONFIG):
    with open(path, "rb") as source:
        return load_audio(source, config)


def reason_of(data: bytes, config=CONFIG) -> str:
    with pytest.raises(AudioError) as caught:
        load_audio(io.BytesIO(data), config)
    assert caught.value.message
    return caught.value.reason


def wav_bytes(samples, sample_rate_hz=16_000, subtype="PCM_16"):
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, sample_rate_hz, format="WAV", subtype=subtype)
    return buffer.getvalue()


@pytest.mark.parametrize("ending", ["wav", "flac", "ogg", "au", "mp3", "aiff"])
def test_formats_decode_to_what_librosa_loads(write_audio, tmp_path, ending):
    path = write_audio(tmp_path / f"tone.{ending}", duration_s=2.0, sample_rate_hz=22_050, channels=2)
    audio = load(path)
    expected, _ = librosa.load(path, sr=16_000)
    assert audio.sample_rate_hz == 16_000
    assert audio.samples.dtype == np.float32
    assert abs(len(audio.samples) - len(expected)) <= 1
    np.testing.assert_array_equal(audio.samples, expected[: len(audio.samples)])


def test_a_file_on_disk_one_in_memory_and_one_that_was_read_before_decode_alike(write_audio, tmp_path):
    # The first is read by its descriptor, the second through Python, and both in blocks.
    path = write_audio(tmp_path / "tone.mp3", duration_s=5.0, sample_rate_hz=44_100, channels=2)
    from_disk, in_memory = load(path), load_audio(io.BytesIO(path.read_bytes()), CONFIG)
    with open(path, "rb") as source:
        source.read(5_000)
        read_before = load_audio(source, CONFIG)
        read_twice = load_audio(source, CONFIG)
    for audio in (in_memory, read_before, read_twice):
        np.testing.assert_array_equal(audio.samples, from_disk.samples)


def test_real_mp3_decodes_to_what_librosa_loads(real_music):
    for path in sorted(real_music.glob("*/*.mp3"))[::40]:
        audio = load(path)
        expected, _ = librosa.load(path, sr=16_000)
        assert abs(len(audio.samples) - len(expected)) <= 1
        np.testing.assert_allclose(audio.samples, expected[: len(audio.samples)], atol=1e-7)


def test_m4a_decodes_to_the_tone_that_was_encoded(tmp_path):
    path = tmp_path / "tone.m4a"
    rate = 44_100
    samples = (0.5 * np.sin(2 * np.pi * 1000 * np.arange(2 * rate) / rate)).astype(np.float32)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=rate, layout="stereo")
        frame = av.AudioFrame.from_ndarray(np.stack([samples, samples]), format="fltp", layout="stereo")
        frame.sample_rate = rate
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    audio = load(path)
    assert audio.duration_s == pytest.approx(2.0, abs=0.1)
    spectrum = np.abs(np.fft.rfft(audio.samples[4000:20_000]))
    assert np.argmax(spectrum) == 1000  # one bin is 1 Hz
    assert np.sqrt(np.mean(audio.samples[4000:20_000] ** 2)) == pytest.approx(0.5 / np.sqrt(2), rel=0.02)


def test_a_damaged_m4a_is_undecodable():
    assert reason_of(b"\x00\x00\x00\x20ftypM4A " + bytes(200)) == "undecodable"


def test_channels_are_averaged(tmp_path):
    path = tmp_path / "six.wav"
    rng = np.random.default_rng(0)
    samples = rng.uniform(-0.5, 0.5, (48_000, 6)).astype(np.float32)
    soundfile.write(path, samples, 16_000, subtype="FLOAT")
    np.testing.assert_allclose(load(path).samples, samples.mean(axis=1), atol=1e-7)


@pytest.mark.parametrize(("sample_rate_hz", "channels"), [(8_000, 1), (48_000, 6), (96_000, 2)])
def test_any_rate_and_channel_count_becomes_mono_at_the_requested_rate(write_audio, tmp_path, sample_rate_hz, channels):
    path = write_audio(tmp_path / "a.wav", duration_s=3.0, sample_rate_hz=sample_rate_hz, channels=channels)
    audio = load(path)
    assert audio.samples.shape == (48_000,)
    spectrum = np.abs(np.fft.rfft(audio.samples[:16_000]))
    assert np.argmax(spectrum) == 440


def test_empty_text_and_zero_files_have_their_reasons():
    assert reason_of(b"") == "empty_file"
    assert reason_of(b"this is a text file and no mp3\n" * 50) == "undecodable"
    assert reason_of(bytes(5000)) == "undecodable"
    assert reason_of(b"R") == "undecodable"


def test_a_wav_without_samples_has_no_audio():
    assert reason_of(wav_bytes(np.zeros((0, 1), dtype=np.float32))) == "no_audio"


def test_one_sample_is_decoded():
    audio = load_audio(io.BytesIO(wav_bytes(np.array([0.25], dtype=np.float32))), CONFIG)
    np.testing.assert_array_equal(audio.samples, [0.25])
    assert audio.duration_s == 1 / 16_000


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_samples_that_are_not_finite_are_refused(value):
    samples = np.zeros(1000, dtype=np.float32)
    samples[500] = value
    assert reason_of(wav_bytes(samples, subtype="FLOAT")) == "not_finite"


def test_a_truncated_file_gives_the_audio_up_to_the_cut(write_audio, tmp_path):
    for ending in ("mp3", "wav"):
        whole = write_audio(tmp_path / f"a.{ending}", duration_s=4.0, sample_rate_hz=22_050)
        half = tmp_path / f"half.{ending}"
        half.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
        audio = load(half, AudioConfig(sample_rate_hz=16_000, min_decoded_fraction=0.4))
        assert audio.duration_s == pytest.approx(2.0, abs=0.2)
        assert audio.expected_s == pytest.approx(4.0)
        assert audio.is_partial
        assert reason_of(half.read_bytes()) == "damaged"


def test_a_header_that_promises_hours_costs_no_memory(tmp_path):
    path = tmp_path / "liar.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes(b"\x01\x00" * 1000)
    data = bytearray(path.read_bytes())
    struct.pack_into("<I", data, 4, 0xFFFFFFF0)
    struct.pack_into("<I", data, 40, 0xFFFFFFC0)
    audio = load_audio(io.BytesIO(bytes(data)), AudioConfig(sample_rate_hz=16_000, max_duration_s=36_000))
    assert len(audio.samples) == 1000


def test_implausible_channel_counts_and_rates_are_refused():
    assert reason_of(wav_bytes(np.zeros((10, 65), dtype=np.float32))) == "bad_header"
    assert reason_of(wav_bytes(np.zeros(10, dtype=np.float32), sample_rate_hz=999)) == "bad_header"
    assert reason_of(wav_bytes(np.zeros(10, dtype=np.float32), sample_rate_hz=800_000)) == "bad_header"


@pytest.mark.parametrize(("max_duration_s", "frames", "is_cut"), [(0.5, 8_000, True), (1.0, 16_000, False)])
def test_no_more_than_the_longest_duration_is_decoded(max_duration_s, frames, is_cut):
    data = wav_bytes(np.random.default_rng(0).uniform(-1, 1, 16_000).astype(np.float32))
    config = AudioConfig(sample_rate_hz=16_000, max_duration_s=max_duration_s)
    audio = load_audio(io.BytesIO(data), config)
    assert len(audio.samples) == frames
    assert audio.is_cut == is_cut


@pytest.mark.parametrize(("ending", "channels"), [("wav", 6), ("flac", 2), ("mp3", 2), ("ogg", 1)])
def test_a_file_is_decoded_block_by_block_with_all_its_channels(write_audio, tmp_path, ending, channels):
    path = write_audio(tmp_path / f"a.{ending}", duration_s=6.0, sample_rate_hz=44_100, channels=channels)
    expected, _ = soundfile.read(path, dtype="float32", always_2d=True)
    with open(path, "rb") as source, open_libsndfile(source) as stream:
        assert (stream.sample_rate_hz, stream.channels) == (44_100, channels)
        blocks = [block.copy() for block in stream.blocks(max_duration_s=60)]
        assert not stream.is_cut
    assert len(blocks) >= 5
    np.testing.assert_array_equal(np.concatenate(blocks), expected)


def test_blocks_end_at_the_longest_duration():
    samples = np.random.default_rng(0).uniform(-1, 1, (200_000, 2)).astype(np.float32)
    with open_libsndfile(io.BytesIO(wav_bytes(samples, subtype="FLOAT"))) as stream:
        blocks = [block.copy() for block in stream.blocks(max_duration_s=10)]
        assert stream.is_cut
    np.testing.assert_array_equal(np.concatenate(blocks), samples[:160_000])


def test_an_exception_of_the_user_of_blocks_is_not_changed():
    """An error of the one who uses the blocks is not one of the file, even if libsndfile raised it."""
    with pytest.raises(soundfile.LibsndfileError), open_libsndfile(io.BytesIO(wav_bytes(np.zeros(10)))) as stream:
        for _ in stream.blocks(max_duration_s=1):
            raise soundfile.LibsndfileError(2)


@pytest.mark.parametrize(
    ("path", "is_audio"),
    [
        ("a.mp3", True),
        ("x y/b.FLAC", True),
        ("a.txt", False),
        ("mp3", False),
        *((f"a.{ending}", True) for ending in ("oga", "aifc", "caf", "w64", "mp4", "aac", "wma", "webm", "wv", "Ape")),
        ("a.mkv", False),
        (".a.mp3", False),
        (".trash/a.mp3", False),
        ("x/.y/a.mp3", False),
    ],
)
def test_hidden_and_other_files_are_no_audio(path, is_audio):
    assert is_audio_path(path) == is_audio


def test_the_content_hash_is_that_of_the_sound_and_not_of_the_file(write_audio, tmp_path):
    wav = write_audio(tmp_path / "a.wav")
    flac = tmp_path / "a.flac"
    samples, rate = soundfile.read(wav)
    soundfile.write(flac, samples, rate)
    other = write_audio(tmp_path / "b.wav", frequency_hz=441.0)
    assert content_hash(load(wav)) == content_hash(load(flac))
    assert content_hash(load(wav)) != content_hash(load(other))
    assert content_hash(load(wav)) != content_hash(load(wav, AudioConfig(sample_rate_hz=8_000)))


def test_bytes_flipped_at_random_decode_or_are_refused(write_audio, tmp_path):
    """No file, whatever is in it, may raise anything but an AudioError."""
    rng = np.random.default_rng(0)
    outcomes = set()
    for ending in ("mp3", "flac", "ogg", "wav"):
        original = Path(write_audio(tmp_path / f"a.{ending}", duration_s=1.0)).read_bytes()
        for _ in range(25):
            data = bytearray(original)
            for position in rng.integers(0, len(data), 20):
                data[position] = rng.integers(0, 256)
            try:
                load_audio(io.BytesIO(bytes(data)), CONFIG)
                outcomes.add("decoded")
            except AudioError:
                outcomes.add("refused")
    assert outcomes == {"decoded", "refused"}


def test_samples_in_memory_are_resampled_like_their_file(tmp_path):
    samples = np.random.default_rng(0).uniform(-1, 1, (150_001, 3)).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", samples, 44_100, subtype="FLOAT")
    with open(tmp_path / "a.wav", "rb") as source:
        expected = load_audio_at_rates(source, [16_000, 44_100], limits=Limits(max_duration_s=3.0))
    found = read_at_rates(stream_samples(samples, 44_100), [16_000, 44_100], max_duration_s=3.0)
    for rate_hz, audio in expected.items():
        np.testing.assert_array_equal(found[rate_hz].samples, audio.samples)
        assert found[rate_hz].is_cut and audio.is_cut
    whole = read_at_rates(stream_samples(samples, 44_100), [44_100], max_duration_s=600.0)[44_100]
    assert (len(whole.samples), whole.is_cut) == (150_001, False)
    with pytest.raises(AudioError, match="65 channels"):
        stream_samples(np.zeros((1, 65), np.float32), 44_100)
