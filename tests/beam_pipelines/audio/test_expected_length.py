"""The length of files by their headers, against the encoders' input, libsndfile and FFmpeg."""

import io
import struct
import time

import numpy as np
import pytest
from audio_bytes import (
    ID3V1,
    by_ffmpeg,
    by_libsndfile,
    flac_of,
    flac_with_total,
    id3v2,
    mp3,
    mp3_frames,
    music,
    with_bytes,
    without_first_frame,
)
from hypothesis import example, given, settings
from hypothesis import strategies as st

from beam_pipelines.audio.expected_length import ExpectedLength, expected_length

RATE_HZ = 44_100
STEREO = music(3.0, channels=2)
MONO = music(2.0, seed=1)


def length_of(data: bytes, *, max_duration_s: float = 600.0) -> ExpectedLength | None:
    return expected_length(io.BytesIO(data), max_duration_s=max_duration_s)


def known_length_of(data: bytes) -> ExpectedLength:
    length = length_of(data)
    assert length is not None
    return length


@pytest.mark.parametrize(
    ("audio_format", "subtype", "kind"),
    [
        *(("MP3", None, "mp3"), ("FLAC", "PCM_16", "flac"), ("FLAC", "PCM_24", "flac"), ("OGG", "VORBIS", "ogg")),
        *(("OGG", "OPUS", "ogg"), ("WAV", "PCM_16", "wav"), ("WAV", "FLOAT", "wav"), ("WAV", "ULAW", "wav")),
        *(("WAVEX", "PCM_24", "wav"), ("RF64", "PCM_16", "wav"), ("AIFF", "PCM_16", "aiff"), ("AU", "PCM_16", "au")),
    ],
)
@pytest.mark.parametrize(("rate_hz", "channels", "num_samples"), [(48_000, 2, 100_001), (8_000, 1, 3_777)])
def test_sound_files_have_the_samples_that_were_encoded(audio_format, subtype, kind, rate_hz, channels, num_samples):
    samples = music(num_samples / rate_hz, rate_hz=rate_hz, channels=channels)
    data = by_libsndfile(samples, audio_format, subtype, rate_hz=rate_hz)
    length = known_length_of(data)
    duration_s = num_samples / rate_hz
    assert (length.kind, length.start, length.is_regular) == (kind, 0, True)
    assert length.num_expected / length.sample_rate_hz == pytest.approx(duration_s, abs=1e-9)
    assert length.num_present == length.num_expected


@pytest.mark.parametrize("mode", ["CONSTANT", "AVERAGE", "VARIABLE"])
@pytest.mark.parametrize("rate_hz", [8_000, 11_025, 16_000, 22_050, 32_000, 44_100, 48_000])
@pytest.mark.parametrize("channels", [1, 2])
def test_mp3s_of_all_rates_have_the_samples_that_were_encoded(mode, rate_hz, channels):
    samples = music(1.5, rate_hz=rate_hz, channels=channels, loud_s=0.7)
    length = known_length_of(mp3(samples, rate_hz=rate_hz, mode=mode))
    assert (length.num_expected, length.sample_rate_hz, length.is_regular) == (len(samples), rate_hz, True)


def test_mp2s_are_counted_too():
    length = known_length_of(by_ffmpeg(STEREO, "mp2", "mp2"))
    # The encoder adds a delay and fills its last frame.
    assert length.num_present % 1152 == 0
    assert 0 <= length.num_present - len(STEREO) <= 2 * 1152
    assert not length.is_regular  # for it has no header that says how long it is


def test_an_mp3_without_a_length_header_has_all_its_frames():
    data = without_first_frame(mp3(STEREO, mode="VARIABLE"))
    length = known_length_of(data)
    assert length.num_expected == length.num_present == 1152 * len(mp3_frames(data))
    assert not length.is_regular


@pytest.mark.parametrize(
    "junk",
    [
        *(b"", bytes(5000), b"\xff" * 3000, id3v2(300), id3v2(0) + id3v2(2000) + id3v2(10), id3v2(3) + bytes(5000)),
        *(b"ID3\x04\x00\x00\x7f\x7f\x7f\x7f", b"APETAGEX" + bytes(2000), b"\xff\xfb\x90\x00" * 50),
    ],
)
@pytest.mark.parametrize("behind", [b"", ID3V1, bytes(3000), b"APETAGEX" + bytes(24) + ID3V1, b"\xff\xfb" * 400])
def test_bytes_around_an_mp3_are_not_counted(junk, behind):
    length = known_length_of(junk + mp3(MONO) + behind)
    assert (length.start, length.num_expected, length.num_present) == (len(junk), len(MONO), len(MONO))
    assert length.is_regular


