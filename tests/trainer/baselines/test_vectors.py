"""Reads shards as vectors: the values of each segment, and errors."""

from dataclasses import replace

import numpy as np
import pytest

from beam_pipelines.common.errors import RunFailedError, UserError
from beam_pipelines.features.yamnet_log_mel import num_whole_frames
from beam_pipelines.records.schema import TEST, TRAIN, FeatureSpec
from trainer.baselines.vectors import (
    FeaturePooling,
    Vectors,
    check_fits_memory,
    make_vectorizer,
    mean_of_tracks,
    read_vectors,
)
from trainer.data.prepared import open_prepared


def read(directory, split, feature, *, pooling="mean_std"):
    data = open_prepared(str(directory))
    return read_vectors(data, split, vectorizer=make_vectorizer(data, [feature], pooling=pooling))


def by_segment(vectors):
    """{(track, start): (label, vector)}"""
    return {
        (name, float(start)): (int(label), values)
        for name, start, label, values in zip(
            vectors.track_ids, vectors.starts_s, vectors.labels, vectors.values, strict=True
        )
    }


def test_vectors_are_unchanged(write_data_set, make_tracks):
    tracks = make_tracks(TRAIN, num_tracks=7)
    found = by_segment(read(write_data_set({TRAIN: tracks}), TRAIN, "spectral_stats"))
    assert len(found) == 21
    for track in tracks:
        for segment in range(3):
            label, values = found[track.track_id, 3.0 * segment]
            assert label == track.label
            assert values.dtype == np.float32
            np.testing.assert_array_equal(values, track.features["spectral_stats"][segment])


@pytest.mark.parametrize("pooling", ["mean", "mean_std"])
def test_frames_become_their_mean_and_standard_deviation(write_data_set, make_tracks, pooling):
    tracks = make_tracks(TRAIN, num_tracks=5)
    found = by_segment(read(write_data_set({TRAIN: tracks}), TRAIN, "yamnet", pooling=pooling))
    for track in tracks:
        for segment in range(3):
            frames = track.features["yamnet"][segment].astype(np.float64)
            mean = frames.sum(axis=0) / 4
            deviation = np.sqrt(((frames - mean) ** 2).sum(axis=0) / 4)
            expected = mean if pooling == "mean" else np.concatenate([mean, deviation])
            np.testing.assert_allclose(found[track.track_id, 3.0 * segment][1], expected, rtol=1e-6, atol=1e-7)


def test_vectors_of_several_features_are_concatenated_in_their_order(write_data_set, make_tracks):
    tracks = make_tracks(TRAIN, num_tracks=5)
    data = open_prepared(str(write_data_set({TRAIN: tracks})))
    vectorizer = make_vectorizer(data, ["yamnet", "spectral_stats"], pooling="mean")
    assert vectorizer.size == 5 + 6
    found = by_segment(read_vectors(data, TRAIN, vectorizer=vectorizer))
    for track in tracks:
        for segment in range(3):
            of_frames = track.features["yamnet"][segment].astype(np.float64).mean(axis=0).astype(np.float32)
            expected = np.concatenate([of_frames, track.features["spectral_stats"][segment]])
            np.testing.assert_array_equal(found[track.track_id, 3.0 * segment][1], expected)


@pytest.mark.parametrize(("feature", "place"), [("spectral_stats", (1, 0)), ("yamnet", (1, 0, 4))])
def test_the_feature_with_a_value_that_is_not_finite_is_named(write_data_set, make_tracks, feature, place):
    tracks = make_tracks(TEST, num_tracks=4)
    tracks[2].features[feature][place] = np.nan
    data = open_prepared(str(write_data_set({TEST: tracks})))
    vectorizer = make_vectorizer(data, ["yamnet", "spectral_stats"], pooling="mean")
    with pytest.raises(RunFailedError, match=f"^feature={feature}: a segment of test2.mp3 in the test split"):
        read_vectors(data, TEST, vectorizer=vectorizer)


def test_the_memory_is_that_of_all_features(data_dir):
    vectorizer = make_vectorizer(open_prepared(str(data_dir)), ["yamnet", "spectral_stats"], pooling="mean_std")
    with pytest.raises(UserError, match="max_matrix_mib=0: 72 segments of 16 values need 1 MiB"):
        check_fits_memory(open_prepared(str(data_dir)), [TRAIN], vectorizer=vectorizer, max_mib=0)


def test_several_batches_are_read_completely(write_data_set, make_tracks):
    found = by_segment(read(write_data_set({TRAIN: make_tracks(TRAIN, num_tracks=200)}), TRAIN, "spectral_stats"))
    assert len(found) == 600


