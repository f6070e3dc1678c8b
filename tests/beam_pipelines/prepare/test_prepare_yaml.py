import hashlib
import io
from dataclasses import replace

import numpy as np
import pytest
import soundfile
import yaml

from beam_pipelines.audio.config import AudioConfig, SegmentConfig
from beam_pipelines.common.errors import UserError
from beam_pipelines.datasets.config import FolderDatasetConfig
from beam_pipelines.features.config import EmbeddingConfig, FeatureConfig, LogMelConfig, MfccConfig, WaveformConfig
from beam_pipelines.features.frontend import FrontEnd
from beam_pipelines.prepare.config import PrepareConfig, ShardConfig
from beam_pipelines.prepare.prepare_yaml import (
    PrepareYamlError,
    fold_yaml_text,
    parse_prepare_yaml,
    prepare_yaml_text,
)
from beam_pipelines.splits.config import DuplicatesConfig

CONFIG = PrepareConfig(
    output_dir="out",
    dataset=FolderDatasetConfig(name="x", root="/music/Žižkov"),
    audio=AudioConfig(sample_rate_hz=8000, keep="wav"),
    segment=SegmentConfig(duration_s=1.0, hop_s=0.5),
    duplicates=DuplicatesConfig(mode="report"),
    shards=ShardConfig(target_mib=2, min_shards=3),
    features={"mine": MfccConfig(n_fft=256, hop_length=128, n_mels=32), "samples": WaveformConfig()},
)
# Written by the first version of beamtune that looked for duplicates.
OLD_TEXT = """\
schema_version: 2
fingerprint: 5f0c
versions: {librosa: 0.11.0}
config:
  seed: 0
  dataset: {name: gtzan, root: /music}
  split: {source: auto}
  audio: {sample_rate_hz: 16000, max_duration_s: 600.0}
  segment: {duration_s: 3.0, hop_s: 3.0, silence_threshold_dbfs: -60.0}
  duplicates: {mode: 'off', max_bit_error_rate: 0.3, min_overlap_s: 5.0}
  features:
    log_mel: {kind: log_mel, dtype: float16, n_fft: 256, hop_length: 128, n_mels: 16}
  shards: {target_mib: 128, min_shards: 8}
"""


def test_what_is_written_is_read():
    text = prepare_yaml_text(CONFIG, cache_key="abc")
    read = parse_prepare_yaml(text)
    assert (read.text, read.cache_key, read.sources) == (text, "abc", {})
    assert (read.audio, read.segment, read.duplicates, read.shards) == (
        CONFIG.audio,
        CONFIG.segment,
        CONFIG.duplicates,
        CONFIG.shards,
    )
    assert read.features == CONFIG.features
    assert read.versions["soundfile"] == soundfile.__version__


def test_a_file_of_an_earlier_version_is_read():
    read = parse_prepare_yaml(OLD_TEXT)
    assert (read.cache_key, read.versions, read.sources) == ("5f0c", {"librosa": "0.11.0"}, {})
    assert read.features == {"log_mel": LogMelConfig(n_fft=256, hop_length=128, n_mels=16)}
    assert read.duplicates.mode == "off"
    assert read.audio == AudioConfig()


def test_the_front_end_is_the_one_that_prepared_the_data():
    samples = np.random.default_rng(0).normal(0, 0.1, 16_000)
    source = io.BytesIO()
    soundfile.write(source, samples, 8000, format="WAV", subtype="FLOAT")
    made = FrontEnd(audio=CONFIG.audio, segment=CONFIG.segment, features=CONFIG.features)
    read = parse_prepare_yaml(prepare_yaml_text(CONFIG, cache_key="abc")).front_end()
    assert read.specs == made.specs
    expected, found = made.process(io.BytesIO(source.getvalue())), read.process(io.BytesIO(source.getvalue()))
    assert len(expected.segments) == 3
    for one, other in zip(expected.segments, found.segments, strict=True):
        for name in CONFIG.features:
            np.testing.assert_array_equal(one.features[name], other.features[name])


@pytest.mark.parametrize("name", CONFIG.features)
def test_the_front_end_of_one_feature_computes_the_same_bits_as_that_of_all(name):
    features = {**CONFIG.features, "slow": WaveformConfig(sample_rate_hz=4000)}
    samples = np.random.default_rng(0).normal(0, 0.1, 22_050)
    source = io.BytesIO()
    soundfile.write(source, samples, 11_025, format="WAV", subtype="FLOAT")
    read = parse_prepare_yaml(prepare_yaml_text(replace(CONFIG, features=features), cache_key="abc"))
    one, all_of_them = read.front_end([name]), read.front_end()
    assert [spec.name for spec in one.specs] == [name]
    assert [spec.name for spec in all_of_them.specs] == ["mine", "samples", "slow"]
    found, expected = (each.process(io.BytesIO(source.getvalue())).segments for each in (one, all_of_them))
    assert len(found) == 3
    for segment, whole in zip(found, expected, strict=True):
        assert list(segment.features) == [name]
        assert segment.features[name].tobytes() == whole.features[name].tobytes()


