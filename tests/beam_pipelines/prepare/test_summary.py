import io

import pytest

from beam_pipelines.datasets.config import FolderDatasetConfig
from beam_pipelines.features.config import LogMelConfig
from beam_pipelines.prepare.config import PrepareConfig
from beam_pipelines.prepare.job import FinishedBuild, PrepareJob
from beam_pipelines.prepare.shard_report import ShardReport
from beam_pipelines.prepare.summary import print_summary
from beam_pipelines.records.json_lines import Reject
from beam_pipelines.splits.assign import Assignment
from beam_pipelines.splits.resolve_duplicates import Resolution


def summary_of(labels, *, output_dir="prepared/x", rejects=()):
    report = ShardReport(
        filename="s",
        split="train",
        cache_key="f",
        num_examples=0,
        num_bytes=0,
        tracks=[],
        rejects=list(rejects),
        feature_sums={},
    )
    job = PrepareJob(
        config=PrepareConfig(
            dataset=FolderDatasetConfig(root="/music"), features={"log_mel": LogMelConfig()}, output_dir=output_dir
        ),
        tracks=[],
        official_split="",
        labels=labels,
        specs=[],
        cache_key="f",
    )
    build = FinishedBuild(
        assignment=Assignment(source="group", split_of={}, leak=None), resolution=Resolution(), reports=[report]
    )
    stream = io.StringIO()
    print_summary(job, build, left_out=[], stream=stream)
    return stream.getvalue()


@pytest.mark.parametrize("label", ["[hip-hop]", "Rock_[/]", "[/rock]", "[bold]x[/bold]", ":cat:", "\\[x]"])
def test_a_genre_is_printed_as_it_is(label):
    rows = [line.split() for line in summary_of([label]).splitlines()]
    assert [row for row in rows if row[1:] == ["0"]] == [[label, "0"], ["all", "0"]]


def test_a_path_and_a_reason_are_printed_as_they_are():
    reject = Reject(track_id="t", uri="t", label="x", split="train", stage="decode", reason="[/]", message="m")
    lines = summary_of(["x"], output_dir="prepared/[red]x", rejects=[reject]).splitlines()
    assert lines[-1] == "prepared: prepared/[red]x"
    assert lines[-2] == "1 track rejected (1 [/]): see prepared/[red]x/rejects.jsonl"
