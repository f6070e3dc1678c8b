import io
from dataclasses import replace

import pytest
from prepared_data import track_record

from beam_pipelines.datasets.config import FolderDatasetConfig
from beam_pipelines.features.config import LogMelConfig, MusicnnConfig
from beam_pipelines.prepare.config import PrepareConfig
from beam_pipelines.prepare.job import FinishedBuild, PrepareJob
from beam_pipelines.prepare.shard_report import ShardReport
from beam_pipelines.prepare.summary import print_summary
from beam_pipelines.records.json_lines import Reject
from beam_pipelines.splits.assign import Assignment
from beam_pipelines.splits.resolve_duplicates import Resolution

EMPTY = ShardReport(
    filename="s",
    split="train",
    cache_key="f",
    num_examples=0,
    num_bytes=0,
    tracks=[],
    rejects=[],
    feature_sums={},
)


def track(duration_s):
    return track_record("t", split="train", group="g", label="x", num_segments=9, duration_s=duration_s)


def summary_of(labels, *, output_dir="prepared/x", reports=(EMPTY,), root="/music", features=None):
    job = PrepareJob(
        config=PrepareConfig(
            dataset=FolderDatasetConfig(root=root),
            features=features or {"log_mel": LogMelConfig()},
            output_dir=output_dir,
        ),
        tracks=[],
        official_split="",
        labels=labels,
        specs=[],
        cache_key="f",
    )
    build = FinishedBuild(
        assignment=Assignment(source="group", split_of={}, leak=None), resolution=Resolution(), reports=reports
    )
    stream = io.StringIO()
    print_summary(job, build, left_out=[], stream=stream)
    return stream.getvalue()


def test_a_network_that_has_learned_from_the_music_is_named():
    features = {"m": MusicnnConfig(variant="mtt"), "n": MusicnnConfig(variant="msd")}
    notes = [
        line for line in summary_of(["x"], root="/data/Magnatune4", features=features).splitlines() if "note" in line
    ]
    assert " ".join(notes).startswith("note: features.m: MTT_musicnn learned from MagnaTagATune")
    assert "features.n" not in summary_of(["x"], root="/data/Magnatune4", features=features)
    assert "note" not in summary_of(["x"], features=features)


@pytest.mark.parametrize("label", ["[hip-hop]", "Rock_[/]", "[/rock]", "[bold]x[/bold]", ":cat:", "\\[x]"])
def test_a_genre_is_printed_as_it_is(label):
    rows = [line.split() for line in summary_of([label]).splitlines()]
    assert [row for row in rows if row[1:] == ["0"]] == [[label, "0"], ["all", "0"]]


def test_a_path_and_a_reason_are_printed_as_they_are():
    reject = Reject(track_id="t", uri="t", label="x", split="train", stage="decode", reason="[/]", message="m")
    lines = summary_of(["x"], output_dir="prepared/[red]x", reports=[replace(EMPTY, rejects=[reject])]).splitlines()
    assert lines[-1] == "prepared: prepared/[red]x"
    assert lines[-2] == "1 track rejected (1 [/]): see prepared/[red]x/rejects.jsonl"


def test_the_time_of_a_minute_of_audio_is_that_of_the_shards_that_were_timed():
    reports = [
        replace(EMPTY, tracks=[track(30.0), track(60.0)], decode_s=1.0, feature_s=3.0),
        replace(EMPTY, tracks=[track(90.0)], decode_s=0.5, feature_s=4.5),
        replace(EMPTY, tracks=[track(600.0)]),  # built by an earlier version
    ]
    assert "0.50 s to decode a minute of audio, 2.50 s for its features\n" in summary_of(["x"], reports=reports)
    assert "minute" not in summary_of(["x"], reports=reports[2:])
