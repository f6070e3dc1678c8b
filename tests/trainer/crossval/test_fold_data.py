"""Folds as prepared data sets: their content, byte for byte."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
import yaml

from beam_pipelines.common.errors import RunAgainError, RunFailedError, UserError
from trainer.crossval.config import CrossvalConfig
from trainer.crossval.fold_data import FoldKey, is_written, remove_examples, write_fold
from trainer.crossval.folds import partition_segments
from trainer.crossval.source import Source, open_source
from trainer.data.prepared import find_shards, open_prepared, read_groups

MakeSource = Callable[..., Source]
MakeConfig = Callable[..., CrossvalConfig]
WriteFold = Callable[..., Path]

SPLITS = ("train", "validation", "test")
SPLIT_BY = ("group", "track", "segment")


def keep_going() -> None:
    """Does not stop the writing."""


@pytest.fixture
def write(tmp_path: Path, make_config: MakeConfig) -> WriteFold:
    """Writes a fold of a source and returns its directory."""

    def write_to(
        source: Source,
        name: str = "fold",
        *,
        fold: int = 0,
        on_batch: Callable[[], None] = keep_going,
        **changes: Any,
    ) -> Path:
        config = make_config(**changes)
        directory = tmp_path / name
        key = FoldKey(num_folds=config.folds, fold=fold, split_by=config.split_by, split_seed=config.split_seed)
        write_fold(str(directory), key, source=source, partition=partition_segments(source, config), on_batch=on_batch)
        return directory

    return write_to


def records_of(directory: Path | str, split: str) -> list[bytes]:
    """Returns the serialised examples of a split, as TensorFlow reads them."""
    shards = find_shards(open_prepared(str(directory)), split)
    return [record for shard in shards for record in tf.data.TFRecordDataset(shard.path).as_numpy_iterator()]


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


@pytest.mark.parametrize("split_by", SPLIT_BY)
def test_every_example_is_in_each_fold_once_and_in_one_test_split(
    make_source: MakeSource, write: WriteFold, examples_of: Any, split_by: str
) -> None:
    source = make_source(tracks_per_group=3)
    all_records = Counter(example.record for example in examples_of(source))
    assert set(all_records.values()) == {1}
    tested: Counter[bytes] = Counter()
    for fold in range(3):
        directory = write(source, f"fold-{fold}", fold=fold, split_by=split_by)
        records = {split: records_of(directory, split) for split in SPLITS}
        assert sum((Counter(of_split) for of_split in records.values()), Counter()) == all_records
        tested += Counter(records["test"])
    assert tested == all_records


def test_examples_keep_their_order(make_source: MakeSource, write: WriteFold, examples_of: Any) -> None:
    source = make_source(tracks_per_group=3)
    place = {example.record: number for number, example in enumerate(examples_of(source))}
    directory = write(source)
    for split in SPLITS:
        places = [place[record] for record in records_of(directory, split)]
        assert places == sorted(places)


@pytest.mark.parametrize("split_by", SPLIT_BY)
def test_statistics_are_those_of_the_new_train_split(
    make_source: MakeSource, write: WriteFold, examples_of: Any, split_by: str
) -> None:
    source = make_source()
    directory = write(source, fold=1, split_by=split_by)
    trained = set(records_of(directory, "train"))
    examples = [example for example in examples_of(source) if example.record in trained]
    frames = np.concatenate([example.log_mel for example in examples]).astype(np.float64)
    samples = np.concatenate([example.waveform for example in examples]).astype(np.float64)
    features = open_prepared(str(directory)).stats.features
    assert set(features) == {"log_mel", "waveform"}
    assert (features["log_mel"].num_frames, features["waveform"].num_frames) == (len(frames), len(samples))
    np.testing.assert_allclose(features["log_mel"].mean, frames.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(features["log_mel"].std, frames.std(axis=0), rtol=1e-9)
    np.testing.assert_allclose(features["waveform"].mean, [samples.mean()], rtol=1e-12)
    np.testing.assert_allclose(features["waveform"].std, [samples.std()], rtol=1e-12)


@pytest.mark.parametrize("split_by", SPLIT_BY)
def test_counts_and_tables_match_the_shards(
    make_source: MakeSource, write: WriteFold, examples_of: Any, split_by: str
) -> None:
    source = make_source(tracks_per_group=3)
    directory = write(source, split_by=split_by)
    example_of = {example.record: example for example in examples_of(source)}
    rows = [json.loads(line) for line in (directory / "tracks.jsonl").read_text().splitlines()]
    stats = json.loads((directory / "stats.json").read_text())
    for split in SPLITS:
        tracks = [example_of[record].track for record in records_of(directory, split)]
        segments_of_track = Counter(track.track_id for track in tracks)
        assert {row["track_id"]: row["num_segments"] for row in rows if row["split"] == split} == segments_of_track
        for label in ("blues", "funk"):
            assert stats["num_segments"][split][label] == sum(track.label == label for track in tracks)
            ids = {track.track_id for track in tracks if track.label == label}
            assert stats["num_tracks"][split][label] == len(ids)
        assert stats["audio_s"][split] == 0.5 * len(tracks)
    assert len({(row["track_id"], row["split"]) for row in rows}) == len(rows)
    groups = {track.track_id: track.group for track in source.tracks}
    assert read_groups(open_prepared(str(directory))) == groups


@pytest.mark.parametrize(
    ("split_by", "split"),
    [
        ("group", {"source": "folds", "leak": None}),
        (
            "track",
            {
                "source": "random",
                "leak": "tracks were split at random, so that an artist's tracks are in training and in the test",
            },
        ),
        (
            "segment",
            {
                "source": "random_segments",
                "leak": "segments were split at random, so that a track's segments are in training and in the test",
            },
        ),
    ],
)
def test_the_source_of_the_split_and_its_leak_are_in_the_statistics(
    make_source: MakeSource, write: WriteFold, split_by: str, split: dict[str, Any]
) -> None:
    directory = write(make_source(), split_by=split_by)
    assert json.loads((directory / "stats.json").read_text())["split"] == split


def test_tensorflow_datasets_reads_a_fold(make_source: MakeSource, write: WriteFold, examples_of: Any) -> None:
    source = make_source()
    directory = write(source)
    builder = tfds.builder_from_directory(str(directory))
    by_place = {(example.track.track_id, example.segment_index): example for example in examples_of(source)}
    num_examples = 0
    for split in builder.info.splits:
        for read in builder.as_dataset(split=split):
            example = by_place[read["track_id"].numpy().decode(), int(read["segment_index"])]
            assert builder.info.features["label"].int2str(int(read["label"])) == example.track.label
            assert float(read["start_s"]) == 0.5 * example.segment_index
            np.testing.assert_array_equal(read["log_mel"].numpy(), example.log_mel)
            np.testing.assert_array_equal(read["waveform"].numpy(), example.waveform)
            num_examples += 1
    assert num_examples == builder.info.splits.total_num_examples == len(by_place)


def test_the_directory_has_the_files_that_prepare_writes(
    make_source: MakeSource, write: WriteFold, tmp_path: Path
) -> None:
    directory = write(make_source())
    names = {path.name for path in directory.iterdir()}
    assert {name for name in names if "-of-" not in name} == {
        path.name for path in (tmp_path / "data").iterdir() if "-of-" not in path.name
    }
    assert Counter(name.split("-0")[0] for name in names if "-of-" in name) == {
        f"tiny-{split}.{kind}": 2 for split in SPLITS for kind in ("tfrecord", "index")
    }
    for shard in directory.glob("*.tfrecord-*"):
        sizes = [16 + len(record.numpy()) for record in tf.data.TFRecordDataset(str(shard))]
        index = np.fromfile(directory / shard.name.replace(".tfrecord-", ".index-"), dtype="<u8")
        assert index.tolist() == np.cumsum(sizes).tolist()


def test_prepare_yaml_is_that_of_the_source_with_the_key_of_the_fold(
    make_source: MakeSource, write: WriteFold, tmp_path: Path
) -> None:
    directory = write(make_source(), fold=2, split_seed=5)
    of_source = yaml.safe_load((tmp_path / "data" / "prepare.yaml").read_text())
    of_fold = yaml.safe_load((directory / "prepare.yaml").read_text())
    assert of_fold.pop("fold") == {
        "source_fingerprint": "of the source",
        "num_folds": 3,
        "fold": 2,
        "split_by": "group",
        "split_seed": 5,
    }
    assert of_fold.pop("fingerprint") == json.loads((directory / "_SUCCESS").read_text())["fingerprint"]
    assert of_source.pop("fingerprint") == "of the source"
    assert of_fold == of_source


@pytest.mark.parametrize("split_by", SPLIT_BY)
def test_a_fold_has_the_same_bytes_again(make_source: MakeSource, write: WriteFold, split_by: str) -> None:
    source = make_source()
    first, second = (write(source, name, split_by=split_by) for name in ("first", "second"))
    assert contents(first) == contents(second)
    assert contents(write(source, "first", split_by=split_by)) == contents(second), "over the first"


def test_shards_of_the_source_do_not_change_the_examples(make_source: MakeSource, write: WriteFold) -> None:
    one, many = make_source("one", num_shards=1), make_source("many", num_shards=4)
    for split in SPLITS:
        assert records_of(write(one, "of one"), split) == records_of(write(many, "of many"), split)


def test_everything_that_changes_a_fold_changes_its_cache_key() -> None:
    key = FoldKey(num_folds=5, fold=0, split_by="group", split_seed=0)
    others = [
        replace(key, num_folds=6),
        replace(key, fold=1),
        replace(key, split_by="track"),
        replace(key, split_seed=1),
    ]
    cache_keys = [each.cache_key("a") for each in (key, *others)] + [key.cache_key("b")]
    assert len(set(cache_keys)) == len(cache_keys)
    assert replace(key).cache_key("a") == key.cache_key("a")


def test_a_written_fold_is_recognised_and_another_is_an_error(make_source: MakeSource, write: WriteFold) -> None:
    source = make_source()
    key = FoldKey(num_folds=3, fold=0, split_by="group", split_seed=0)
    directory = str(write(source))
    assert is_written(directory, key, source=source)
    assert not is_written(f"{directory}-elsewhere", key, source=source)
    with pytest.raises(
        UserError, match=r"fold contains a fold of other data or of other settings: choose another output_dir"
    ):
        is_written(directory, replace(key, fold=1), source=source)


def test_an_interrupted_fold_is_not_a_data_set_and_is_written_again(
    make_source: MakeSource, write: WriteFold, tmp_path: Path
) -> None:
    source = make_source(tracks_per_group=9)
    whole = contents(write(source, "whole"))
    moments = iter([None, None, None])

    def stop_after_three() -> None:
        if next(moments, "over") == "over":
            raise RunAgainError

    with pytest.raises(RunAgainError):
        write(source, "broken", on_batch=stop_after_three)
    left = contents(tmp_path / "broken")
    assert "_SUCCESS" not in left and left
    # A shard of an attempt with other settings must not stay.
    (tmp_path / "broken" / "tiny-test.tfrecord-00007-of-00009").write_bytes(b"old")
    assert contents(write(source, "broken")) == whole


def test_examples_can_be_removed_and_written_again(make_source: MakeSource, write: WriteFold) -> None:
    source = make_source()
    directory = write(source)
    whole = contents(directory)
    remove_examples(str(directory))
    left = contents(directory)
    assert {name for name in whole if name not in left} == {
        "_SUCCESS",
        *(name for name in whole if "-of-" in name),
    }
    remove_examples(str(directory))
    assert contents(write(source)) == whole


def test_a_damaged_shard_is_an_error(make_source: MakeSource, write: WriteFold, tmp_path: Path) -> None:
    source = make_source()
    shard = tmp_path / "data" / "tiny-validation.tfrecord-00000-of-00002"
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(bytes(content))
    with pytest.raises(RunFailedError, match=r"tiny-validation.tfrecord-00000-of-00002 is damaged or truncated"):
        write(source)
    assert not (tmp_path / "fold" / "_SUCCESS").exists()
    shard.unlink()
    with pytest.raises(UserError, match=r"tiny-validation.tfrecord-00000-of-00002 is missing"):
        write(source)


def test_shards_with_other_tracks_than_the_table_are_an_error(
    make_source: MakeSource, write: WriteFold, tmp_path: Path
) -> None:
    source = make_source()
    tracks = list(source.tracks)
    tracks[1] = replace(tracks[1], track_id="another.mp3")
    with pytest.raises(
        RunFailedError,
        match=r"tiny-train.tfrecord-00000-of-00002 contains 'funk/0/0.mp3' where tracks.jsonl has 'another.mp3'",
    ):
        write(replace(source, tracks=tracks))


def test_a_folder_that_cannot_be_written_is_an_error(make_source: MakeSource, write: WriteFold, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"the fold .*file/fold cannot be written: "):
        write(make_source(), "file/fold")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("tracks.jsonl", None, r"tracks.jsonl cannot be read"),
        ("tracks.jsonl", '{"track_id": 1}\n', r"tracks.jsonl is damaged"),
        ("tracks.jsonl", "", r"data has \d+ examples, but its tracks.jsonl lists 0: prepare the data again"),
        ("duplicates.jsonl", "[]\n", r"duplicates.jsonl is damaged"),
        ("prepare.yaml", "{", r"prepare.yaml is damaged"),
        ("prepare.yaml", "config: {}", r"prepare.yaml is damaged"),
        ("prepare.yaml", "", r"prepare.yaml is damaged"),
        ("_SUCCESS", None, r"data has no _SUCCESS and is not a finished data set"),
    ],
)
def test_a_damaged_table_is_an_error(
    write_source: Callable[..., Path], name: str, text: str | None, message: str
) -> None:
    directory = write_source()
    if text is None:
        (directory / name).unlink()
    else:
        (directory / name).write_text(text)
    with pytest.raises(UserError, match=message):
        open_source(str(directory))


@pytest.fixture
def in_memory() -> Iterator[str]:
    """A folder in a file system that only TensorFlow can access, as gs:// is."""
    yield "ram://crossval"
    tf.io.gfile.rmtree("ram://crossval")


def test_data_can_be_on_a_remote_file_system(
    write_source: Callable[..., Path], make_config: MakeConfig, write: WriteFold, in_memory: str
) -> None:
    local = write_source()
    tf.io.gfile.makedirs(f"{in_memory}/data")
    for path in local.iterdir():
        tf.io.gfile.copy(str(path), f"{in_memory}/data/{path.name}")
    source = open_source(f"{in_memory}/data")
    key = FoldKey(num_folds=3, fold=0, split_by="group", split_seed=0)
    directory = f"{in_memory}/folds/fold-0"
    for _ in range(2):
        write_fold(
            directory, key, source=source, partition=partition_segments(source, make_config()), on_batch=keep_going
        )
    assert is_written(directory, key, source=source)
    of_local = contents(write(open_source(str(local))))
    assert set(tf.io.gfile.listdir(directory)) == set(of_local)
    for name, content in of_local.items():
        with tf.io.gfile.GFile(f"{directory}/{name}", "rb") as file:
            assert file.read() == content
    remove_examples(directory)
    assert "_SUCCESS" not in tf.io.gfile.listdir(directory)
