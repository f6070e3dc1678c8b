"""The pass over the shards: sums are those of the written arrays, whatever the shards and batches."""

import io

import numpy as np
import pytest

from beam_pipelines.common.errors import RunFailedError, UserError
from beam_pipelines.common.progress import ProgressReporter
from beam_pipelines.features.config import LogMelConfig, MfccConfig, YamnetLogMelConfig
from beam_pipelines.features.yamnet_log_mel import YamnetLogMel
from beam_pipelines.records.schema import FeatureSpec
from trainer.data.prepared import open_prepared
from trainer.explore.feature_statistics import TrackVectors, compute_statistics, sample_tracks
from trainer.explore.plotted_features import find_plotted_features
from trainer.explore.prepared_tables import read_tables
from trainer.explore.projection import project


def statistics(directory, *, band_splits=("train",), sample=(), batch_size=4):
    data, tables = open_prepared(str(directory)), read_tables(str(directory))
    num_segments = sum(track.num_segments for track in tables.tracks)
    stream = io.StringIO()
    with ProgressReporter("exploring", total=num_segments, unit="segments", stream=stream) as progress:
        result = compute_statistics(
            data,
            plotted=find_plotted_features(data.specs, tables.settings),
            band_splits=band_splits,
            sample=sample,
            batch_size=batch_size,
            progress=progress,
        )
    return result, stream.getvalue()


@pytest.fixture
def tracks(make_track):
    """Nine tracks of three genres; waltz has none in train."""
    splits = {"blues": ("train", "train", "test"), "funk": ("train", "validation", "test"), "waltz": ("test",) * 3}
    return [
        make_track(f"{label}{index}.mp3", label=label, split=split, num_segments=1 + (index + len(label)) % 3)
        for label, names in splits.items()
        for index, split in enumerate(names)
    ]


def frames_of(tracks, *, label, splits):
    chosen = [track for track in tracks if track.record.label == label and track.record.split in splits]
    values = np.concatenate([track.features["log_mel"] for track in chosen]).astype(np.float64)
    return values.reshape(-1, values.shape[-1])


@pytest.mark.parametrize("batch_size", [1, 4, 1000])
@pytest.mark.parametrize("num_shards", [1, 3])
def test_means_and_deviations_are_those_of_the_frames_of_the_splits(tracks, write_data_set, batch_size, num_shards):
    directory = write_data_set(tracks, num_shards=num_shards)
    result, progress = statistics(directory, batch_size=batch_size)
    bands = result.genre_bands["log_mel"]
    for row, label in enumerate(("blues", "funk")):
        frames = frames_of(tracks, label=label, splits=("train",))
        assert bands.num_frames[row] == len(frames)
        np.testing.assert_allclose(bands.mean[row], frames.mean(axis=0), rtol=1e-12)
        np.testing.assert_allclose(bands.std[row], frames.std(axis=0), rtol=1e-9)
    assert bands.num_frames[2] == 0
    assert np.isnan(bands.mean[2]).all()
    assert np.isnan(bands.std[2]).all()
    num_segments = sum(track.record.num_segments for track in tracks)
    assert f"exploring: {num_segments}/{num_segments} segments" in progress


def test_other_splits_count_where_they_are_asked_for(tracks, write_data_set):
    result, _ = statistics(write_data_set(tracks), band_splits=("train", "validation", "test"))
    frames = frames_of(tracks, label="funk", splits=("train", "validation", "test"))
    np.testing.assert_allclose(result.genre_bands["log_mel"].mean[1], frames.mean(axis=0), rtol=1e-12)


def test_a_band_that_never_changes_has_no_deviation(make_track, write_data_set):
    constant = {"log_mel": np.full((3, 8, 16), -33.31, dtype=np.float32)}
    result, _ = statistics(write_data_set([make_track("a", features=constant), make_track("b", features=constant)]))
    np.testing.assert_allclose(result.genre_bands["log_mel"].std, 0.0, atol=1e-5)


