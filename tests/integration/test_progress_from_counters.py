"""The progress of whole commands on a runner that reports counters: here, one that does so when it has finished."""

from contextlib import contextmanager

import pytest
from conversions import config_for as convert_config

from beam_pipelines.audio.config import SegmentConfig
from beam_pipelines.convert.pipeline import convert
from beam_pipelines.convert.reports import Report
from beam_pipelines.datasets.config import FolderDatasetConfig
from beam_pipelines.features.config import LogMelConfig
from beam_pipelines.prepare.build_dir import BuildDir, ProgressReader
from beam_pipelines.prepare.config import PrepareConfig
from beam_pipelines.prepare.pipeline import prepare
from beam_pipelines.runners import run_pipeline
from beam_pipelines.runners.config import DirectRunnerConfig
from beam_pipelines.runners.direct import open_direct


@pytest.fixture(autouse=True)
def reporting_runner(monkeypatch):
    @contextmanager
    def open_reporting(config, *, job_name):
        with open_direct(config, job_name=job_name) as backend:
            yield backend._replace(metrics_of=lambda result: result.metrics())

    monkeypatch.setattr(run_pipeline, "open_direct", open_reporting)
    monkeypatch.setattr(DirectRunnerConfig, "reports_counters", property(lambda self: True))


def refuse(*_: object) -> None:
    raise AssertionError("progress goes through files")


def test_prepare_shows_what_the_counters_say(make_collection, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(BuildDir, "write_progress", refuse)
    monkeypatch.setattr(ProgressReader, "read", refuse)
    music = make_collection(tmp_path / "music", duration_s=2.0)
    (music / "genre0/artist00/bad.mp3").write_text("no audio")
    prepare(
        PrepareConfig(
            output_dir=str(tmp_path / "out"),
            dataset=FolderDatasetConfig(name="mine", root=str(music)),
            segment=SegmentConfig(duration_s=1.0, hop_s=1.0),
            features={"log_mel": LogMelConfig(n_mels=32)},
            max_reject_fraction=0.5,
            runner=DirectRunnerConfig(num_workers=2),
        )
    )
    *_, line = [line for line in capsys.readouterr().err.splitlines() if line.startswith("preparing: ")]
    assert line.startswith("preparing: 17/17 tracks, ")
    assert line.endswith(" s of audio per second, 1 reject")
    assert ", 0 s of audio per second" not in line


def test_convert_shows_what_the_counters_say(music, tmp_path, monkeypatch, capsys):
    (music / "bad.mp3").write_text("no audio")
    monkeypatch.setattr(Report, "progress", property(refuse))
    convert(convert_config(music, tmp_path / "out"))
    *_, line = [line for line in capsys.readouterr().err.splitlines() if line.startswith("converting: ")]
    assert line.startswith("converting: 5/5 files, ")
    assert line.endswith(" s of audio per second, 1 reject")
