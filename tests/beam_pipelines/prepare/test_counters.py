"""Beam's counters and distributions of a preparation."""

import apache_beam as beam
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from beam_pipelines.audio.config import SegmentConfig
from beam_pipelines.datasets.config import FolderDatasetConfig
from beam_pipelines.datasets.track import Track
from beam_pipelines.features.config import LogMelConfig
from beam_pipelines.prepare.build_dir import BuildDir
from beam_pipelines.prepare.config import PrepareConfig
from beam_pipelines.prepare.pipeline import build_pipeline
from beam_pipelines.prepare.plan import ShardPlan
from beam_pipelines.runners.config import DirectRunnerConfig


def test_a_finished_pipeline_reports_counters_and_distributions(write_audio, tmp_path):
    paths = [
        write_audio(tmp_path / "a.wav", duration_s=2.5),
        write_audio(tmp_path / "b.flac", duration_s=1.0),
        tmp_path / "text.mp3",
        write_audio(tmp_path / "c.wav", duration_s=1.25),
        tmp_path / "absent.wav",
        write_audio(tmp_path / "short.wav", duration_s=0.5),
    ]
    paths[2].write_text("no audio")
    tracks = [Track(track_id=path.name, uri=str(path), label="a", group=path.name, size_bytes=0) for path in paths]
    plans = [
        ShardPlan(filename=name, split="train", tracks=tuple(part), cache_key="k")
        for name, part in (("s1", tracks[:3]), ("s2", tracks[3:]))
    ]
    config = PrepareConfig(
        output_dir=str(tmp_path / "out"),
        dataset=FolderDatasetConfig(root=str(tmp_path / "music")),
        segment=SegmentConfig(duration_s=1.0, hop_s=1.0),
        features={"log_mel": LogMelConfig(n_mels=32)},
        runner=DirectRunnerConfig(),
    )
    BuildDir(config.output_dir).start(keep_shards=[])
    pipeline = beam.Pipeline(FnApiRunner())
    build_pipeline(pipeline, plans=plans, config=config, labels=["a"])
    found = pipeline.run().metrics().query()
    assert {metric.key.metric.name: metric.result for metric in found["counters"]} == {
        "tracks": 3,
        "segments": 4,
        "audio_ms": 4750,
        "reject_undecodable": 1,
        "reject_missing": 1,
        "reject_too_short": 1,
    }
    distributions = {metric.key.metric.name: metric.result for metric in found["distributions"]}
    assert {metric.key.metric.namespace for kind in found.values() for metric in kind} == {"prepare"}
    assert {name: result.count for name, result in distributions.items()} == {
        "decode_ms": 3,
        "feature_ms": 3,
        "clip_bytes": 3,
    }
    sizes = [paths[index].stat().st_size for index in (0, 1, 3)]
    clip_bytes = distributions["clip_bytes"]
    assert (clip_bytes.sum, clip_bytes.min, clip_bytes.max) == (sum(sizes), min(sizes), max(sizes))