def test_joined_mp3s_have_the_length_of_all():
    first, second = mp3(STEREO), mp3(music(1.0, channels=2, seed=2))
    frames = len(mp3_frames(first)) - 1 + len(mp3_frames(second))
    for between in (b"", ID3V1 + id3v2(500)):
        length = known_length_of(first + between + second)
        assert 0 <= 1152 * frames - length.num_expected <= 2 * 1152
        assert not length.is_regular


@pytest.mark.parametrize("is_mono_first", [True, False])
def test_mp3s_whose_channels_or_rate_change_have_the_length_of_all(is_mono_first):
    parts = [without_first_frame(mp3(MONO)), without_first_frame(mp3(STEREO))]
    length = known_length_of(b"".join(parts if is_mono_first else parts[::-1]))
    assert length.num_expected == 1152 * sum(len(mp3_frames(part)) for part in parts)
    assert not length.is_regular
    low = mp3(music(2.0, rate_hz=22_050), rate_hz=22_050)
    length = known_length_of(parts[0] + low)
    assert length.num_expected / RATE_HZ == pytest.approx(4.0, abs=0.2)
    assert not length.is_regular


def test_a_damaged_frame_is_counted_as_missing():
    data = mp3(STEREO)
    offset, _ = mp3_frames(data)[50]
    for damaged in (with_bytes(data, offset, b"\0"), with_bytes(data, offset, bytes(400))):
        length = known_length_of(damaged)
        assert length.num_expected == len(STEREO)
        assert 1152 <= length.num_expected - length.num_present <= 2 * 1152
        assert not length.is_regular


@pytest.mark.parametrize("share", [0.3, 0.7, 0.99])
def test_a_cut_mp3_should_be_longer(share):
    data = mp3(STEREO)
    cut = data[: round(share * len(data))]
    length = known_length_of(cut)
    assert length.num_expected == len(STEREO)
    assert length.num_present / len(STEREO) == pytest.approx(share, abs=0.03)
    assert not length.is_regular


def test_a_wrong_number_of_frames_in_the_header_is_ignored_where_no_byte_is_missing():
    data = mp3(STEREO)
    at = (data.index(b"Xing") if b"Xing" in data else data.index(b"Info")) + 8
    length = known_length_of(with_bytes(data, at, struct.pack(">I", 1_000_000)))
    assert length.num_expected == length.num_present == len(STEREO)
    assert not length.is_regular


def test_counting_stops_at_the_longest_duration():
    data = mp3(music(20.0))
    length = length_of(data + data, max_duration_s=5.0)
    assert length is not None and length.num_present / RATE_HZ > 5.0
    assert length_of(by_libsndfile(music(20.0), "OGG"), max_duration_s=5.0).num_present / RATE_HZ > 5.0


@pytest.mark.parametrize(
    "behind", [b"", ID3V1, bytes(1000), bytes(3 << 20), np.random.default_rng(0).bytes(100_000), b"\xff\xf8" * 5000]
)
def test_bytes_after_a_flac_are_not_counted(behind):
    length = known_length_of(id3v2(50) + by_libsndfile(STEREO, "FLAC") + behind)
    assert (length.start, length.num_expected, length.num_present) == (60, len(STEREO), len(STEREO))
    assert length.is_regular


@pytest.mark.parametrize("total", [0, 5, RATE_HZ, (1 << 36) - 1])
def test_a_wrong_total_of_a_flac_is_detected(total):
    length = known_length_of(flac_with_total(by_libsndfile(STEREO, "FLAC"), total))
    assert length.num_present == len(STEREO)
    assert length.num_expected == max(total, len(STEREO))
    assert not length.is_regular


@pytest.mark.parametrize(("bits", "channels", "block"), [(12, 1, 4096), (20, 2, 1000), (32, 2, 256), (16, 8, 192)])
def test_flac_of_any_bits_and_block_size_is_counted(bits, channels, block):
    samples = np.random.default_rng(0).integers(-(1 << bits - 1), 1 << bits - 1, (3000, channels))
    length = known_length_of(flac_of(samples, bits, block=block))
    assert (length.num_expected, length.num_present, length.is_regular) == (3000, 3000, True)


