import hashlib

import numpy as np
import pytest
import yaml
from prepared_data import track_record

from beam_pipelines.datasets.config import FolderDatasetConfig
from beam_pipelines.features.config import FEATURE_CONFIGS, YamnetConfig
from beam_pipelines.prepare.config import PrepareConfig
from beam_pipelines.prepare.job import FinishedBuild, PrepareJob
from beam_pipelines.prepare.metadata import dataset_info, dataset_stats, metadata_files
from beam_pipelines.prepare.shard_report import RunningSums, ShardReport
from beam_pipelines.records.schema import SplitInfo
from beam_pipelines.splits.assign import Assignment
from beam_pipelines.splits.resolve_duplicates import Resolution


def record(track_id, *, split, label, num_segments):
    return track_record(track_id, split=split, group="g", label=label, num_segments=num_segments, duration_s=4.0)


def report(split, index, tracks, values):
    sums = RunningSums()
    if values is not None:
        sums.add(values)
    return ShardReport(
        filename=f"x-{split}.tfrecord-{index:05d}-of-00002",
        split=split,
        cache_key="f",
        num_examples=sum(track.num_segments for track in tracks),
        num_bytes=10,
        tracks=tracks,
        rejects=[],
        feature_sums={} if values is None else {"log_mel": sums.result()},
    )


BY_GROUP = Assignment(source="group", split_of={}, leak="who knows")
TRAIN = np.random.default_rng(0).normal([10, -50, 0], [1, 20, 0], (40, 3))
REPORTS = [
    report("train", 0, [record("1", split="train", label="jazz", num_segments=2)], TRAIN[:30]),
    report("train", 1, [record("2", split="train", label="rock", num_segments=1)], TRAIN[30:]),
    report("test", 0, [record("3", split="test", label="rock", num_segments=4)], np.full((9, 3), 1e6)),
    report("test", 1, [], None),
]


def test_statistics_are_those_of_the_train_split_alone():
    stats = dataset_stats(REPORTS, labels=["jazz", "rock"], segment_duration_s=3.0, assignment=BY_GROUP)
    band = stats.features["log_mel"]
    assert band.num_frames == 40
    np.testing.assert_allclose(band.mean, TRAIN.mean(axis=0), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(band.std, TRAIN.std(axis=0), rtol=1e-9, atol=1e-9)


def test_tracks_segments_and_seconds_are_counted_by_split_and_genre():
    stats = dataset_stats(REPORTS, labels=["jazz", "rock"], segment_duration_s=3.0, assignment=BY_GROUP)
    assert (stats.split_source, stats.split_leak) == ("group", "who knows")
    assert stats.num_tracks == {
        "train": {"jazz": 1, "rock": 1},
        "validation": {"jazz": 0, "rock": 0},
        "test": {"jazz": 0, "rock": 1},
    }
    assert stats.num_segments["test"] == {"jazz": 0, "rock": 4}
    assert stats.audio_s == {"train": 9.0, "validation": 0.0, "test": 12.0}


def test_info_lists_the_shards_of_the_splits_that_have_some():
    info = dataset_info(REPORTS, name="x")
    assert info.splits == (
        SplitInfo(name="train", shard_lengths=(2, 1), num_bytes=20),
        SplitInfo(name="test", shard_lengths=(4, 0), num_bytes=20),
    )


def prepare_yaml(weights_path):
    config = PrepareConfig(
        output_dir="out",
        dataset=FolderDatasetConfig(name="x", root="/music"),
        features={"mine": YamnetConfig(weights_path=str(weights_path))},
    )
    job = PrepareJob(
        config=config, tracks=[], official_split="official", labels=["jazz", "rock"], specs=[], cache_key="f"
    )
    build = FinishedBuild(assignment=BY_GROUP, resolution=Resolution(), reports=REPORTS)
    files = metadata_files(job, build, left_out=[])
    return "".join(files["prepare.yaml"])


def test_prepare_yaml_holds_what_weights_are_and_not_where(tmp_path):
    here, there = tmp_path / "here.h5", tmp_path / "there.h5"
    for path in (here, there):
        path.write_bytes(b"weights")
    text = prepare_yaml(here)
    assert text == prepare_yaml(there)
    content = yaml.safe_load(text)
    assert content["sources"] == {"mine": {"weights": hashlib.sha256(b"weights").hexdigest()}}
    assert content["config"]["features"] == {"mine": {"kind": "yamnet", "dtype": "float16", "sample_rate_hz": 16_000}}
    [values] = content["config"]["features"].values()
    assert FEATURE_CONFIGS["yamnet"](**values) == YamnetConfig()
    there.write_bytes(b"others")
    assert yaml.safe_load(prepare_yaml(there))["sources"] != content["sources"]


def test_a_band_that_never_changes_has_no_deviation():
    constant = report("train", 0, [record("1", split="train", label="jazz", num_segments=1)], np.full((7, 1), 0.1))
    stats = dataset_stats([constant], labels=["jazz"], segment_duration_s=1.0, assignment=BY_GROUP)
    assert stats.features["log_mel"].std == pytest.approx((0.0,), abs=1e-8)