def test_vectors_are_the_means_of_the_sampled_tracks_of_all_splits(tracks, write_data_set):
    sample = ("waltz1.mp3", "blues0.mp3", "funk1.mp3")
    result, _ = statistics(write_data_set(tracks), sample=sample)
    assert result.vectors.feature == "log_mel"
    assert result.vectors.track_ids == sample
    by_id = {track.record.track_id: track.features["log_mel"].astype(np.float64) for track in tracks}
    expected = np.array([by_id[track_id].mean(axis=(0, 1)) for track_id in sample])
    np.testing.assert_allclose(result.vectors.values, expected, rtol=1e-12)


def test_the_sample_is_bounded_and_depends_on_seed_and_ids_alone(make_track):
    records = [make_track(f"{index}.mp3").record for index in range(50)]
    sample = sample_tracks(records, most=10, seed=0)
    assert len(set(sample)) == 10
    assert sample == sample_tracks(records[::-1], most=10, seed=0)
    assert sample != sample_tracks(records, most=10, seed=1)
    assert set(sample) < set(sample_tracks(records, most=20, seed=0))
    assert sorted(sample_tracks(records, most=1000, seed=0)) == sorted(record.track_id for record in records)


def test_long_vectors_are_kept_of_fewer_tracks(tracks, write_data_set, monkeypatch):
    monkeypatch.setattr("trainer.explore.feature_statistics._MOST_VECTOR_VALUES", 3 * 16)
    result, _ = statistics(write_data_set(tracks), sample=tuple(track.record.track_id for track in tracks))
    assert result.vectors.track_ids == tuple(track.record.track_id for track in tracks[:3])


@pytest.mark.parametrize("shape", [(12,), (3, 12)], ids=["vector", "frames of vectors"])
def test_an_embedding_is_preferred_to_a_spectrogram(make_track, write_data_set, shape):
    rng = np.random.default_rng(0)
    made = [
        make_track(
            f"{index}",
            features={
                "log_mel": rng.normal(size=(2, 8, 16)).astype(np.float16),
                "yamnet": rng.normal(size=(2, *shape)).astype(np.float32),
            },
        )
        for index in range(3)
    ]
    directory = write_data_set(
        made,
        configs={"log_mel": LogMelConfig(n_fft=512, n_mels=16), "yamnet": {"kind": "embedding", "dtype": "float32"}},
    )
    result, _ = statistics(directory, sample=("0", "1", "2"))
    assert result.vectors.feature == "yamnet"
    expected = [track.features["yamnet"].reshape(-1, 12).astype(np.float64).mean(axis=0) for track in made]
    np.testing.assert_allclose(result.vectors.values, expected, rtol=1e-12)
    assert result.genre_bands.keys() == {"log_mel"}


def settings_with(make_track, write_data_set, configs):
    return read_tables(str(write_data_set([make_track("a")], configs=configs))).settings


@pytest.mark.parametrize(
    ("specs", "bands", "vector"),
    [
        ({"log_mel": (94, 128), "mfcc": (94, 20)}, ["log_mel"], "log_mel"),
        ({"mfcc": (94, 20)}, ["mfcc"], "mfcc"),
        ({"embedding": (1024,)}, [], "embedding"),
        ({"waveform": (48_000,)}, [], None),
        ({"waveform": (48_000,), "mfcc": (94, 20)}, ["mfcc"], "mfcc"),
        ({"scalar": (1,)}, [], None),
        ({"yamnet_log_mel": (336, 64)}, ["yamnet_log_mel"], None),
        ({"yamnet_log_mel": (336, 64), "mfcc": (94, 20)}, ["yamnet_log_mel"], "mfcc"),
        ({"yamnet_log_mel": (336, 64), "log_mel": (94, 128)}, ["log_mel", "yamnet_log_mel"], "log_mel"),
    ],
    ids=str,
)
def test_features_are_told_apart(make_track, write_data_set, specs, bands, vector):
    configs = {
        "log_mel": LogMelConfig(n_fft=512, n_mels=16),
        "mfcc": MfccConfig(n_fft=512, n_mels=16, n_mfcc=13),
        "yamnet_log_mel": YamnetLogMelConfig(),
    }
    settings = settings_with(make_track, write_data_set, configs)
    plotted = find_plotted_features(
        {name: FeatureSpec(name=name, shape=shape, dtype="float16") for name, shape in specs.items()}, settings
    )
    assert [feature.spec.name for feature in plotted.bands] == bands
    assert (None if plotted.vector is None else plotted.vector.name) == vector


