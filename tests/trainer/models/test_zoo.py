"""`beamtune models`: the table, and the shapes that it is for."""

import io

import pytest

from beam_pipelines.audio.config import SegmentConfig
from beam_pipelines.download import yamnet_weights
from beam_pipelines.features.config import FEATURE_CONFIGS
from configs.cli import main
from trainer.models.registry import MODELS
from trainer.models.zoo import list_models, typical_specs
from trainer.models.zoo_config import ZooConfig


def test_typical_data_have_every_feature():
    specs = typical_specs(ZooConfig())
    assert {name: (spec.shape, spec.dtype) for name, spec in specs.items()} == {
        "log_mel": ((94, 128), "float16"),
        "mfcc": ((94, 20), "float16"),
        "waveform": ((48_000,), "int16"),
        "spectral_stats": ((100,), "float32"),
        "yamnet_log_mel": ((336, 64), "float16"),
        "yamnet": ((6, 1024), "float16"),
    }
    assert specs.keys() == FEATURE_CONFIGS.keys()
    longer = typical_specs(ZooConfig(segment_duration_s=5.0, sample_rate_hz=22_050))
    assert (longer["waveform"].shape, longer["yamnet"].shape[0]) == ((110_250,), 10)


def test_the_default_segment_is_that_of_prepare():
    assert ZooConfig().segment_duration_s == SegmentConfig().duration_s


def test_every_model_has_a_row_and_nothing_is_downloaded(monkeypatch: pytest.MonkeyPatch, capsys):
    def refuse(*_, **__):
        raise AssertionError("a download")

    monkeypatch.setattr(yamnet_weights, "download_file", refuse)
    monkeypatch.setattr("keras.src.utils.file_utils.get_file", refuse)
    assert main(["models", "num_genres=7"]) == 0
    title, header, *rows, hint = capsys.readouterr().out.splitlines()
    assert title.strip() == "models for 7 genres, segments of 3 s and 16000 Hz"
    assert header.split() == ["model", "parameters", "trainable", "takes", "what", "it", "is"]
    assert [row.split()[0] for row in rows] == list(MODELS)
    assert rows[0].split()[:3] == ["cnn2d", "69,463", "69,111"]
    assert all(entry.summary in row for entry, row in zip(MODELS.values(), rows, strict=True))
    assert "model=NAME" in hint


def test_a_stream_that_is_no_terminal_has_a_model_a_line(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("trainer.models.zoo.MODELS", {"parallel": MODELS["parallel"]})
    stream = io.StringIO()
    list_models(ZooConfig(), stream=stream)
    assert len(stream.getvalue().splitlines()) == 4
    assert "log_mel (94, 128), mfcc (94, 20)  several features, a branch each, joined" in stream.getvalue()
