import librosa
import numpy as np
import pytest
import scipy.signal

from beam_pipelines.common.errors import UserError
from beam_pipelines.features.config import SpectralStatsConfig
from beam_pipelines.features.spectral_stats import SpectralStats
from beam_pipelines.records.schema import FeatureSpec

RATE_HZ = 16_000
NUM_SAMPLES = 48_000
# The parity that is promised: relative to the root mean square of a measure over the segment (of MFCCs to that of the
# largest coefficient), or in its own unit.
MOST_RELATIVE = 1e-4
MOST_ABSOLUTE = 1e-6

TIMES_S = np.arange(NUM_SAMPLES) / RATE_HZ
NOISE = np.random.default_rng(0).normal(0, 1, NUM_SAMPLES)
MUSICAL = {
    "tone": np.sin(2 * np.pi * 440 * TIMES_S),
    "high tone": 0.5 * np.sin(2 * np.pi * 7900 * TIMES_S),
    "sweep": scipy.signal.chirp(TIMES_S, 30, 3, 7900),
    "pulsing tone": np.cos(np.pi * 2 * TIMES_S) ** 2 * np.sin(2 * np.pi * 300 * TIMES_S),
    "noise": 0.1 * NOISE,
    "noise in bursts": NOISE * (TIMES_S % 0.5 < 0.05),
    "loud, then quiet": np.where(TIMES_S < 1.5, 0.3, 3e-7) * NOISE,
    "music, then silence": np.where(TIMES_S < 1.5, np.sin(2 * np.pi * 440 * TIMES_S), 0.0),
}
HOSTILE = {
    "silence": np.zeros(NUM_SAMPLES),
    "negative zeros": np.full(NUM_SAMPLES, -0.0),
    "one sample": np.eye(1, NUM_SAMPLES, 24_000)[0],
    "first sample": np.eye(1, NUM_SAMPLES, 0)[0],
    "constant": np.ones(NUM_SAMPLES),
    "almost silence": np.full(NUM_SAMPLES, 1e-7),
    "noise below any sign": 1e-20 * NOISE,
    "noise of denormal numbers": 1e-40 * NOISE,
    "clipped noise": np.clip(5 * NOISE, -1, 1),
    "half the sample rate": np.tile([1.0, -1.0], NUM_SAMPLES // 2),
}


def make_feature(config, *, sample_rate_hz=RATE_HZ, num_samples=NUM_SAMPLES):
    return SpectralStats("spectral_stats", config, sample_rate_hz=sample_rate_hz, segment_num_samples=num_samples)


def librosa_measures(segment, config, sample_rate_hz):
    """Returns librosa's measures one after the other, (measures, frames) float64."""
    windows = {"n_fft": config.n_fft, "hop_length": config.hop_length}
    frames = {"frame_length": config.n_fft, "hop_length": config.hop_length}
    spectral = {"y": segment, "sr": sample_rate_hz, **windows}
    chroma = librosa.feature.chroma_stft(**spectral, tuning=0.0)
    return np.concatenate(
        [
            chroma,
            librosa.feature.rms(y=segment, **frames),
            librosa.feature.spectral_centroid(**spectral),
            librosa.feature.spectral_bandwidth(**spectral),
            librosa.feature.spectral_rolloff(**spectral, roll_percent=0.85),
            librosa.feature.zero_crossing_rate(segment, **frames),
            librosa.feature.spectral_contrast(**spectral),
            librosa.feature.tonnetz(chroma=chroma),
            librosa.feature.mfcc(**spectral, n_mfcc=config.n_mfcc, n_mels=config.n_mels),
        ],
        dtype=np.float64,
    )


def assert_parity(feature, config, segment):
    segment = segment.astype(np.float32)
    measures = librosa_measures(segment, config, feature.sample_rate_hz)
    scale = np.sqrt(np.square(measures).mean(axis=1))
    scale[-config.n_mfcc :] = scale[-config.n_mfcc :].max()
    means, variances = feature(segment)[: 2 * len(measures)].astype(np.float64).reshape(2, -1)
    mean_errors = np.abs(means - measures.mean(axis=1))
    variance_errors = np.abs(variances - measures.var(axis=1))
    assert (mean_errors <= MOST_RELATIVE * scale + MOST_ABSOLUTE).all()
    assert (variance_errors <= MOST_RELATIVE * scale**2 + MOST_ABSOLUTE).all()


@pytest.mark.parametrize("segment", [*MUSICAL.values(), *HOSTILE.values()], ids=[*MUSICAL, *HOSTILE])
def test_values_agree_with_librosa(segment):
    config = SpectralStatsConfig()
    assert_parity(make_feature(config), config, segment)


def test_values_of_real_music_agree_with_librosa(real_music):
    config = SpectralStatsConfig(tempo=True)
    feature = make_feature(config)
    for path in sorted(real_music.glob("*/*.mp3"))[::40]:
        samples, _ = librosa.load(path, sr=RATE_HZ, duration=6.0)
        for segment in samples.reshape(-1, NUM_SAMPLES):
            assert_parity(feature, config, segment)
            assert feature(segment)[-1] == pytest.approx(librosa.feature.tempo(y=segment, sr=RATE_HZ)[0], rel=1e-6)


@pytest.mark.parametrize(
    ("config", "sample_rate_hz"),
    [
        (SpectralStatsConfig(), 22_050),
        (SpectralStatsConfig(), 44_100),
        (SpectralStatsConfig(n_fft=1024, hop_length=256, n_mfcc=13, n_mels=40), RATE_HZ),
        (SpectralStatsConfig(n_fft=1000, hop_length=700, n_mels=64), RATE_HZ),
        (SpectralStatsConfig(n_fft=4096, hop_length=1024, n_mfcc=1, n_mels=1), 12_802),
    ],
)
def test_other_settings_agree_with_librosa(config, sample_rate_hz):
    feature = make_feature(config, sample_rate_hz=sample_rate_hz)
    for name in ("sweep", "noise in bursts"):
        assert_parity(feature, config, MUSICAL[name])


@pytest.mark.filterwarnings("ignore:n_fft=2048 is too large")
@pytest.mark.parametrize("num_samples", [1, 511, 512, 1600])
def test_segments_shorter_than_a_window_agree_with_librosa(num_samples):
    config = SpectralStatsConfig()
    feature = make_feature(config, num_samples=num_samples)
    assert_parity(feature, config, MUSICAL["noise"][:num_samples])


@pytest.mark.parametrize("num_samples", [1, 512, 1600, NUM_SAMPLES])
def test_every_value_of_every_signal_is_finite(num_samples):
    feature = make_feature(SpectralStatsConfig(tempo=True), num_samples=num_samples)
    largest = np.finfo(np.float32).max
    for segment in [*MUSICAL.values(), *HOSTILE.values(), np.sign(NOISE) * largest, np.full(NUM_SAMPLES, largest)]:
        values = feature(segment[:num_samples].astype(np.float32))
        assert np.isfinite(values).all()
        assert values[-1] > 0


def test_names_shape_and_order():
    feature = make_feature(SpectralStatsConfig(n_mfcc=3, tempo=True))
    measures = [
        *(f"chroma_{index}" for index in range(12)),
        *("rms", "centroid", "bandwidth", "rolloff", "zero_crossing_rate"),
        *(f"contrast_{index}" for index in range(7)),
        *(f"tonnetz_{index}" for index in range(6)),
        *("mfcc_0", "mfcc_1", "mfcc_2"),
    ]
    assert feature.value_names == (
        *(f"{measure}_mean" for measure in measures),
        *(f"{measure}_variance" for measure in measures),
        "tempo_bpm",
    )
    assert feature.spec == FeatureSpec(name="spectral_stats", shape=(67,), dtype="float32")
    assert feature.sample_rate_hz == RATE_HZ
    values = feature(NOISE.astype(np.float32))
    assert values.shape == (67,)
    assert values.dtype == np.float32
    assert make_feature(SpectralStatsConfig()).spec.shape == (100,)


def test_a_tone_is_found_where_it_is():
    feature = make_feature(SpectralStatsConfig())
    values = dict(zip(feature.value_names, feature(MUSICAL["tone"].astype(np.float32)), strict=True))
    assert values["chroma_9_mean"] == 1.0  # A
    assert values["rms_mean"] == pytest.approx(np.sqrt(0.5), rel=0.02)
    assert values["zero_crossing_rate_mean"] == pytest.approx(2 * 440 / RATE_HZ, rel=0.02)
    assert values["rolloff_mean"] == pytest.approx(440, abs=60)


def test_silence_is_zero_but_for_the_cepstrum_and_the_tempo():
    feature = make_feature(SpectralStatsConfig(tempo=True))
    values = dict(zip(feature.value_names, feature(np.zeros(NUM_SAMPLES, dtype=np.float32)), strict=True))
    assert values.pop("mfcc_0_mean") == pytest.approx(-100 * np.sqrt(128))
    assert values.pop("tempo_bpm") == pytest.approx(120, abs=5)
    np.testing.assert_allclose(list(values.values()), 0.0, atol=1e-4)


def test_a_pulse_gives_its_tempo():
    feature = make_feature(SpectralStatsConfig(tempo=True))
    assert feature(MUSICAL["noise in bursts"].astype(np.float32))[-1] == pytest.approx(120, abs=6)


def test_a_segment_does_not_change_the_next():
    used, fresh = (make_feature(SpectralStatsConfig(tempo=True)) for _ in range(2))
    for segment in [*MUSICAL.values(), *HOSTILE.values()]:
        used(segment.astype(np.float32))
    segment = MUSICAL["pulsing tone"].astype(np.float32)
    expected = fresh(segment)
    np.testing.assert_array_equal(used(segment), expected)
    np.testing.assert_array_equal(used(segment), expected)
    np.testing.assert_array_equal(segment, MUSICAL["pulsing tone"].astype(np.float32))


def test_a_rate_too_low_for_contrast_is_refused():
    with pytest.raises(UserError, match=r"features\.spectral_stats: spectral contrast.*12800 Hz has no such"):
        make_feature(SpectralStatsConfig(), sample_rate_hz=12_800)


def test_a_window_too_short_for_contrast_is_refused():
    with pytest.raises(UserError, match=r"n_fft=64: expected a window of at least 1/200 s \(80 samples\)"):
        make_feature(SpectralStatsConfig(n_fft=64, n_mels=1, n_mfcc=1))
    make_feature(SpectralStatsConfig(n_fft=80, n_mels=1, n_mfcc=1))(NOISE.astype(np.float32))


def test_a_hop_too_long_for_a_tempo_is_refused():
    with pytest.raises(UserError, match=r"hop_length=1601: expected at most 1600 samples.*tempo=true"):
        make_feature(SpectralStatsConfig(hop_length=1601, tempo=True))
    make_feature(SpectralStatsConfig(hop_length=1601))


def test_mel_bands_narrower_than_a_bin_are_refused():
    with pytest.raises(UserError, match=r"n_mels=128: \d+ of the bands.*larger n_fft than 256"):
        make_feature(SpectralStatsConfig(n_fft=256))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"dtype": "float16"}, r"dtype=float16: expected float32"),
        ({"n_fft": 1023}, r"n_fft=1023: expected a window"),
        ({"hop_length": 0}, r"hop_length=0: expected a hop"),
        ({"n_mels": 0}, r"n_mels=0: expected 1 to 1024"),
        ({"n_mfcc": 0}, r"n_mfcc=0: expected 1 to n_mels \(128\)"),
        ({"n_mfcc": 129}, r"n_mfcc=129: expected 1 to n_mels \(128\)"),
    ],
)
def test_settings_out_of_range_are_refused(values, message):
    with pytest.raises(UserError, match=rf"features\.spectral_stats\.{message}"):
        SpectralStatsConfig(**values)