def test_statistics_of_many_units_and_other_spectrograms_are_no_embedding(make_track, write_data_set):
    kinds = ("spectral_stats", "yamnet_log_mel", "yamnet")
    settings = settings_with(make_track, write_data_set, {kind: {"kind": kind, "dtype": "float32"} for kind in kinds})
    specs = {
        name: FeatureSpec(name=name, shape=shape, dtype="float32")
        for name, shape in zip(kinds, [(100,), (336, 64), (6, 1024)], strict=True)
    }
    vector = find_plotted_features(specs, settings).vector
    assert vector is not None and vector.name == "yamnet"
    del specs["yamnet"]
    assert find_plotted_features(specs, settings).vector is None


def test_samples_of_whole_numbers_are_no_vector(make_track, write_data_set):
    settings = settings_with(make_track, write_data_set, {})
    assert find_plotted_features({"pcm": FeatureSpec(name="pcm", shape=(800,), dtype="int16")}, settings).vector is None


def test_band_frequencies_are_the_peaks_of_the_filters(make_track, write_data_set):
    """librosa's own filters, drawn fine, peak at the frequencies that the page puts on its axis."""
    from librosa.filters import mel

    config = LogMelConfig(n_fft=16_384, n_mels=16, fmin_hz=100.0, fmax_hz=3000.0)
    settings = settings_with(make_track, write_data_set, {"log_mel": config})
    spec = FeatureSpec(name="log_mel", shape=(8, 16), dtype="float16")
    [feature] = find_plotted_features({"log_mel": spec}, settings).bands
    filters = mel(sr=8000, n_fft=config.n_fft, n_mels=16, fmin=100.0, fmax=3000.0)
    peaks_hz = filters.argmax(axis=1) * 8000 / config.n_fft
    np.testing.assert_allclose(feature.frequencies_hz, peaks_hz, atol=8000 / config.n_fft)


def test_cepstra_have_no_frequencies(make_track, write_data_set):
    settings = settings_with(make_track, write_data_set, {"mfcc": MfccConfig(n_fft=512, n_mels=16, n_mfcc=13)})
    [feature] = find_plotted_features(
        {"mfcc": FeatureSpec(name="mfcc", shape=(8, 13), dtype="float16")}, settings
    ).bands
    assert (feature.frequencies_hz, feature.num_frames, feature.unit) == (None, 8, None)


def test_yamnets_spectrogram_is_in_natural_logarithms_up_to_the_end_of_a_segment(make_track, write_data_set):
    settings = settings_with(make_track, write_data_set, {"mine": YamnetLogMelConfig(), "log_mel": LogMelConfig()})
    specs = {
        "mine": FeatureSpec(name="mine", shape=(96, 64), dtype="float16"),
        "log_mel": FeatureSpec(name="log_mel", shape=(8, 128), dtype="float16"),
    }
    log_mel, yamnet = find_plotted_features(specs, settings).bands
    assert (log_mel.spec.name, log_mel.num_frames, log_mel.unit) == ("log_mel", 8, "dB")
    # Segments of 0.5 s: the window of frame 47 ends at 0.495 s.
    assert (yamnet.spec.name, yamnet.num_frames, yamnet.unit) == ("mine", 48, "natural log")
    assert len(yamnet.frequencies_hz) == 64
    assert 125.0 < yamnet.frequencies_hz[0] < yamnet.frequencies_hz[-1] < 7500.0


