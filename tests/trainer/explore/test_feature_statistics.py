"""Statistics of the written arrays, which do not depend on shards and batches."""

import io

import numpy as np
import pytest

from beam_pipelines.common.errors import RunFailedError, UserError
from beam_pipelines.common.progress import ProgressReporter
from beam_pipelines.features.config import LogMelConfig, YamnetLogMelConfig
from beam_pipelines.features.yamnet_log_mel import YamnetLogMel
from trainer.data.prepared import open_prepared
from trainer.explore.feature_statistics import compute_statistics, sample_tracks
from trainer.explore.plotted_features import find_plotted_features
from trainer.explore.prepared_tables import read_tables


def statistics(directory, *, band_splits=("train",), sample=(), batch_size=4):
    data, tables = open_prepared(str(directory)), read_tables(str(directory))
    num_segments = sum(track.num_segments for track in tables.tracks)
    stream = io.StringIO()
    with ProgressReporter("exploring", total=num_segments, unit="segments", stream=stream) as progress:
        result = compute_statistics(
            data,
            plotted=find_plotted_features(data.specs, tables.preparation),
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
def test_means_and_deviations_are_of_the_frames_of_the_splits(tracks, write_data_set, batch_size, num_shards):
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


def test_the_statistics_can_be_of_other_splits(tracks, write_data_set):
    result, _ = statistics(write_data_set(tracks), band_splits=("train", "validation", "test"))
    frames = frames_of(tracks, label="funk", splits=("train", "validation", "test"))
    np.testing.assert_allclose(result.genre_bands["log_mel"].mean[1], frames.mean(axis=0), rtol=1e-12)


def test_a_constant_band_has_a_deviation_of_0(make_track, write_data_set):
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


def test_the_sample_is_bounded_and_depends_on_seed_and_ids_only(make_track):
    records = [make_track(f"{index}.mp3").record for index in range(50)]
    sample = sample_tracks(records, most=10, seed=0)
    assert len(set(sample)) == 10
    assert sample == sample_tracks(records[::-1], most=10, seed=0)
    assert sample != sample_tracks(records, most=10, seed=1)
    assert set(sample) < set(sample_tracks(records, most=20, seed=0))
    assert sorted(sample_tracks(records, most=1000, seed=0)) == sorted(record.track_id for record in records)


def test_long_vectors_are_computed_for_fewer_tracks(tracks, write_data_set, monkeypatch):
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
        configs={
            "log_mel": LogMelConfig(n_fft=512, n_mels=16),
            "yamnet": {"kind": "of_a_later_version", "dtype": "float32"},
        },
    )
    result, _ = statistics(directory, sample=("0", "1", "2"))
    assert result.vectors.feature == "yamnet"
    expected = [track.features["yamnet"].reshape(-1, 12).astype(np.float64).mean(axis=0) for track in made]
    np.testing.assert_allclose(result.vectors.values, expected, rtol=1e-12)
    assert result.genre_bands.keys() == {"log_mel"}


def test_frames_of_padding_are_ignored(make_track, write_data_set):
    """Statistics of noise are those of noise without the zero padding."""
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


def test_a_damaged_shard_is_an_error(tracks, write_data_set):
    directory = write_data_set(tracks, num_shards=1)
    shard = directory / "tiny-train.tfrecord-00000-of-00001"
    shard.write_bytes(shard.read_bytes()[:-5])
    with pytest.raises(RunFailedError, match=r"tiny-train\.tfrecord-00000-of-00001 is damaged or truncated after"):
        statistics(directory)


def test_a_missing_shard_is_an_error(tracks, write_data_set):
    directory = write_data_set(tracks)
    (directory / "tiny-test.tfrecord-00001-of-00002").unlink()
    with pytest.raises(UserError, match=r"tiny-test\.tfrecord-00001-of-00002 is missing"):
        statistics(directory)
