"""How `beamtune convert` converts one file, its settings, and the modules that it shares with `prepare`."""

import io
import tempfile
import time
from contextlib import contextmanager

import numpy as np
import pytest
import soundfile
import soxr
from audio_bytes import by_libsndfile, music, with_bytes

from beam_pipelines.audio.decode import AudioError
from beam_pipelines.audio.encode import to_pcm16
from beam_pipelines.common.errors import UserError
from beam_pipelines.convert import transcode
from beam_pipelines.convert.config import ConvertConfig
from beam_pipelines.convert.conversions import Conversion, SourceFile
from beam_pipelines.convert.reports import ConvertedFile, converted_from_json_lines
from beam_pipelines.convert.transcode import convert_file, mix, resample


def noise(*shape) -> np.ndarray:
    return np.random.default_rng(0).uniform(-0.9, 0.9, shape).astype(np.float32)


def config(**changes) -> ConvertConfig:
    return ConvertConfig(**{"source": "in", "output_dir": "out", **changes})


def source(path: str, data: bytes) -> SourceFile:
    return SourceFile(path=path, uri=f"in/{path}", size_bytes=len(data), updated_s=0.0)


# Samples


def test_mixing_keeps_averages_or_doubles():
    stereo = noise(100, 2)
    np.testing.assert_array_equal(mix(stereo, channels=2), stereo)
    mean = (stereo[:, :1] + stereo[:, 1:]) / np.float32(2)
    np.testing.assert_array_equal(mix(stereo, channels=1), mean)
    np.testing.assert_allclose(mix(noise(100, 6), channels=1)[:, 0], noise(100, 6).mean(axis=1), atol=1e-7)
    mono = noise(100, 1)
    np.testing.assert_array_equal(mix(mono, channels=2), np.hstack([mono, mono]))


def test_what_cannot_be_mixed_has_its_reason():
    with pytest.raises(AudioError, match=r"not_mixable: the file has 6 channels, .*: channels=1") as caught:
        mix(noise(100, 6), channels=2)
    assert caught.value.stage == "mix"
    samples = noise(100, 2)
    samples[50, 1] = np.nan
    with pytest.raises(AudioError, match="not_finite"):
        mix(samples, channels=1)


@pytest.mark.parametrize(("from_hz", "to_hz"), [(44_100, 16_000), (16_000, 44_100), (48_000, 44_100), (192_000, 8_000)])
@pytest.mark.parametrize("channels", [1, 2, 6])
@pytest.mark.parametrize("size", [65_536, 1024, 999])
def test_resampling_in_blocks_gives_the_samples_of_one_piece(from_hz, to_hz, channels, size):
    samples = noise(100_001, channels)
    blocks = (samples[start : start + size] for start in range(0, len(samples), size))
    streamed = np.concatenate(list(resample(blocks, from_hz=from_hz, to_hz=to_hz, channels=channels)))
    whole = soxr.resample(samples, from_hz, to_hz, quality="HQ")
    assert streamed.shape == whole.shape
    assert np.abs(to_pcm16(streamed).astype(int) - to_pcm16(whole)).max() <= 1
    np.testing.assert_array_equal(streamed, whole)


def test_the_same_rate_leaves_the_samples_as_they_are():
    block = noise(10, 2)
    [same] = resample([block], from_hz=8_000, to_hz=8_000, channels=2)
    assert same is block


# One file


def wav(samples: np.ndarray, *, sample_rate_hz: int = 16_000, subtype: str = "FLOAT") -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, sample_rate_hz, format="WAV", subtype=subtype)
    return buffer.getvalue()


def convert(data: bytes, **changes) -> tuple[ConvertedFile, np.ndarray, int]:
    """Returns the record, the 16-bit samples (frames, channels) and the rate of what becomes of a file."""
    conversion = Conversion(source=source("a.mp3", data), output="a.wav")
    with tempfile.TemporaryFile() as target:
        timed = convert_file(
            conversion, target.fileno(), config=config(**changes), open_source=lambda uri: io.BytesIO(data)
        )
        target.seek(0)
        samples, sample_rate_hz = soundfile.read(target, dtype="int16", always_2d=True)
    return timed.file, samples, sample_rate_hz


@pytest.mark.parametrize("audio_format", ["wav", "flac"])
def test_a_file_is_written_in_16_bits_with_its_channels_and_rate(audio_format):
    samples = noise(200_000, 2)
    data = wav(samples, sample_rate_hz=44_100)
    record, pcm, sample_rate_hz = convert(data, format=audio_format)
    np.testing.assert_array_equal(pcm, to_pcm16(samples))
    assert sample_rate_hz == 44_100
    assert record == ConvertedFile(
        source="a.mp3",
        output="a.wav",
        source_bytes=len(data),
        duration_s=200_000 / 44_100,
        sample_rate_hz=44_100,
        channels=2,
        is_cut=False,
        is_truncated=False,
        decoder="libsndfile",
        decoded_s=200_000 / 44_100,
        expected_s=200_000 / 44_100,
    )


