"""`beamtune prepare` as a whole, on small audio files made on the spot."""

import json
import shutil
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile
import tensorflow as tf
import tensorflow_datasets as tfds
import yaml
from lease_process import let_another_be_faster, let_another_take_over

from beam_pipelines.audio.config import AudioConfig, SegmentConfig
from beam_pipelines.common.errors import RunFailedError, UserError
from beam_pipelines.common.extras import naming_missing_extras
from beam_pipelines.common.lease import LEASE_FILE, LeaseHeldError
from beam_pipelines.datasets.config import FolderDatasetConfig, SyntheticDatasetConfig
from beam_pipelines.features import frontend
from beam_pipelines.features.config import LogMelConfig, MfccConfig
from beam_pipelines.prepare import pipeline
from beam_pipelines.prepare.config import PrepareConfig, ShardConfig
from beam_pipelines.prepare.pipeline import prepare
from beam_pipelines.prepare.prepare_yaml import parse_prepare_yaml
from beam_pipelines.runners.config import DirectRunnerConfig
from beam_pipelines.splits.config import DuplicatesConfig


def config_for(music: Path, output_dir: Path, **changes) -> PrepareConfig:
    return PrepareConfig(
        **{
            "output_dir": str(output_dir),
            "dataset": FolderDatasetConfig(name="mine", root=str(music)),
            "audio": AudioConfig(sample_rate_hz=16_000),
            "segment": SegmentConfig(duration_s=1.0, hop_s=1.0),
            "features": {"log_mel": LogMelConfig(n_mels=32), "mfcc": MfccConfig(n_mels=32, n_mfcc=13)},
            "shards": ShardConfig(min_shards=2),
            "runner": DirectRunnerConfig(num_workers=2),
            **changes,
        }
    )


def contents(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def json_lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture(scope="module")
def music(make_collection, tmp_path_factory):
    """A collection that all tests share: they must not change it."""
    return make_collection(tmp_path_factory.mktemp("prepare") / "music")


@pytest.fixture(scope="module")
def finished(music, tmp_path_factory):
    output_dir = tmp_path_factory.mktemp("finished") / "out"
    prepare(config_for(music, output_dir))
    return output_dir


@pytest.fixture
def prepared(finished, tmp_path):
    """The prepared collection, a copy that the test may change."""
    return shutil.copytree(finished, tmp_path / "out")


def test_tensorflow_datasets_reads_the_same_arrays(prepared, music):
    builder = tfds.builder_from_directory(str(prepared))
    front_end = parse_prepare_yaml((prepared / "prepare.yaml").read_text()).front_end()
    assert builder.info.features["label"].names == ["genre0", "genre1"]
    num_examples = 0
    for split in builder.info.splits:
        for example in builder.as_dataset(split=split):
            track_id = example["track_id"].numpy().decode()
            with open(music / track_id, "rb") as source:
                segment = front_end.process(source).segments[int(example["segment_index"])]
            assert builder.info.features["label"].int2str(int(example["label"])) == track_id.split("/")[0]
            assert float(example["start_s"]) == segment.start_s
            for name in ("log_mel", "mfcc"):
                assert example[name].numpy().tobytes() == segment.features[name].tobytes()
                assert example[name].shape == segment.features[name].shape
            num_examples += 1
    assert num_examples == builder.info.splits.total_num_examples == 16 * 4


def test_no_artist_is_in_two_splits_and_every_track_is_there_once(prepared):
    tracks = json_lines(prepared / "tracks.jsonl")
    assert len({track["track_id"] for track in tracks}) == len(tracks) == 16
    sides = {(track["group"], track["split"]) for track in tracks}
    assert len(sides) == len({group for group, _ in sides}) == 8
    assert {(track["label"], track["split"]) for track in tracks} == {
        (label, split) for label in ("genre0", "genre1") for split in ("train", "validation", "test")
    }


def test_the_directory_holds_the_documented_files_and_no_others(prepared):
    names = {path.name for path in prepared.iterdir()}
    shards = {name for name in names if ".tfrecord-" in name}
    assert Counter(name.split(".")[0] for name in shards) == {"mine-train": 2, "mine-validation": 2, "mine-test": 2}
    assert names - shards == {
        *(name.replace(".tfrecord-", ".index-") for name in shards),
        "_SUCCESS",
        "dataset_info.json",
        "duplicates.jsonl",
        "features.json",
        "label.labels.txt",
        "prepare.yaml",
        "rejects.jsonl",
        "stats.json",
        "tracks.jsonl",
    }
    described = yaml.safe_load((prepared / "prepare.yaml").read_text())
    assert described["config"]["segment"]["duration_s"] == 1.0
    assert described["fingerprint"] == json.loads((prepared / "_SUCCESS").read_text())["fingerprint"]
    assert {"librosa", "soundfile", "libsndfile", "soxr"} <= described["versions"].keys()


@pytest.mark.parametrize(
    "runner",
    [
        DirectRunnerConfig(num_workers=1, mode="in_memory"),
        DirectRunnerConfig(num_workers=3, mode="multi_threading"),
    ],
    ids=lambda runner: runner.mode,
)
def test_the_bytes_do_not_depend_on_the_runner(prepared, music, tmp_path, runner):
    prepare(config_for(music, tmp_path / "again", runner=runner))
    assert contents(tmp_path / "again") == contents(prepared)


def test_another_seed_makes_other_shards(prepared, music, tmp_path):
    prepare(config_for(music, tmp_path / "other", seed=1))
    other, first = contents(tmp_path / "other"), contents(prepared)
    assert other["mine-train.tfrecord-00000-of-00002"] != first["mine-train.tfrecord-00000-of-00002"]


def test_a_finished_directory_is_left_alone(prepared, music, capsys):
    before = {path: path.stat().st_mtime_ns for path in prepared.iterdir()}
    prepare(config_for(music, prepared))
    assert "already prepared" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in prepared.iterdir()} == before


