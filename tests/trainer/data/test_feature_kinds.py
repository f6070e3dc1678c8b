"""What the values of features are, from the record of their preparation."""

from pathlib import Path

import pytest
import yaml

from beam_pipelines.common.errors import UserError
from beam_pipelines.records.schema import FeatureSpec
from trainer.data.feature_kinds import Scale, SoundFeature, sound_features
from trainer.data.prepared import open_prepared


def test_the_kinds_of_features_come_from_their_preparation(prepared_dir: Path) -> None:
    path = prepared_dir / "prepare.yaml"
    content = yaml.safe_load(path.read_text())
    content["config"]["segment"] = {"duration_s": 3.0, "hop_s": 3.0}
    content["config"]["audio"] = {"sample_rate_hz": 16_000}
    content["config"]["features"] = {
        "log_mel": {"kind": "log_mel"},
        "small": {"kind": "mfcc", "n_mels": 40, "hop_length": 256, "sample_rate_hz": 8000},
        "waveform": {"kind": "waveform", "dtype": "int16"},
        "yamnet_log_mel": {"kind": "yamnet_log_mel"},
        "yamnet": {"kind": "yamnet"},
        "musicnn_log_mel": {"kind": "musicnn_log_mel"},
        "musicnn": {"kind": "musicnn"},
        "stats": {"kind": "spectral_stats", "dtype": "float32"},
    }
    path.write_text(yaml.safe_dump(content))
    shapes = {
        "log_mel": (94, 128),
        "small": (94, 20),
        "waveform": (48_000,),
        "yamnet_log_mel": (336, 64),
        "yamnet": (6, 1024),
        "musicnn_log_mel": (187, 96),
        "musicnn": (1, 200),
        "stats": (100,),
    }
    specs = [FeatureSpec(name, shape, "float16") for name, shape in shapes.items()]
    data = open_prepared(str(prepared_dir))
    assert sound_features(data, specs) == {
        "log_mel": SoundFeature(Scale.DECIBEL, 94, 93.75, 128),
        "small": SoundFeature(Scale.CEPSTRUM, 94, 93.75, 40),
        "waveform": SoundFeature(Scale.SAMPLE, 48_000, 48_000),
        # The last window that ends within 3 s begins at 2.97 s.
        "yamnet_log_mel": SoundFeature(Scale.YAMNET_LOG, 298, 300.0),
        "musicnn_log_mel": SoundFeature(Scale.MUSICNN_LOG, 187, 187.5),
    }

    del content["config"]["segment"]
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(
        UserError, match=r"prepare\.yaml is damaged \(segment is missing or not a mapping\): prepare the data again"
    ):
        sound_features(data, specs)
    path.unlink()
    with pytest.raises(UserError, match=r"prepare\.yaml cannot be read"):
        sound_features(data, specs)
