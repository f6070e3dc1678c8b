"""Beam's counters and distributions of a conversion."""

import apache_beam as beam
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from beam_pipelines.convert.config import ConvertConfig
from beam_pipelines.convert.conversions import make_batches, make_plan
from beam_pipelines.convert.pipeline import build_pipeline, list_sources
from beam_pipelines.convert.work_dir import WorkDir
from beam_pipelines.runners.config import DirectRunnerConfig


def test_a_finished_pipeline_reports_counters_and_distributions(write_audio, tmp_path):
    files = [
        write_audio(tmp_path / "in/a.mp3", duration_s=2.0),
        write_audio(tmp_path / "in/b.flac", duration_s=1.5, sample_rate_hz=8_000),
        write_audio(tmp_path / "in/c.wav", duration_s=0.5),
    ]
    (tmp_path / "in/text.mp3").write_text("no audio")
    config = ConvertConfig(source=str(tmp_path / "in"), output_dir=str(tmp_path / "out"), runner=DirectRunnerConfig())
    work_dir = WorkDir(config.output_dir)
    plan = make_plan(list_sources(config), extension="wav", converted=[], outputs={})
    work_dir.start(plan, settings=config.settings)
    pipeline = beam.Pipeline(FnApiRunner())
    build_pipeline(pipeline, batches=make_batches(plan.missing, num_workers=1), config=config)
    found = pipeline.run().metrics().query()
    counters = {metric.key.metric.name: metric.result for metric in found["counters"]}
    assert abs(counters.pop("audio_ms") - 4000) <= 100  # mp3 adds a delay
    assert counters == {"files": 3, "reject_undecodable": 1}
    distributions = {metric.key.metric.name: metric.result for metric in found["distributions"]}
    assert {name: result.count for name, result in distributions.items()} == {
        "decode_ms": 3,
        "encode_ms": 3,
        "clip_bytes": 3,
    }
    assert distributions["clip_bytes"].sum == sum(path.stat().st_size for path in files)