def test_other_settings_do_not_replace_finished_data_without_overwrite(prepared, music, tmp_path):
    changes = {"segment": SegmentConfig(duration_s=2.0, hop_s=2.0), "shards": ShardConfig(min_shards=1)}
    before = contents(prepared)
    with pytest.raises(UserError, match="overwrite=true"):
        prepare(config_for(music, prepared, **changes))
    assert contents(prepared) == before
    prepare(config_for(music, prepared, overwrite=True, **changes))
    prepare(config_for(music, tmp_path / "fresh", **changes))
    assert contents(prepared) == contents(tmp_path / "fresh")


def test_what_another_command_has_prepared_in_the_meantime_is_kept(music, tmp_path, capsys, monkeypatch):
    config = config_for(music, tmp_path / "out")
    let_another_be_faster(pipeline, lambda: prepare(config), monkeypatch=monkeypatch)
    prepare(config)
    assert capsys.readouterr().out.count("already prepared") == 1
    expected = contents(tmp_path / "out")
    other = config_for(music, tmp_path / "out", shards=ShardConfig(min_shards=1))
    shutil.rmtree(tmp_path / "out")
    let_another_be_faster(pipeline, lambda: prepare(config), monkeypatch=monkeypatch)
    with pytest.raises(
        UserError, match=r"holds data prepared with other settings \(shards.min_shards was \d+ and is 1\)"
    ):
        prepare(other)
    assert contents(tmp_path / "out") == expected


@pytest.mark.parametrize("keep", ["none", "wav"])
def test_a_worker_whose_command_has_lost_the_lease_writes_no_shard_and_no_audio(music, tmp_path, monkeypatch, keep):
    let_another_take_over(tmp_path / "out", monkeypatch=monkeypatch)
    with pytest.raises(RunFailedError, match="the command that started this worker does not hold the lease of .*out"):
        prepare(config_for(music, tmp_path / "out", audio=AudioConfig(sample_rate_hz=16_000, keep=keep)))
    assert not list((tmp_path / "out").glob("*.tfrecord-*")) and not list((tmp_path / "out").rglob("*.wav"))


def test_a_folder_with_other_things_in_it_is_refused(music, tmp_path):
    (tmp_path / "documents").mkdir()
    (tmp_path / "documents" / "thesis.txt").write_text("x")
    with pytest.raises(
        UserError, match="is not empty and does not hold a finished data set: choose another output_dir$"
    ):
        prepare(config_for(music, tmp_path / "documents", overwrite=True))
    assert contents(tmp_path / "documents") == {"thesis.txt": b"x"}


def test_overwrite_recovers_whatever_is_left(music, prepared, tmp_path):
    expected = contents(prepared)
    broken = {
        "empty": lambda path: (path / "_SUCCESS").write_text(""),
        "binary": lambda path: (path / "_SUCCESS").write_bytes(b"\xff\xfe"),
        "older": lambda path: (path / "_SUCCESS").write_text('{"schema_version": 0, "fingerprint": "x"}'),
        "unfinished": lambda path: (path / "_SUCCESS").unlink(),
        "damaged": lambda path: (path / "mine-train.tfrecord-00001-of-00002").write_bytes(b"\0" * 100),
    }
    for name, spoil in broken.items():
        directory = tmp_path / name
        shutil.copytree(prepared, directory)
        spoil(directory)
        (directory / "features.json").write_text("")
        with pytest.raises(UserError, match="overwrite=true|prepare the data again"):
            prepare(config_for(music, directory))
        prepare(config_for(music, directory, overwrite=True))
        assert contents(directory) == expected