def test_a_file_is_mixed_and_then_resampled():
    samples = noise(200_000, 2)
    record, pcm, sample_rate_hz = convert(wav(samples, sample_rate_hz=44_100), sample_rate_hz=16_000, channels=1)
    expected = soxr.resample(mix(samples, channels=1), 44_100, 16_000, quality="HQ")
    np.testing.assert_array_equal(pcm, to_pcm16(expected))
    assert (sample_rate_hz, record.sample_rate_hz, record.channels) == (16_000, 16_000, 1)
    assert record.duration_s == len(expected) / 16_000


@pytest.mark.parametrize(("max_duration_s", "frames", "is_cut"), [(0.5, 8_000, True), (1.0, 16_000, False)])
def test_no_more_than_the_longest_duration_is_converted(max_duration_s, frames, is_cut):
    record, pcm, _ = convert(wav(noise(16_000, 2)), max_duration_s=max_duration_s)
    assert len(pcm) == frames
    assert record.is_cut == is_cut


def test_a_wav_is_cut_where_it_would_be_too_long_for_its_header(monkeypatch):
    monkeypatch.setattr("beam_pipelines.audio.encode._WAV_MAX_BYTES", 4_000)
    record, pcm, _ = convert(wav(noise(16_000, 2)))
    assert len(pcm) == 1_000
    assert record.is_cut
    record, pcm, _ = convert(wav(noise(16_000, 2)), sample_rate_hz=32_000)
    assert len(pcm) == 1_000
    assert not convert(wav(noise(16_000, 2)), format="flac")[0].is_cut


def reason_of(data: bytes, **changes) -> tuple[str, str]:
    with pytest.raises(AudioError) as caught:
        convert(data, **changes)
    assert caught.value.message
    return caught.value.stage, caught.value.reason


def test_what_cannot_be_converted_has_its_reason():
    assert reason_of(b"") == ("decode", "empty_file")
    assert reason_of(b"this is a text\n" * 100) == ("decode", "undecodable")
    assert reason_of(bytes(5000)) == ("decode", "undecodable")
    assert reason_of(wav(noise(0, 1))) == ("decode", "no_audio")
    assert reason_of(wav(noise(10, 65))) == ("decode", "bad_header")
    assert reason_of(wav(noise(10, 1), sample_rate_hz=999)) == ("decode", "bad_header")
    assert reason_of(wav(np.full((10, 1), np.inf, np.float32))) == ("decode", "not_finite")
    assert reason_of(wav(noise(10, 9)), format="flac") == ("encode", "not_in_format")
    assert reason_of(wav(noise(10, 1), sample_rate_hz=96_001), format="flac") == ("encode", "not_in_format")
    assert reason_of(wav(noise(10, 6)), channels=2) == ("mix", "not_mixable")
    assert reason_of(wav(noise(1000, 2) * 32_768, subtype="FLOAT")) == ("encode", "clipped")
    assert reason_of(wav(noise(1, 1), sample_rate_hz=192_000), sample_rate_hz=1_000) == ("resample", "no_audio")


def test_64_channels_and_one_sample_are_converted():
    assert convert(wav(noise(10, 64)))[1].shape == (10, 64)
    assert convert(wav(noise(1, 1)))[1].shape == (1, 1)


def test_a_file_that_cannot_be_opened_is_unreadable():
    def fail(uri):
        raise PermissionError(f"no permission\nfor {uri}")

    conversion = Conversion(source=source("a.mp3", b""), output="a.wav")
    with tempfile.TemporaryFile() as target, pytest.raises(AudioError, match="no permission for in/a.mp3") as caught:
        convert_file(conversion, target.fileno(), config=config(), open_source=fail)
    assert (caught.value.stage, caught.value.reason) == ("open", "unreadable")


def test_an_error_of_the_disk_is_no_fault_of_the_file():
    conversion = Conversion(source=source("a.mp3", b""), output="a.wav")
    with open("/dev/full", "wb") as target, pytest.raises(OSError, match="is the disk full"):
        convert_file(conversion, target.fileno(), config=config(), open_source=lambda uri: io.BytesIO(wav(noise(9, 1))))


