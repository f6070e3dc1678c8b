import json

import pytest

from beam_pipelines.common.errors import UserError
from beam_pipelines.records import schema

INFO = schema.DatasetInfo(
    name="mine",
    splits=(
        schema.SplitInfo(name="train", shard_lengths=(3, 0, 4), num_bytes=700),
        schema.SplitInfo(name="test", shard_lengths=(2,), num_bytes=200),
    ),
)


def test_shards_are_named_as_tensorflow_datasets_names_them():
    name = schema.shard_filename(dataset_name="mine", split="train", index=3, num_shards=16)
    assert name == "mine-train.tfrecord-00003-of-00016"
    assert schema.SHARD_PATTERN.fullmatch(name)
    assert schema.index_filename(name) == "mine-train.index-00003-of-00016"
    assert schema.index_filename(f"/a.tfrecord-1/{name}") == "/a.tfrecord-1/mine-train.index-00003-of-00016"
    assert schema.SHARD_PATTERN.fullmatch(schema.index_filename(name))
    assert schema.shard_filenames("mine", INFO.split("train")) == [
        "mine-train.tfrecord-00000-of-00003",
        "mine-train.tfrecord-00001-of-00003",
        "mine-train.tfrecord-00002-of-00003",
    ]


@pytest.mark.parametrize(
    "name", ["notes.txt", "mine-train.tfrecord", "train.tfrecord-1-of-2", "a-b.tfrecord-00001-of-00002x"]
)
def test_other_files_are_not_taken_for_shards(name):
    assert schema.SHARD_PATTERN.fullmatch(name) is None


def test_info_is_read_as_written():
    assert schema.info_from_json(schema.info_to_json(INFO)) == INFO
    assert INFO.split("train").num_examples == 7


def test_an_unknown_split_names_the_existing_ones():
    with pytest.raises(UserError, match="no split 'validation' in data set 'mine': it has train, test"):
        INFO.split("validation")


def test_a_split_without_examples_is_no_split():
    empty = schema.SplitInfo(name="validation", shard_lengths=(0,), num_bytes=0)
    info = schema.DatasetInfo(name="mine", splits=(*INFO.splits, empty))
    assert [info.has_split(name) for name in ("train", "test", "validation", "other")] == [True, True, False, False]


def test_features_are_read_as_written():
    specs = [
        schema.FeatureSpec(name="log_mel", shape=(94, 128), dtype="float16"),
        schema.FeatureSpec(name="waveform", shape=(48_000,), dtype="int16"),
    ]
    text = schema.features_to_json(specs, num_classes=5)
    assert list(schema.features_from_json(text).values()) == specs


def test_stats_are_read_bit_for_bit():
    stats = schema.DatasetStats(
        split_source="random",
        split_leak="artists are on both sides",
        audio_s={"train": 30.0, "validation": 3.0, "test": 6.0},
        num_tracks={"train": {"a": 1, "b": 2}},
        num_segments={"train": {"a": 3, "b": 7}},
        features={"log_mel": schema.BandStats(num_frames=94, mean=(0.1, -3.3), std=(1 / 3, 2e-17))},
    )
    assert schema.stats_from_json(schema.stats_to_json(stats)) == stats


def test_audio_is_kept_at_a_place_of_its_own_below_the_directory():
    track_ids = ["a/b.mp3", "/a/b.mp3", "../a/b.mp3", "./a/b.mp3", "%/a/b.mp3", "%2E%2E/a/b.mp3", "gs://a/b.mp3"]
    paths = [schema.kept_audio_path(track_id) for track_id in track_ids]
    assert paths == [
        "audio/a/b.mp3.wav",
        "audio/%/a/b.mp3.wav",
        "audio/%2E%2E/a/b.mp3.wav",
        "audio/%2E/a/b.mp3.wav",
        "audio/%25/a/b.mp3.wav",
        "audio/%252E%252E/a/b.mp3.wav",
        "audio/gs:/%/a/b.mp3.wav",
    ]


@pytest.mark.parametrize("character", ["x", "ü", "%", "音"])
@pytest.mark.parametrize("length", [247, 251, 255])
def test_a_kept_name_fits_into_a_file_system(character, length):
    stem = (character * length).encode()[:length].decode(errors="ignore")
    paths = [schema.kept_audio_path(f"{stem}/{stem[:-4]}{tail}.wav") for tail in ("", "a", "b")]
    assert len(set(paths)) == 3
    for path in paths:
        assert all(len(part.encode()) <= 255 for part in path.split("/"))
        assert path.endswith(".wav")


def test_a_kept_name_that_fits_stays():
    assert schema.kept_audio_path("x" * 251) == f"audio/{'x' * 251}.wav"
    assert schema.kept_audio_path("x" * 252).startswith(f"audio/{'x' * 200}")


def test_success_holds_the_cache_key():
    assert schema.success_from_json(schema.success_to_json("abc"), directory="d") == "abc"


def test_another_schema_version_is_refused():
    text = json.dumps({"schema_version": 99, "fingerprint": "abc"})
    with pytest.raises(UserError, match="d was prepared with schema version 99, and this beamtune reads version 2"):
        schema.success_from_json(text, directory="d")


@pytest.mark.parametrize("text", ["", "{}", "[]", "not json"])
def test_a_success_file_of_someone_else_is_refused(text):
    with pytest.raises(UserError, match="d/_SUCCESS was not written by beamtune"):
        schema.success_from_json(text, directory="d")
