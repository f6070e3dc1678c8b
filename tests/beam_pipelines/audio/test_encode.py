import io
import wave

import numpy as np
import pytest
import soundfile

from beam_pipelines.audio.encode import encode_wav, format_problem, max_duration_s, open_writer, to_pcm16


def noise(*shape) -> np.ndarray:
    return np.random.default_rng(0).uniform(-1.1, 1.1, shape).astype(np.float32)


def test_samples_are_scaled_by_32768_rounded_and_clipped():
    samples = np.array([-2.0, -1.0, -0.5, 0.0, 0.4 / 32768, 0.6 / 32768, 0.25, 1.0, 1.5], dtype=np.float32)
    pcm = to_pcm16(samples)
    assert pcm.dtype == np.dtype("<i2")
    assert pcm.tolist() == [-32768, -32768, -16384, 0, 0, 1, 8192, 32767, 32767]


def test_16_bit_samples_are_encoded_without_loss():
    every_value = np.arange(-32768, 32768, dtype=np.int16)
    np.testing.assert_array_equal(to_pcm16(every_value.astype(np.float32) / 32768), every_value)


@pytest.mark.parametrize("shape", [(1000,), (1000, 1), (1000, 2), (1000, 6), (1, 2), (0, 1)])
def test_a_wav_holds_the_16_bit_samples(shape):
    data = encode_wav(noise(*shape), sample_rate_hz=22_050)
    with wave.open(io.BytesIO(data)) as file:
        assert (file.getframerate(), file.getsampwidth()) == (22_050, 2)
        assert file.getnchannels() == (1 if len(shape) == 1 else shape[1])
        frames = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2")
    np.testing.assert_array_equal(frames, to_pcm16(noise(*shape)).ravel())


def test_a_wav_of_mono_is_a_header_of_44_bytes_and_the_samples():
    samples = noise(100)
    assert encode_wav(samples, sample_rate_hz=16_000)[44:] == to_pcm16(samples).tobytes()


@pytest.mark.parametrize("audio_format", ["wav", "flac"])
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_the_bytes_do_not_depend_on_the_blocks(tmp_path, audio_format, channels):
    samples = noise(10_000, channels)
    contents = []
    for size in (10_000, 4096, 333):
        path = tmp_path / f"{size}.{audio_format}"
        with open(path, "wb") as file:
            with open_writer(
                file.fileno(), audio_format=audio_format, sample_rate_hz=44_100, channels=channels
            ) as write:
                for start in range(0, len(samples), size):
                    write(samples[start : start + size])
            file.flush()  # the descriptor is still open
        contents.append(path.read_bytes())
        decoded, rate = soundfile.read(path, dtype="int16", always_2d=True)
        assert rate == 44_100
        np.testing.assert_array_equal(decoded, to_pcm16(samples))
    assert contents[0] == contents[1] == contents[2]


@pytest.mark.parametrize("audio_format", ["wav", "flac"])
def test_a_disk_that_is_full_is_an_error(audio_format):
    with (
        open("/dev/full", "wb") as file,
        pytest.raises(OSError, match="is the disk full"),
        open_writer(file.fileno(), audio_format=audio_format, sample_rate_hz=16_000, channels=1) as write,
    ):
        write(noise(500_000, 1))


@pytest.mark.parametrize(
    ("sample_rate_hz", "channels"),
    [
        (1_000, 1),
        (44_100, 8),
        (65_535, 1),
        (65_536, 1),
        (96_000, 2),
        (96_001, 2),
        (655_350, 1),
        (700_000, 1),
        (8_000, 9),
    ],
)
def test_what_the_flac_check_refuses_cannot_be_written(sample_rate_hz, channels):
    problem = format_problem("flac", sample_rate_hz=sample_rate_hz, channels=channels)
    try:
        with open_writer(io.BytesIO(), audio_format="flac", sample_rate_hz=sample_rate_hz, channels=channels) as write:
            write(noise(100, channels))
    except OSError:
        assert problem is not None
        assert str(sample_rate_hz) in problem or str(channels) in problem
    else:
        assert problem is None


def test_wav_holds_all_channels_and_rates_up_to_the_limit_of_its_header():
    assert format_problem("wav", sample_rate_hz=768_000, channels=64) is None
    assert max_duration_s("flac", sample_rate_hz=8_000, channels=1) == float("inf")
    for sample_rate_hz, channels in ((48_000, 2), (768_000, 64), (1_000, 1)):
        duration_s = max_duration_s("wav", sample_rate_hz=sample_rate_hz, channels=channels)
        num_bytes = round(duration_s * sample_rate_hz) * channels * 2
        assert 2**32 - 8192 < num_bytes < 2**32 - 1024
    assert max_duration_s("wav", sample_rate_hz=48_000, channels=2) > 6 * 3600