def test_an_unwritable_output_is_refused_before_any_work(music, tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="output_dir=.* cannot be written to"):
        prepare(config_for(music, tmp_path / "file" / "out"))


def test_bad_files_are_reported_and_the_good_ones_are_there(make_collection, tmp_path, write_audio, capsys):
    music = make_collection(tmp_path / "music")
    bad = music / "genre0" / "bad"
    bad.mkdir()
    (bad / "empty.mp3").write_bytes(b"")
    (bad / "text.mp3").write_text("this is a text\n" * 100)
    (bad / "zeros.wav").write_bytes(bytes(10_000))
    write_audio(bad / "one_sample.wav", duration_s=1 / 16_000)
    soundfile.write(bad / "silence.flac", [0.0] * 64_000, 16_000)
    write_audio(music / "genre1" / "odd" / "8k.wav", sample_rate_hz=8_000)
    write_audio(music / "genre1" / "odd" / "48k6.wav", sample_rate_hz=48_000, channels=6)
    whole = write_audio(tmp_path / "whole.mp3", duration_s=4.0)
    (music / "genre1" / "odd" / "truncated.mp3").write_bytes(whole.read_bytes()[: round(0.95 * whole.stat().st_size)])

    with pytest.raises(
        RunFailedError, match=r"5 of 24 tracks cannot be used \(2 undecodable, .*; the first is /.*max_"
    ):
        prepare(config_for(music, tmp_path / "out"))
    assert len(json_lines(tmp_path / "out" / "rejects.jsonl")) == 5
    assert not (tmp_path / "out" / "_SUCCESS").exists()
    built_ns = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*.tfrecord-*")}

    prepare(config_for(music, tmp_path / "out", max_reject_fraction=0.25))
    assert {path: path.stat().st_mtime_ns for path in built_ns} == built_ns

    rejects = {Path(item["track_id"]).name: item["reason"] for item in json_lines(tmp_path / "out" / "rejects.jsonl")}
    assert rejects == {
        "empty.mp3": "empty_file",
        "text.mp3": "undecodable",
        "zeros.wav": "undecodable",
        "one_sample.wav": "too_short",
        "silence.flac": "silent",
    }
    segments = {
        Path(item["track_id"]).name: item["num_segments"] for item in json_lines(tmp_path / "out" / "tracks.jsonl")
    }
    assert (segments["8k.wav"], segments["48k6.wav"], segments["truncated.mp3"]) == (4, 4, 3)
    assert "1 track decoded in part, because of damage or truncation: see " in capsys.readouterr().out
    assert segments.keys() == {"8k.wav", "48k6.wav", "truncated.mp3", "0.wav", "1.wav"}


def test_an_unexpected_exception_is_a_reject_and_is_tried_again(music, prepared, tmp_path, monkeypatch):
    expected = {path.name: path.read_bytes() for path in prepared.glob("*.tfrecord-*")}
    out = tmp_path / "again"
    original = frontend.cut_segments
    calls = []

    def fail_twice(*args, **kwargs):
        calls.append(args)
        if len(calls) in (2, 9):
            raise MemoryError
        return original(*args, **kwargs)

    monkeypatch.setattr(frontend, "cut_segments", fail_twice)
    with pytest.raises(RunFailedError, match=r"2 of 16 tracks cannot be used \(2 unexpected; .*max_reject_fraction"):
        prepare(config_for(music, out, runner=DirectRunnerConfig(num_workers=1)))
    rejects = json_lines(out / "rejects.jsonl")
    assert {(reject["stage"], reject["reason"], reject["exception"]) for reject in rejects} == {
        ("features", "unexpected", "MemoryError:")
    }
    monkeypatch.undo()
    prepare(config_for(music, out))
    assert {path.name: path.read_bytes() for path in out.glob("*.tfrecord-*")} == expected
    assert json_lines(out / "rejects.jsonl") == []