def test_frames_of_padding_are_ignored():
    spec = FeatureSpec(name="yamnet_log_mel", shape=(4, 2), dtype="float16")
    frames = np.array([[[1, 2], [3, 4], [0, 0], [0, 0]]], dtype=np.float16)
    pooling = FeaturePooling(spec=spec, pooling="mean", num_frames=2)
    assert pooling(frames).tolist() == [[2.0, 3.0]]


def test_the_padding_of_yamnets_spectrogram_follows_from_prepare_yaml(write_data_set, make_tracks):
    def with_log_mel(track):
        return replace(track, features={"yamnet_log_mel": np.zeros((3, 336, 64), np.float16)})

    splits = {split: [with_log_mel(track) for track in make_tracks(split, num_tracks=3)] for split in (TRAIN, TEST)}
    splits["validation"] = splits[TEST]
    data = open_prepared(str(write_data_set(splits)))
    [found] = make_vectorizer(data, ["yamnet_log_mel"], pooling="mean_std").poolings
    assert (found.num_frames, found.size) == (num_whole_frames(3.0), 128)
    assert found.num_frames < 336


def test_huge_frames_have_a_finite_standard_deviation():
    spec = FeatureSpec(name="yamnet", shape=(2, 1), dtype="float32")
    frames = np.array([[[3e38], [-3e38]]], dtype=np.float32)
    found = FeaturePooling(spec=spec, pooling="mean_std", num_frames=2)(frames)
    np.testing.assert_allclose(found, [[0.0, 3e38]], rtol=1e-6)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_an_error(write_data_set, make_tracks, value):
    tracks = make_tracks(TEST, num_tracks=4)
    tracks[2].features["spectral_stats"][1, 3] = value
    directory = write_data_set({TEST: tracks})
    with pytest.raises(RunFailedError, match="feature=spectral_stats: a segment of test2.mp3 in the test split"):
        read(directory, TEST, "spectral_stats")


def test_a_missing_feature_is_an_error_that_lists_the_features(data_dir):
    with pytest.raises(UserError) as caught:
        read(data_dir, TRAIN, "mfcc")
    assert str(caught.value) == (
        f"feature=mfcc: {data_dir} has no such feature, it has spectral_stats, yamnet: set feature to one of these, or "
        "prepare the data again with mfcc among its features"
    )


def test_samples_are_an_error(write_data_set, make_tracks):
    tracks = [
        replace(track, features={"sound": np.zeros((3, 100), np.int16)}) for track in make_tracks(TRAIN, num_tracks=3)
    ]
    data = open_prepared(
        str(write_data_set({TRAIN: tracks, "validation": tracks, TEST: tracks}, kinds={"sound": "waveform"}))
    )
    with pytest.raises(UserError, match=r"^feature=sound: expected a vector or frames of values for each segment"):
        make_vectorizer(data, ["sound"], pooling="mean")


def test_a_damaged_shard_is_an_error(data_dir):
    shard = data_dir / "tiny-train.tfrecord-00001-of-00002"
    shard.write_bytes(shard.read_bytes()[:-7])
    with pytest.raises(RunFailedError, match="tiny-train.tfrecord-00001-of-00002 is damaged or truncated"):
        read(data_dir, TRAIN, "spectral_stats")


def test_too_little_memory_is_an_error_before_anything_is_read(write_data_set, make_tracks):
    data = open_prepared(str(write_data_set({TRAIN: make_tracks(TRAIN, num_tracks=2000)})))
    vectorizer = make_vectorizer(data, ["spectral_stats"], pooling="mean")
    splits = ("train", "validation", "test")
    bytes_of_all = (2000 + 9 + 12) * 3 * 6 * 4
    assert 0 < bytes_of_all < 2**20
    check_fits_memory(data, splits, vectorizer=vectorizer, max_mib=1)
    with pytest.raises(UserError, match="max_matrix_mib=0: 6063 segments of 6 values need 1 MiB"):
        check_fits_memory(data, splits, vectorizer=vectorizer, max_mib=0)


def test_a_track_is_the_mean_of_its_segments():
    vectors = Vectors(
        values=np.array([[1, 0], [5, 5], [3, 6], [5, 3]], dtype=np.float32),
        labels=np.array([2, 0, 2, 2]),
        track_ids=("b", "a", "b", "b"),
        starts_s=np.array([0, 0, 3, 6], dtype=np.float32),
    )
    found = mean_of_tracks(vectors)
    assert found.track_ids == ("a", "b")
    assert found.values.tolist() == [[5, 5], [3, 3]]
    assert found.values.dtype == np.float32
    assert found.labels.tolist() == [0, 2]