def test_a_front_end_needs_no_files_of_features_that_it_does_not_compute(tmp_path, monkeypatch):
    monkeypatch.setenv("BEAMTUNE_CACHE", str(tmp_path))  # without YAMNet's weights
    content = yaml.safe_load(OLD_TEXT)
    content["config"]["features"]["yamnet"] = {"kind": "yamnet", "dtype": "float16", "sample_rate_hz": 16000}
    content["sources"] = {"yamnet": {"weights": "0" * 64}}
    read = parse_prepare_yaml(yaml.safe_dump(content))
    assert [spec.name for spec in read.front_end(["log_mel"]).specs] == ["log_mel"]
    monkeypatch.setattr("beam_pipelines.features.yamnet.fetch_yamnet_weights", lambda path: None)
    with pytest.raises(UserError, match=r"yamnet\.h5 cannot be read"):
        read.front_end(["yamnet"])


def test_the_path_of_a_network_is_recorded_beside_the_settings(tmp_path):
    network = tmp_path / "net.onnx"
    network.write_bytes(b"network")
    embedding = EmbeddingConfig(
        path=str(network), sample_rate_hz=8000, window_s=0.5, axes=["batch", "one", "samples"], license="CC BY 4.0"
    )
    features = {"mine": LogMelConfig(), "embedding_2": embedding}
    text = prepare_yaml_text(replace(CONFIG, features=features), cache_key="abc")
    content = yaml.safe_load(text)
    assert content["paths"] == {"embedding_2": {"path": str(network)}}
    assert content["sources"] == {"embedding_2": {"network": hashlib.sha256(b"network").hexdigest()}}
    assert "path" not in content["config"]["features"]["embedding_2"]
    assert content["config"]["features"]["embedding_2"]["license"] == "CC BY 4.0"
    assert "onnxruntime" in content["versions"]
    assert parse_prepare_yaml(text).features == features
    fold = fold_yaml_text(parse_prepare_yaml(text), cache_key="new", fold={"fold": 1})
    assert parse_prepare_yaml(fold).features == features
    for paths in ({}, {"embedding_2": {"license": "x"}}, "x", {"embedding_2": "x"}):
        with pytest.raises(PrepareYamlError, match="paths|features.embedding.path is not set"):
            parse_prepare_yaml(yaml.safe_dump({**content, "paths": paths}))


def test_a_feature_of_a_later_version_can_be_read_and_not_computed():
    content = yaml.safe_load(OLD_TEXT)
    content["config"]["features"] = {"vector": {"kind": "tensor", "dtype": "float32", "layers": 12}}
    read = parse_prepare_yaml(yaml.safe_dump(content))
    assert read.features == {"vector": FeatureConfig(kind="tensor", dtype="float32")}
    with pytest.raises(UserError, match=r"features\.vector\.kind=tensor: expected one of log_mel, mfcc, "):
        read.front_end()


def test_a_fold_has_the_text_of_its_source_but_for_its_key():
    source = parse_prepare_yaml(OLD_TEXT)
    text = fold_yaml_text(source, cache_key="new", fold={"fold": 2})
    assert yaml.safe_load(text) == {**yaml.safe_load(OLD_TEXT), "fingerprint": "new", "fold": {"fold": 2}}
    assert list(yaml.safe_load(text)) == ["schema_version", "fingerprint", "versions", "config", "fold"]
    assert replace(parse_prepare_yaml(text), text=OLD_TEXT, cache_key="5f0c") == source


def without(*path):
    content = yaml.safe_load(OLD_TEXT)
    parent = content
    for key in path[:-1]:
        parent = parent[key]
    del parent[path[-1]]
    return yaml.safe_dump(content)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected a mapping with the entry config"),
        ("- 1", "expected a mapping with the entry config"),
        ("[", "not YAML: "),
        ("\0", "not YAML: "),
        ("[" * 100_000, "not YAML: "),
        ("config: 3", "config is missing or not a mapping"),
        (without("config", "audio"), "audio is missing or not a mapping"),
        (without("config", "segment"), "segment is missing or not a mapping"),
        (without("config", "features"), "features is missing or not a mapping"),
        (without("config", "features", "log_mel", "kind"), "config.features.log_mel has no kind"),
        (OLD_TEXT.replace("hop_s: 3.0", "hop_s: -1"), "config.segment: segment.hop_s=-1: expected a hop from"),
        (OLD_TEXT.replace("hop_s: 3.0", "hops: 3.0"), "config.segment: .*unexpected keyword argument 'hops'"),
        (OLD_TEXT.replace("16000", "fast"), "config.audio: '<=' not supported"),
        (OLD_TEXT.replace("kind: log_mel", "kind: [log_mel]"), "config.features.log_mel has no kind"),
        (OLD_TEXT.replace("n_mels: 16", "n_mels: 0"), "config.features.log_mel: features.log_mel.n_mels=0: expected"),
        (OLD_TEXT.replace("  duplicates: {", "  duplicates: 5 #{"), "config.duplicates: "),
    ],
)
def test_a_damaged_file_is_refused_with_the_entry(text, message):
    with pytest.raises(PrepareYamlError, match=message) as caught:
        parse_prepare_yaml(text)
    assert "\n" not in str(caught.value)