def test_a_cut_flac_should_be_longer():
    data = by_libsndfile(STEREO, "FLAC")
    length = known_length_of(data[: len(data) // 2])
    assert length.num_expected == len(STEREO)
    assert length.num_present / len(STEREO) == pytest.approx(0.5, abs=0.05)


def test_chained_ogg_has_the_length_of_all_its_parts():
    first, second = by_libsndfile(STEREO, "OGG"), by_libsndfile(music(1.0, channels=2, seed=2), "OGG")
    length = known_length_of(first + second)
    assert length.num_expected == len(STEREO) + RATE_HZ
    assert not length.is_regular
    assert known_length_of(first + ID3V1).is_regular


def test_ogg_with_flac_in_it_and_ogg_with_a_hole():
    length = known_length_of(by_ffmpeg(STEREO, "ogg", "flac"))
    assert (length.num_expected, length.is_regular) == (len(STEREO), True)
    data = by_libsndfile(STEREO, "OGG")
    length = known_length_of(with_bytes(data, len(data) // 2, bytes(6000)))
    assert (length.num_expected, length.is_regular) == (len(STEREO), False)


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0xFFFFFFC0, 0x7FFFFFFF])
def test_wavs_without_a_size_end_at_the_end_of_the_file(size):
    data = by_libsndfile(STEREO, "WAV")
    length = known_length_of(with_bytes(data, 40, struct.pack("<I", size)))
    assert length.num_expected == length.num_present == len(STEREO)


def test_a_wav_without_samples_has_none_whatever_follows():
    data = by_libsndfile(STEREO[:0], "WAV")
    for behind in (b"", b"LIST\x04\x00\x00\x00abcd"):
        assert known_length_of(data + behind).num_expected == 0


@pytest.mark.parametrize("audio_format", ["WAV", "AIFF", "AU"])
def test_cut_files_of_uncompressed_samples_should_be_longer(audio_format):
    data = by_libsndfile(STEREO, audio_format)
    length = known_length_of(data[:-40_000])
    assert (length.num_expected, length.num_present) == (len(STEREO), len(STEREO) - 10_000)


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"ID3", b"text " * 1000, bytes(100_000), b"RIFF\x00\x00\x00\x00WAVE", b"fLaC", b"OggS", b".snd"),
        *(b"FORM\x00\x00\x00\x00AIFF", b"\xff\xfb", np.random.default_rng(1).bytes(100_000)),
        by_ffmpeg(MONO, "adts", "aac"),
        by_ffmpeg(MONO, "mp4", "aac"),
        by_ffmpeg(MONO, "matroska", "mp3"),
        by_libsndfile(MONO, "WAV", "IMA_ADPCM"),
    ],
    ids=range(15),
)
def test_other_files_have_no_known_length(data):
    assert length_of(data) is None


BEGINNINGS = [
    mp3(MONO)[:3000],
    by_libsndfile(MONO, "FLAC")[:3000],
    by_libsndfile(MONO, "OGG")[:6000],
    by_libsndfile(MONO, "WAV")[:100],
    by_libsndfile(MONO, "AIFF")[:100],
    by_libsndfile(MONO, "AU")[:100],
    by_libsndfile(MONO, "RF64")[:200],
]


@settings(max_examples=300, deadline=None)
@given(
    beginning=st.sampled_from([b"", b"fLaC", b"OggS", b"RIFF\0\0\0\0WAVE", b"FORM\0\0\0\0AIFC", b".snd", *BEGINNINGS]),
    changes=st.lists(st.tuples(st.integers(0, 200), st.binary(min_size=1, max_size=8)), max_size=6),
    behind=st.binary(max_size=300),
)
@example(beginning=b"ID3\x04\x00\x10\x00\x00\x00\x00", changes=[], behind=b"")
def test_any_bytes_give_a_length_or_none(beginning, changes, behind):
    for offset, new in changes:
        beginning = with_bytes(beginning, min(offset, len(beginning)), new)
    length = length_of(beginning + behind)
    if length is not None:
        assert 0 <= length.num_present <= length.num_expected
        assert length.sample_rate_hz > 0


@pytest.mark.parametrize(
    "unit",
    [
        *(b"\xff", b"\xff\xfb\x90\x00", b"\xff\xf8\x00\x00", b"OggS", b"ID3\x03\x00\x00\x00\x00\x00\x00", b"\x00"),
        *(mp3(MONO)[:420] + b"\x00", b"OggS" + bytes(23), b"data\x00\x00\x00\x00", b"TAG"),
    ],
    ids=range(10),
)
@pytest.mark.parametrize("beginning", [b"", *BEGINNINGS], ids=range(1 + len(BEGINNINGS)))
def test_a_hostile_file_takes_no_longer_than_its_size_allows(beginning, unit):
    data = beginning + unit * (4_000_000 // len(unit))
    started_s = time.process_time()
    length_of(data)
    # CPU time, and much more than the half second that the worst of them takes.
    assert time.process_time() - started_s < 20