def test_frames_behind_the_end_of_a_segment_do_not_count(make_track, write_data_set):
    """Noise of one level has the means that it has where no silence follows it."""
    feature = YamnetLogMel("mine", YamnetLogMelConfig(dtype="float32"), segment_duration_s=0.5)
    noise = np.random.default_rng(0).uniform(-1, 1, (3, 8000)).astype(np.float32)
    values = np.stack([feature(segment) for segment in noise])
    assert values.shape == (3, 96, 64)
    directory = write_data_set(
        [make_track("a", features={"mine": values})], configs={"mine": YamnetLogMelConfig(dtype="float32")}
    )
    result, _ = statistics(directory)
    bands = result.genre_bands["mine"]
    frames = values[:, :48].reshape(-1, 64).astype(np.float64)
    assert bands.num_frames.tolist() == [3 * 48]
    np.testing.assert_allclose(bands.mean[0], frames.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(bands.std[0], frames.std(axis=0), rtol=1e-9)
    assert bands.std.max() < 1.0 < values.std(axis=(0, 1)).max()
    assert result.vectors is None


def test_a_damaged_shard_is_named(tracks, write_data_set):
    directory = write_data_set(tracks, num_shards=1)
    shard = directory / "tiny-train.tfrecord-00000-of-00001"
    shard.write_bytes(shard.read_bytes()[:-5])
    with pytest.raises(RunFailedError, match=r"tiny-train\.tfrecord-00000-of-00001 is damaged or cut short after"):
        statistics(directory)


def test_a_missing_shard_is_named(tracks, write_data_set):
    directory = write_data_set(tracks)
    (directory / "tiny-test.tfrecord-00001-of-00002").unlink()
    with pytest.raises(UserError, match=r"tiny-test\.tfrecord-00001-of-00002 is missing"):
        statistics(directory)


def vectors(values):
    return TrackVectors(
        feature="log_mel", track_ids=tuple(str(index) for index in range(len(values))), values=np.array(values, float)
    )


def test_the_projection_is_that_of_the_singular_vectors_with_their_largest_weight_positive():
    values = np.random.default_rng(0).normal(size=(40, 6)) * [5, 1, 3, 1, 1, 1] + 100
    projection = project(vectors(values))
    centred = values - values.mean(axis=0)
    _, lengths, directions = np.linalg.svd(centred, full_matrices=False)
    for axis in range(2):
        direction = directions[axis] * np.sign(directions[axis][np.abs(directions[axis]).argmax()])
        np.testing.assert_allclose(projection.positions[:, axis], centred @ direction, atol=1e-9)
    np.testing.assert_allclose(projection.explained, (lengths**2 / (lengths**2).sum())[:2], rtol=1e-9)
    assert projection.num_not_finite == 0


def test_tracks_that_are_no_numbers_are_left_out_and_counted():
    values = np.random.default_rng(0).normal(size=(10, 4))
    values[3, 2] = np.nan
    values[7, 0] = np.inf
    projection = project(vectors(values))
    assert projection.num_not_finite == 2
    assert projection.track_ids == ("0", "1", "2", "4", "5", "6", "8", "9")
    assert projection.positions.shape == (8, 2)


@pytest.mark.parametrize(
    "values",
    [np.zeros((0, 4)), np.eye(2), np.full((9, 4), -33.1), np.arange(9.0)[:, None], np.full((5, 3), np.nan)],
    ids=["no tracks", "two tracks", "all the same", "one dimension", "no numbers"],
)
def test_there_is_no_projection_where_nothing_can_be_told_apart(values):
    assert project(vectors(values)) is None
