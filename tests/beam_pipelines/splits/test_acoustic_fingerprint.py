import io
import itertools

import numpy as np
import pytest
import soundfile
import soxr

from beam_pipelines.audio.config import AudioConfig
from beam_pipelines.audio.load import load_audio
from beam_pipelines.splits.acoustic_fingerprint import CODES_PER_S, AcousticFingerprinter, bit_error_rate

RATE_HZ = 16_000


def music(seed, duration_s=12.0):
    """A melody of decaying notes with overtones: something that changes in all bands."""
    rng = np.random.default_rng(seed)
    samples = np.zeros(round(duration_s * RATE_HZ), dtype=np.float32)
    for start in range(0, len(samples), RATE_HZ // 5):
        times = np.arange(min(RATE_HZ, len(samples) - start)) / RATE_HZ
        frequency_hz = 110 * 2 ** (rng.integers(0, 36) / 12)
        for overtone in range(1, 9):
            phase = 2 * np.pi * overtone * frequency_hz * times
            samples[start : start + len(times)] += (np.sin(phase) * np.exp(-4 * times) / overtone).astype(np.float32)
    return 0.2 * samples


def codes_of(samples, sample_rate_hz=RATE_HZ):
    return AcousticFingerprinter()(samples, sample_rate_hz=sample_rate_hz)


def by_definition(samples):
    """Haitsma & Kalker's equation, bit by bit: the sign of E(n,m) - E(n,m+1) - (E(n-1,m) - E(n-1,m+1)), at 4 kHz.

    E is the mean of the energies in nine short frames (Welch), weighted with a Hann window.
    """
    edges = np.round(np.geomspace(300, 1950, 34) * 512 / 4000).astype(int)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(512) / 512)
    short = []
    for start in range(0, len(samples) - 512 + 1, 256):
        power = np.abs(np.fft.rfft(samples[start : start + 512].astype(np.float64) * window)) ** 2
        short.append([power[low:high].sum() for low, high in itertools.pairwise(edges)])
    weights = np.sin(np.pi * np.arange(1, 10) / 10) ** 2
    energies = [np.average(short[first : first + 9], axis=0, weights=weights) for first in range(len(short) - 8)]
    codes = []
    for before, now in itertools.pairwise(energies):
        code = 0
        for band in range(32):
            if now[band] - now[band + 1] - (before[band] - before[band + 1]) > 0:
                code |= 1 << band
        codes.append(code)
    return np.array(codes, dtype=np.uint32)


def test_bits_are_those_of_the_paper():
    samples = np.random.default_rng(0).normal(0, 0.1, 40_000).astype(np.float32)
    ours, theirs = codes_of(samples, sample_rate_hz=4_000), by_definition(samples)
    assert ours.dtype == np.uint32
    assert len(ours) == len(theirs) == 1 + (40_000 - 512) // 256 - 8 - 1
    assert bit_error_rate(ours, theirs) < 1e-3  # float32 against float64 decides ties only


@pytest.mark.parametrize("sample_rate_hz", [11_025, 22_050, 44_100, 48_000])
def test_the_rate_of_the_samples_hardly_matters(sample_rate_hz):
    original = music(1)
    other = soxr.resample(original, RATE_HZ, sample_rate_hz)
    assert bit_error_rate(codes_of(original), codes_of(other, sample_rate_hz=sample_rate_hz)) < 0.05


@pytest.mark.parametrize("sample_rate_hz", [1_000, 4_000])
def test_audio_of_a_low_rate_has_a_fingerprint(sample_rate_hz):
    codes = codes_of(music(1)[:: RATE_HZ // sample_rate_hz], sample_rate_hz=sample_rate_hz)
    assert len(codes) == 1 + (12 * 4_000 - 512) // 256 - 8 - 1
    assert codes.any()


def test_the_number_of_codes_follows_from_the_length():
    for num_samples, expected in ((0, 0), (1, 0), (512 + 9 * 256 - 1, 0), (512 + 9 * 256, 1), (4_000 * 30, 458)):
        assert len(codes_of(np.ones(num_samples, np.float32), sample_rate_hz=4_000)) == expected
    for num_samples in (0, 1, 2):
        assert len(codes_of(np.ones(num_samples, np.float32))) == 0
    assert CODES_PER_S == 15.625


def test_silence_has_codes_of_zero():
    assert not codes_of(np.zeros(RATE_HZ * 4, dtype=np.float32)).any()


def test_the_same_recording_has_nearly_the_same_bits_and_another_has_not():
    original = music(1)
    codes = codes_of(original)
    louder = codes_of(2.5 * original)
    noise = np.random.default_rng(9).normal(0, 0.1 * np.std(original), len(original)).astype(np.float32)
    assert bit_error_rate(codes, louder) < 0.01
    assert bit_error_rate(codes, codes_of(original + noise)) < 0.2
    assert 0.4 < bit_error_rate(codes, codes_of(music(2))) < 0.6


def test_one_object_serves_many_recordings():
    fingerprinter = AcousticFingerprinter()
    first = fingerprinter(music(1), sample_rate_hz=RATE_HZ)
    fingerprinter(music(2, duration_s=3.0), sample_rate_hz=RATE_HZ)
    np.testing.assert_array_equal(fingerprinter(music(1), sample_rate_hz=RATE_HZ), first)


def test_real_music_keeps_its_bits_through_mp3(real_music):
    for name in ("classical", "electronic", "pop", "rock"):
        path = sorted((real_music / name).glob("*.mp3"))[0]
        with open(path, "rb") as source:
            samples = load_audio(source, AudioConfig()).samples
        buffer = io.BytesIO()
        soundfile.write(buffer, samples, RATE_HZ, format="MP3", bitrate_mode="CONSTANT", compression_level=0.6)
        buffer.seek(0)
        decoded, _ = soundfile.read(buffer, dtype="float32")
        ours, theirs = codes_of(samples), codes_of(decoded)
        length = min(len(ours), len(theirs))
        assert bit_error_rate(ours[:length], theirs[:length]) < 0.06