def test_turning_the_search_for_duplicates_off_keeps_the_finished_shards(music, tmp_path, monkeypatch, capsys):
    out = tmp_path / "out"
    with monkeypatch.context() as patch, pytest.raises(MemoryError):
        patch.setattr(pipeline, "check_leaks", lambda *args, **kwargs: (_ for _ in ()).throw(MemoryError()))
        prepare(config_for(music, out))
    built_ns = {path: path.stat().st_mtime_ns for path in out.glob("*.tfrecord-*")}
    assert len(built_ns) == 6
    prepare(config_for(music, out, duplicates=DuplicatesConfig(mode="off")))
    assert {path: path.stat().st_mtime_ns for path in out.glob("*.tfrecord-*")} == built_ns
    assert "kept from earlier: 6 of 6 shards" in capsys.readouterr().err


def test_turning_the_search_on_builds_shards_without_fingerprints_again(music, prepared, tmp_path, monkeypatch):
    out = tmp_path / "again"
    with monkeypatch.context() as patch, pytest.raises(MemoryError):
        patch.setattr(pipeline, "_finish", lambda *args: (_ for _ in ()).throw(MemoryError()))
        prepare(config_for(music, out, duplicates=DuplicatesConfig(mode="off")))
    prepare(config_for(music, out))
    assert contents(out) == {**contents(prepared), "prepare.yaml": (out / "prepare.yaml").read_bytes()}


def test_a_collection_without_decodable_files_fails_and_is_unfinished(tmp_path):
    for genre in ("a", "b"):
        for index in range(3):
            path = tmp_path / "music" / genre / f"{index}.mp3"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("no audio")
    with pytest.raises(RunFailedError, match=r"no track can be used \(6 undecodable; the first is .*\.mp3"):
        prepare(config_for(tmp_path / "music", tmp_path / "out"))
    assert not (tmp_path / "out" / "_SUCCESS").exists()
    assert not (tmp_path / "out" / "dataset_info.json").exists()


@pytest.mark.parametrize("damaged", ["tfrecord", "index"])
def test_shards_damaged_between_two_runs_are_built_again(music, tmp_path, monkeypatch, damaged):
    """A shard whose size, or that of whose index, is not the reported one does not count as finished."""
    config = config_for(music, tmp_path / "out")
    with monkeypatch.context() as patch, pytest.raises(MemoryError):
        patch.setattr(pipeline, "_finish", lambda *args: (_ for _ in ()).throw(MemoryError()))
        prepare(config)
    whole = {path.name: path.read_bytes() for path in (tmp_path / "out").glob("*-of-*")}
    path = next((tmp_path / "out").glob(f"mine-train.{damaged}-*"))
    path.write_bytes(path.read_bytes()[:-8])
    prepare(config)
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").glob("*-of-*")} == whole


def test_indices_have_the_ends_of_the_records(prepared):
    shards = list(prepared.glob("*.tfrecord-*"))
    for shard in shards:
        sizes = [16 + len(record.numpy()) for record in tf.data.TFRecordDataset(str(shard))]
        index = np.fromfile(prepared / shard.name.replace(".tfrecord-", ".index-"), dtype="<u8")
        assert index.tolist() == np.cumsum(sizes).tolist()
        assert index[-1] == shard.stat().st_size
    assert len(list(prepared.glob("*.index-*"))) == len(shards)


def test_tensorflow_reads_every_shard_to_its_end(prepared):
    info = json.loads((prepared / "dataset_info.json").read_text())
    for split in info["splits"]:
        lengths = [
            sum(1 for _ in tf.data.TFRecordDataset(str(path)))
            for path in sorted(prepared.glob(f"mine-{split['name']}.tfrecord-*"))
        ]
        assert lengths == [int(length) for length in split["shardLengths"]]


def test_nothing_is_composed_for_a_bucket_without_its_client(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "google.cloud.storage", None)
    music = SyntheticDatasetConfig(root=str(tmp_path / "music"))
    features = {"log_mel": LogMelConfig()}
    config = PrepareConfig(dataset=music, features=features, output_dir="gs://b/p", runner=DirectRunnerConfig())
    with pytest.raises(UserError, match=r"pip install 'beamtune\[cloud\]'"), naming_missing_extras():
        prepare(config)
    assert not (tmp_path / "music").exists()


def test_the_lease_of_a_killed_command_delays_nothing_where_nothing_is_left_to_do(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise LeaseHeldError("another command may still run")

    (tmp_path / LEASE_FILE).write_text("{}")
    monkeypatch.setattr(pipeline, "holding", refuse)
    pipeline._remove_left_build_dir(str(tmp_path))
    assert (tmp_path / LEASE_FILE).exists()