def test_a_file_that_the_first_decoder_leaves_unfinished_is_written_from_its_beginning():
    flac = by_libsndfile(music(9.0, channels=2), "FLAC")
    damaged = with_bytes(flac, len(flac) // 2, bytes(100))
    record, pcm, _ = convert(damaged)
    assert (record.decoder, record.is_cut, record.expected_s) == ("ffmpeg", False, 9.0)
    assert 8.8 < record.decoded_s < 9.0
    assert len(pcm) == round(record.decoded_s * 44_100)
    np.testing.assert_array_equal(pcm[:100_000], soundfile.read(io.BytesIO(flac), dtype="int16")[0][:100_000])


def test_a_file_decoded_in_part_is_marked_or_rejected():
    data = wav(noise(32_000, 1), subtype="PCM_16")[:-16_000]
    record, pcm, _ = convert(data, min_decoded_fraction=0.5)
    assert (record.is_truncated, record.is_cut, len(pcm)) == (True, False, 24_000)
    assert (record.decoded_s, record.expected_s) == (1.5, 2.0)
    with pytest.raises(AudioError, match="1.50 of 2.00 s can be decoded") as caught:
        convert(data)
    assert caught.value.reason == "damaged"


def test_records_of_earlier_versions_are_read():
    line = (
        '{"source": "a.mp3", "output": "a.wav", "source_bytes": 9, "duration_s": 1.0, "sample_rate_hz": 8000, '
        '"channels": 1, "is_cut": false}\n'
    )
    [record] = converted_from_json_lines(line)
    assert (record.decoder, record.decoded_s, record.expected_s, record.is_truncated) == (None, None, None, False)


def test_bytes_flipped_at_random_are_converted_or_refused(write_audio, tmp_path):
    rng = np.random.default_rng(0)
    outcomes = set()
    for ending in ("mp3", "flac", "ogg", "wav"):
        original = write_audio(tmp_path / f"a.{ending}", duration_s=0.5, channels=2).read_bytes()
        for _ in range(15):
            data = bytearray(original)
            for position in rng.integers(0, len(data), 20):
                data[position] = rng.integers(0, 256)
            try:
                convert(bytes(data), sample_rate_hz=8_000)
                outcomes.add("converted")
            except AudioError:
                outcomes.add("refused")
    assert outcomes == {"converted", "refused"}


def test_memory_does_not_grow_with_the_file(monkeypatch):
    """Every block is written before the next is decoded."""
    events = []
    data = wav(noise(300_000, 1))

    class Watched(io.BytesIO):
        def read(self, num_bytes=-1):
            events.append("read")
            return super().read(num_bytes)

    def mixed(block, *, channels):
        events.append("mix")
        return mix(block, channels=channels)

    monkeypatch.setattr(transcode, "mix", mixed)
    conversion = Conversion(source=source("a.wav", data), output="a.wav")
    with tempfile.TemporaryFile() as target:
        convert_file(conversion, target.fileno(), config=config(), open_source=lambda uri: Watched(data))
    assert events.count("mix") == 5
    first, last = events.index("mix"), len(events) - 1 - events[::-1].index("mix")
    assert "read" in events[first:last]


def test_the_time_of_decoding_and_of_encoding_is_measured(monkeypatch):
    now_s = [100.0]

    def mixed(block, *, channels):
        now_s[0] += 3.0
        return mix(block, channels=channels)

    @contextmanager
    def slow_writer(target, **form):
        def write(block):
            now_s[0] += 2.0

        yield write

    monkeypatch.setattr(time, "perf_counter", lambda: now_s[0])
    monkeypatch.setattr(transcode, "mix", mixed)
    monkeypatch.setattr(transcode, "open_writer", slow_writer)
    data = wav(noise(1_000, 1))
    conversion = Conversion(source=source("a.wav", data), output="a.wav")
    with tempfile.TemporaryFile() as target:
        timed = convert_file(conversion, target.fileno(), config=config(), open_source=lambda uri: io.BytesIO(data))
    assert (timed.decode_s, timed.encode_s) == (3.0, 2.0)


# Settings


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"source": " "}, "source= : expected a path"),
        ({"output_dir": ""}, "output_dir=: expected a path"),
        ({"format": "flak"}, "format=flak: expected one of wav, flac; did you mean flac?"),
        ({"sample_rate_hz": 999}, "sample_rate_hz=999: expected a rate from 1000 to 192000 Hz, or null"),
        ({"channels": 6}, "channels=6: expected 1 for mono, 2 for stereo, or null"),
        ({"max_duration_s": 0}, "max_duration_s=0: expected more than 0 s and at most 36000 s"),
    ],
)
def test_wrong_settings_are_named(changes, message):
    with pytest.raises(UserError) as caught:
        config(**changes)
    assert str(caught.value).startswith(message)


def test_the_settings_are_what_the_result_depends_on():
    assert config(source="in/", overwrite=True, output_dir="x").settings == config().settings
    assert config().settings == {
        "source": "in",
        "format": "wav",
        "sample_rate_hz": None,
        "channels": None,
        "max_duration_s": 21_600.0,
    }
