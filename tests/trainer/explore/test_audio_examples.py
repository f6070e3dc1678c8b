"""Examples: the chosen track and excerpt, and genres without readable audio."""

import librosa
import numpy as np
import pytest
import soundfile
from gcs.faults import Faults

from beam_pipelines.features.config import LogMelConfig, MfccConfig, YamnetLogMelConfig
from beam_pipelines.features.yamnet_log_mel import YamnetSpectrogram
from trainer.common import files
from trainer.explore.audio_examples import AudioExample, MissingExample, find_examples, loudest_excerpt
from trainer.explore.prepared_tables import read_tables

RATE_HZ = 8000


@pytest.fixture
def find(write_data_set):
    """Returns the examples of some tracks, decoded at 8 kHz."""

    def run(tracks, *, genres=("blues",), configs=None, duration_s=5.0, seed=0, keep="none"):
        data_dir = str(write_data_set(tracks, configs=configs, keep=keep))
        tables = read_tables(data_dir)
        examples = find_examples(
            tables.tracks,
            genres=genres,
            data_dir=data_dir,
            preparation=tables.preparation,
            duration_s=duration_s,
            seed=seed,
        )
        return list(examples)

    return run


def test_an_example_has_samples_and_spectra_of_the_loudest_excerpt(find, make_track, write_audio, tmp_path):
    path = write_audio(tmp_path / "a.wav", sample_rate_hz=RATE_HZ, duration_s=12.0)
    samples, _ = soundfile.read(path, dtype="float32")
    samples[3 * RATE_HZ : 8 * RATE_HZ] *= 1.5
    soundfile.write(path, samples, RATE_HZ, subtype="FLOAT")
    configs = {
        "log_mel": LogMelConfig(n_fft=512, hop_length=256, n_mels=32),
        "mfcc": MfccConfig(n_fft=1024, hop_length=512, n_mels=40, n_mfcc=13),
    }
    track = make_track("a.wav", uri=str(path))
    [example] = find([track], configs=configs)
    assert isinstance(example, AudioExample)
    assert (example.genre, example.track, example.start_s, example.duration_s) == ("blues", track.record, 3.0, 5.0)
    np.testing.assert_array_equal(example.samples, samples[3 * RATE_HZ : 8 * RATE_HZ])
    power = librosa.feature.melspectrogram(y=example.samples, sr=RATE_HZ, n_fft=512, hop_length=256, n_mels=32)
    np.testing.assert_allclose(example.log_mel, librosa.power_to_db(power).T, atol=0.01)
    assert (example.log_mel_frame_s, example.mfcc_frame_s) == (0.032, 0.064)
    expected = librosa.feature.mfcc(y=example.samples, sr=RATE_HZ, n_fft=1024, hop_length=512, n_mels=40, n_mfcc=13)
    np.testing.assert_allclose(example.mfcc, expected.T, atol=0.01 * np.abs(expected).max())
    assert len(example.frequencies_hz) == 32


def test_every_data_set_has_spectra(find, make_track, write_audio, tmp_path):
    path = write_audio(tmp_path / "a.wav", sample_rate_hz=RATE_HZ)
    track = make_track("a.wav", uri=str(path))
    for configs, bands, coefficients in (
        ({"log_mel": LogMelConfig(n_fft=512, n_mels=16)}, 16, 16),
        ({"mfcc": MfccConfig(n_fft=512, n_mels=24, n_mfcc=13)}, 24, 13),
        ({"embedding": {"kind": "of_a_later_version", "dtype": "float32"}}, 128, 20),
    ):
        [example] = find([track], configs=configs)
        assert example.log_mel.shape[1] == bands
        assert example.mfcc.shape[1] == coefficients


def test_yamnets_spectrogram_is_of_the_same_excerpt_at_its_own_rate(find, make_track, write_audio, tmp_path):
    path = write_audio(tmp_path / "a.wav", sample_rate_hz=RATE_HZ)
    track = make_track("a.wav", uri=str(path))
    [example] = find([track], configs={"mine": YamnetLogMelConfig(), "other": YamnetLogMelConfig(dtype="float32")})
    resampled = librosa.resample(example.samples, orig_sr=RATE_HZ, target_sr=16_000)
    expected = YamnetSpectrogram(segment_duration_s=4.0)(resampled)
    assert len(expected) == 432
    assert example.yamnet_log_mel.name == "mine"
    # 398 windows of 25 ms, 10 ms apart, end within 4 s.
    np.testing.assert_array_equal(example.yamnet_log_mel.values, expected[:398])
    [without] = find([track])
    assert without.yamnet_log_mel is None


