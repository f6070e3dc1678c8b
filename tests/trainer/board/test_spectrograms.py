"""The drawn feature and the audio samples, as recorded in `prepare.yaml`."""

from dataclasses import asdict
from pathlib import Path

import librosa
import numpy as np
import pytest
import yaml

from beam_pipelines.audio.config import AudioConfig, SegmentConfig
from beam_pipelines.common.errors import UserError
from beam_pipelines.features import musicnn_log_mel, yamnet_log_mel
from beam_pipelines.features.config import (
    LogMelConfig,
    MfccConfig,
    MusicnnLogMelConfig,
    SpectralStatsConfig,
    WaveformConfig,
    YamnetLogMelConfig,
)
from beam_pipelines.records.schema import DatasetInfo, DatasetStats, FeatureSpec
from trainer.board.spectrograms import Samples, read_preparation
from trainer.data.prepared import PreparedData

CONFIGS = {
    "cepstra": MfccConfig(n_fft=512, hop_length=256),
    "vector": SpectralStatsConfig(),
    "yamnet": YamnetLogMelConfig(),
    "musicnn": MusicnnLogMelConfig(),
    "bands": LogMelConfig(n_fft=512, hop_length=160),
    "samples": WaveformConfig(),
}
SPECS = {
    "cepstra": FeatureSpec("cepstra", (94, 20), "float16"),
    "vector": FeatureSpec("vector", (74,), "float32"),
    "yamnet": FeatureSpec("yamnet", (288, 64), "float16"),
    "musicnn": FeatureSpec("musicnn", (187, 96), "float16"),
    "bands": FeatureSpec("bands", (151, 128), "float16"),
    "samples": FeatureSpec("samples", (24_000,), "int16"),
}


def prepared(directory: Path, names: list[str]) -> PreparedData:
    config = {
        "audio": asdict(AudioConfig(sample_rate_hz=8000, keep="wav")),
        "segment": asdict(SegmentConfig(duration_s=3.0)),
        "features": {name: asdict(CONFIGS[name]) for name in names},
    }
    (directory / "prepare.yaml").write_text(yaml.safe_dump({"config": config}))
    stats = DatasetStats("group", None, {}, {}, {}, {})
    specs = {name: SPECS[name] for name in names}
    return PreparedData(str(directory), "f", DatasetInfo("mine", ()), specs, ("a", "b"), stats)


@pytest.mark.parametrize(
    ("names", "drawn"),
    [
        (["cepstra", "vector", "yamnet", "bands"], "bands"),
        (["cepstra", "yamnet"], "yamnet"),
        (["cepstra", "musicnn"], "musicnn"),
        (["vector", "cepstra"], "cepstra"),
        (["vector", "samples"], None),
    ],
)
def test_a_log_mel_is_drawn_before_yamnets_and_that_before_a_cepstrum(tmp_path, names, drawn):
    spectrogram = read_preparation(prepared(tmp_path, names)).spectrogram
    assert (None if spectrogram is None else spectrogram.spec) == (None if drawn is None else SPECS[drawn])


@pytest.mark.parametrize(("name", "frame_s"), [("bands", 160 / 8000), ("cepstra", 256 / 8000), ("yamnet", 0.01)])
def test_frames_have_their_hop(tmp_path, name, frame_s):
    assert read_preparation(prepared(tmp_path, [name])).spectrogram.frame_s == pytest.approx(frame_s)


def test_bands_have_their_frequencies_and_cepstra_have_none(tmp_path):
    def frequencies_hz(name):
        return read_preparation(prepared(tmp_path, [name])).spectrogram.frequencies_hz

    bands = librosa.mel_frequencies(130, fmin=0.0, fmax=4000.0)[1:-1]
    np.testing.assert_allclose(frequencies_hz("bands"), bands)
    assert frequencies_hz("yamnet") == yamnet_log_mel.band_centres()
    assert frequencies_hz("musicnn") == musicnn_log_mel.band_centres()
    assert frequencies_hz("cepstra") == ()


def test_samples_have_the_rate_of_the_audio(tmp_path):
    preparation = read_preparation(prepared(tmp_path, ["bands", "samples"]))
    assert preparation.samples == Samples(SPECS["samples"], 8000)
    assert (preparation.segment_duration_s, preparation.audio.keep) == (3.0, "wav")
    assert read_preparation(prepared(tmp_path, ["bands"])).samples is None


@pytest.mark.parametrize("text", ["", "config: {}", "config: {audio: 3}", "[", "config: {audio: {}, segment: {}}"])
def test_a_damaged_prepare_yaml_is_an_error(tmp_path, text):
    data = prepared(tmp_path, ["bands"])
    (tmp_path / "prepare.yaml").write_text(text)
    with pytest.raises(UserError, match=r"prepare.yaml is damaged"):
        read_preparation(data)


def test_a_missing_prepare_yaml_is_an_error(tmp_path):
    data = prepared(tmp_path, ["bands"])
    (tmp_path / "prepare.yaml").unlink()
    with pytest.raises(UserError, match=r"prepare.yaml cannot be read"):
        read_preparation(data)
