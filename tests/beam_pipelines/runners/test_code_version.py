"""Workers that run other code, or other libraries, than the process that started them."""

import importlib.metadata
from dataclasses import replace

import pytest
import soundfile

from beam_pipelines.audio.config import AudioConfig
from beam_pipelines.common.errors import RunFailedError, UserError
from beam_pipelines.convert import pipeline as convert_pipeline
from beam_pipelines.convert.config import ConvertConfig
from beam_pipelines.datasets.config import FolderDatasetConfig
from beam_pipelines.features.config import LogMelConfig, YamnetConfig
from beam_pipelines.features.library_versions import library_versions
from beam_pipelines.prepare import shard_dofn
from beam_pipelines.prepare.config import PrepareConfig
from beam_pipelines.runners import code_version as module
from beam_pipelines.runners.code_version import CodeVersion, code_version, hash_sources, require_same_code

CONFIG = PrepareConfig(
    output_dir="out",
    dataset=FolderDatasetConfig(root="music"),
    audio=AudioConfig(sample_rate_hz=16_000),
    features={"log_mel": LogMelConfig()},
)


def make_steps():
    return [shard_dofn.BuildShard(CONFIG, ["rock"]), convert_pipeline.ConvertFiles(ConvertConfig("in", "out"))]


@pytest.mark.parametrize("changes", [{"version": "0.0.9"}, {"source_hash": "0123456789abcdef"}])
def test_a_worker_with_other_code_is_refused_in_one_line(monkeypatch, changes):
    steps = make_steps()
    stale = replace(code_version(), **changes)
    monkeypatch.setattr(module, "code_version", lambda: stale)
    for step in steps:
        with pytest.raises(RunFailedError) as caught:
            step.setup()
        assert str(caught.value) == (
            f"a worker runs beamtune {stale.version} (source {stale.source_hash}), and the command that started it "
            f"beamtune {code_version().version} (source {code_version().source_hash}): install the same beamtune on "
            "the workers, e.g. build their image again"
        )


def test_a_worker_with_the_same_code_starts():
    require_same_code(code_version())
    for step in make_steps():
        step.setup()


def test_a_worker_with_other_libraries_is_refused_in_one_line(monkeypatch):
    step = shard_dofn.BuildShard(CONFIG, ["rock"])
    here = library_versions(CONFIG.features)
    installed = importlib.metadata.version

    def version(name):
        if name == "scipy":
            raise importlib.metadata.PackageNotFoundError(name)
        return "1.2.3" if name == "soxr" else installed(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    monkeypatch.setattr(soundfile, "__libsndfile_version__", "1.0.0")
    with pytest.raises(RunFailedError) as caught:
        step.setup()
    assert str(caught.value) == (
        "a worker has other libraries than the command that started it, and the shards depend on them: "
        f"scipy none instead of {here['scipy']}, soxr 1.2.3 instead of {here['soxr']}, "
        f"libsndfile 1.0.0 instead of {here['libsndfile']}; "
        "install the same versions on the workers, e.g. build their image again"
    )


@pytest.mark.parametrize("kind", [LogMelConfig, YamnetConfig])
def test_a_worker_compares_just_the_libraries_of_the_features(monkeypatch, kind):
    monkeypatch.setattr(shard_dofn, "source_hashes", lambda features: {})
    monkeypatch.setattr(shard_dofn, "ShardBuilder", lambda config, **arguments: None)
    step = shard_dofn.BuildShard(replace(CONFIG, features={"one": kind()}), ["rock"])
    step.setup()
    installed = importlib.metadata.version
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "0" if name == "tensorflow" else installed(name))
    if kind is LogMelConfig:
        step.setup()
        return
    with pytest.raises(RunFailedError, match="tensorflow 0 instead of "):
        step.setup()


def test_a_worker_with_other_weights_is_refused(monkeypatch):
    launcher = {"yamnet": {"weights": "a" * 64}}
    monkeypatch.setattr(shard_dofn, "source_hashes", lambda features: launcher)
    built = []

    def refuse(config, **arguments):
        built.append(arguments["recorded_sources"])
        raise UserError("other weights")

    step = shard_dofn.BuildShard(CONFIG, ["rock"])
    monkeypatch.setattr(shard_dofn, "ShardBuilder", refuse)
    with pytest.raises(UserError, match="other weights"):
        step.setup()
    assert built == [launcher]


def test_the_hash_covers_names_and_contents_of_python_files_alone(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "one.py").write_text("x = 1\n")
    (tmp_path / "two.py").write_text("y = 2\n")
    first = hash_sources(tmp_path)
    (tmp_path / "notes.txt").write_text("no code")
    (tmp_path / "a" / "one.pyc").write_bytes(b"compiled")
    assert hash_sources(tmp_path) == first
    (tmp_path / "two.py").write_text("y = 3\n")
    assert hash_sources(tmp_path) != first
    (tmp_path / "two.py").rename(tmp_path / "three.py")
    (tmp_path / "three.py").write_text("y = 2\n")
    assert hash_sources(tmp_path) != first


def test_the_version_is_that_of_this_source():
    found = code_version()
    assert isinstance(found, CodeVersion) and len(found.source_hash) == 16