@pytest.mark.parametrize("num_samples", [1, 3000])
def test_short_audio_is_used_whole(find, make_track, tmp_path, num_samples):
    soundfile.write(tmp_path / "a.wav", np.full(num_samples, 0.5), RATE_HZ)
    configs = {"log_mel": LogMelConfig(n_fft=512, n_mels=16), "yamnet_log_mel": YamnetLogMelConfig()}
    [example] = find([make_track("a.wav", uri=str(tmp_path / "a.wav"))], configs=configs)
    assert (len(example.samples), example.start_s) == (num_samples, 0.0)
    assert len(example.log_mel) == 1 + num_samples // 512
    assert len(example.yamnet_log_mel.values) == (1 if num_samples == 1 else 36)


def test_the_loudest_excerpt_is_the_first_of_equals_and_ends_within_the_audio():
    samples = np.zeros(10 * RATE_HZ, dtype=np.float32)
    samples[9 * RATE_HZ :] = 0.5
    start, excerpt = loudest_excerpt(samples, sample_rate_hz=RATE_HZ, duration_s=4.0)
    assert (start, len(excerpt)) == (6 * RATE_HZ, 4 * RATE_HZ)
    start, _ = loudest_excerpt(np.zeros_like(samples), sample_rate_hz=RATE_HZ, duration_s=4.0)
    assert start == 0
    start, excerpt = loudest_excerpt(samples[: 4 * RATE_HZ], sample_rate_hz=RATE_HZ, duration_s=4.0)
    assert (start, len(excerpt)) == (0, 4 * RATE_HZ)


def test_the_first_readable_track_is_used(find, make_track, write_audio, tmp_path):
    good = write_audio(tmp_path / "good.wav", sample_rate_hz=RATE_HZ)
    (tmp_path / "text.mp3").write_text("no audio")
    (tmp_path / "empty.mp3").write_bytes(b"")
    tracks = [
        make_track("text.mp3", uri=str(tmp_path / "text.mp3")),
        make_track("empty.mp3", uri=str(tmp_path / "empty.mp3")),
        make_track("gone.mp3"),
        make_track("folder.mp3", uri=str(tmp_path)),
        make_track("good.wav", uri=str(good)),
    ]
    for seed in range(5):
        [example] = find(tracks, seed=seed)
        assert example.track.track_id == "good.wav"


def test_kept_audio_is_read_if_the_original_is_missing(find, make_track, write_data_set, write_audio, tmp_path):
    track = make_track("artist/a.mp3", uri="/absent/artist/a.mp3")
    data_dir = write_data_set([track], keep="wav")
    write_audio(data_dir / "audio" / "artist" / "a.mp3.wav", sample_rate_hz=RATE_HZ)
    [example] = find([track], keep="wav")
    assert isinstance(example, AudioExample)
    assert example.track.track_id == "artist/a.mp3"


def test_the_track_depends_on_the_seed_only(find, make_track, write_audio, tmp_path):
    path = str(write_audio(tmp_path / "a.wav", sample_rate_hz=RATE_HZ))
    tracks = [make_track(f"{index}.wav", uri=path) for index in range(30)]
    chosen = [find(order, seed=seed)[0].track.track_id for order in (tracks, tracks[::-1]) for seed in (0, 1)]
    assert chosen[0] == chosen[2]
    assert chosen[1] == chosen[3]
    assert chosen[0] != chosen[1]


def test_a_genre_without_audio_is_reported_after_a_few_tracks(find, make_track, monkeypatch):
    tried = []
    real = files.read_bytes
    monkeypatch.setattr(files, "read_bytes", lambda path: tried.append(path) or real(path))
    tracks = [make_track(f"{index}.mp3", label=label) for label in ("blues", "funk") for index in range(20)]
    tracks.append(make_track("only.mp3", label="waltz"))
    missing = find(tracks, genres=("waltz", "funk", "absent"))
    assert all(isinstance(example, MissingExample) for example in missing)
    assert [(example.genre, example.num_tried) for example in missing] == [("waltz", 1), ("funk", 5)]
    assert sum(path.startswith("/absent/") for path in tried) == 1 + 5
    assert "/absent/only.mp3" in missing[0].reason


def test_audio_that_a_bucket_refuses_is_missing(gcs_here, find, make_track):
    gcs_here.set_faults(Faults(granted=()))
    [missing] = find([make_track("a.wav", uri=f"{gcs_here.url}/a.wav")])
    assert isinstance(missing, MissingExample)
    assert missing.reason.startswith(f"{gcs_here.url}/a.wav: ") and "lacks the permission" in missing.reason
