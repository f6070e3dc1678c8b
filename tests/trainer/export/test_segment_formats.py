"""Segments of clips, child processes, and the formats that hold one segment."""

import json
import os
import signal
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
from scipy.special import softmax

from beam_pipelines.common.errors import RunFailedError, UserError
from trainer.evaluation.inference import Inference
from trainer.export import segment_formats
from trainer.export.child_process import run_python
from trainer.export.clip_segments import join_segments, segments_of_clip
from trainer.export.config import ExportConfig
from trainer.export.export import export
from trainer.export.reference_clips import ReferenceClip
from trainer.export.segment_formats import check_can_be_written, track_probabilities
from trainer.export.segment_model import segment_rate_hz
from trainer.metrics.calibration import Calibration
from trainer.runs.run_dir import RunDir
from trainer.training.config import TrainConfig

RATE_HZ = 8000


def noise_clip(duration_s: float, *, rate_hz: int = 11_025, seed: int = 0) -> ReferenceClip:
    samples = np.random.default_rng(seed).normal(0, 0.1, round(duration_s * rate_hz)).astype(np.float32)
    samples[: len(samples) // 3] = 0.0  # silent segments are left out
    return ReferenceClip("noise", samples, rate_hz)


@pytest.mark.parametrize("duration_s", [0.3, 1.0, 3.3])
def test_segments_are_those_whose_features_predict_computes(shared_config: TrainConfig, duration_s: float) -> None:
    clip, settings = noise_clip(duration_s), RunDir(shared_config.run_dir).prepare_yaml()
    front_end = settings.front_end()
    expected = front_end.process_samples(clip.samples[:, None], sample_rate_hz=clip.sample_rate_hz).segments
    segments = segments_of_clip(clip, settings, rate_hz=RATE_HZ)
    assert (len(segments), segments.dtype) == (len(expected), np.float32)
    for segment, of_predict in zip(segments, expected, strict=True):
        [found] = front_end.process_samples(segment[:, None], sample_rate_hz=RATE_HZ).segments
        np.testing.assert_array_equal(found.features["log_mel"], of_predict.features["log_mel"])


def test_silence_has_no_segments(shared_config: TrainConfig) -> None:
    silence = ReferenceClip("silence", np.zeros(9000, np.float32), RATE_HZ)
    settings = RunDir(shared_config.run_dir).prepare_yaml()
    joined, counts = join_segments([silence, noise_clip(1.0), silence], settings, rate_hz=RATE_HZ)
    assert (counts, joined.shape) == ([0, 2, 0], (2, 4000))


def test_tracks_have_the_mean_of_what_the_network_gives() -> None:
    logits = np.random.default_rng(0).normal(size=(7, 4))
    of_segments = softmax(logits / 0.4, axis=1)
    expected = softmax(np.log(softmax(logits, axis=1).mean(axis=0)) / 1.7)
    found = track_probabilities(of_segments, Calibration(segment=0.4, track=1.7, num_tracks=9))
    np.testing.assert_allclose(found, expected, rtol=1e-9)  # type: ignore[arg-type]
    np.testing.assert_array_equal(track_probabilities(of_segments, None), of_segments.mean(axis=0))
    assert track_probabilities(of_segments[:0], None) is None


def test_a_child_process_that_fails_or_crashes_is_a_reason(tmp_path: Path) -> None:
    assert run_python(["-c", "print('a')"]) is None
    assert run_python(["-c", "raise ValueError('no such\\noperation')"]) == "operation"
    assert run_python(["-c", "import sys; sys.exit(3)"]) == "it ended with exit code 3"
    crash = f"import os; os.kill(os.getpid(), {int(signal.SIGABRT)})"
    assert run_python(["-c", crash]) == "it crashed with SIGABRT"


def test_what_cannot_be_written_is_said_first(monkeypatch: pytest.MonkeyPatch) -> None:
    one_rate: Any = SimpleNamespace(graph_features=SimpleNamespace(rate_hz_of={"a": 8000, "b": 8000}))
    monkeypatch.setattr(segment_formats, "find_spec", lambda name: None if name == "tf2onnx" else name)
    check_can_be_written(["saved_model", "tflite"], one_rate)
    with pytest.raises(UserError, match=r"this needs tf2onnx, which is not installed: pip install 'beamtune\[onnx\]'"):
        check_can_be_written(["onnx"], one_rate)
    two_rates: Any = SimpleNamespace(rate_hz_of={"log_mel": 22_050, "yamnet": 16_000})
    with pytest.raises(UserError, match="takes features of audio at 16000 and 22050 Hz, and a segment has one rate"):
        segment_rate_hz(two_rates)


def test_int8_needs_audio_of_the_train_split(shared_config: TrainConfig, tmp_path: Path) -> None:
    config = ExportConfig(output_dir=str(tmp_path / "export"), formats=["tflite_int8"])
    with pytest.raises(UserError, match="tflite_int8 measures the ranges of values on audio of the train split, and"):
        export(shared_config.run_dir, config, stream=sys.stdout)
    assert not (tmp_path / "export").exists()


def test_a_model_that_is_not_converted_is_an_error_with_the_reason(
    shared_config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segment_formats, "run_python", lambda arguments: "it crashed with SIGSEGV")
    config = ExportConfig(output_dir=str(tmp_path / "export"), formats=["tflite"])
    with pytest.raises(
        RunFailedError, match=r"^cnn2d cannot be converted to tflite \(it crashed with SIGSEGV\): leave"
    ):
        export(shared_config.run_dir, config, stream=sys.stdout)


@pytest.mark.slow  # two converters in processes of their own
def test_files_of_tensorflow_lite_are_checked_and_hold_the_signature(
    finished: TrainConfig, music: Path, tmp_path: Path
) -> None:
    for number in range(4):
        soundfile.write(music / f"train{number}.mp3", noise_clip(2.0, seed=number).samples, 11_025, format="WAV")
    output_dir, formats = tmp_path / "export", ["tflite", "tflite_dynamic", "tflite_int8"]
    with (tmp_path / "table.txt").open("w") as stream:
        export(finished.run_dir, ExportConfig(output_dir=str(output_dir), formats=formats), stream=stream)
    report = json.loads((output_dir / "export.json").read_text())["formats"]
    for name, limit in zip(formats, (2e-3, 0.2, 0.2), strict=True):
        clips = {clip["name"]: clip for clip in report[name]["clips"]}
        assert set(clips) == {*(f"train{number}.mp3" for number in range(4)), "noise", "sine of 440 Hz", "silence"}
        assert clips["silence"]["is_silent"]
        assert report[name]["largest_difference"] <= limit
        accuracy = report[name]["accuracy"]
        assert accuracy["num_clips"] == 4
        assert accuracy["lost"] == accuracy["of_predict"] - accuracy["of_format"]
        same = report[name]["same_top_genre"]
        assert same["share"] == sum(clip["same_top_genre"] for clip in clips.values()) / 7
        assert same["interval"]["low"] <= same["share"] <= same["interval"]["high"]
    with zipfile.ZipFile(output_dir / "model.tflite") as archive:
        assert archive.namelist() == ["signature.json", "labels.txt"]
        signature = json.loads(archive.read("signature.json"))
        assert archive.read("labels.txt").decode() == "blues\nfunk\nwaltz\n"
    assert signature == json.loads((output_dir / "signature.json").read_text())
    waveform = {"shape": [1, 4000], "dtype": "float32", "sample_rate_hz": RATE_HZ}
    assert signature["formats"]["tflite"] == {
        "path": "model.tflite",
        "inputs": {"waveform": waveform},
        "outputs": {"probabilities": {"shape": [1, 3], "dtype": "float32"}},
    }
    calibration = Inference(finished.run_dir, batch_size=1).calibration
    assert calibration is not None
    assert signature["output"]["calibration"]["segment"] == calibration.segment
    assert os.path.getsize(output_dir / "model-int8.tflite") > 1000


@pytest.mark.slow
def test_an_onnx_file_is_checked_and_holds_the_signature(shared_config: TrainConfig, tmp_path: Path) -> None:
    for package in ("onnx", "onnxruntime", "tf2onnx"):
        pytest.importorskip(package)
    import onnx

    output_dir = tmp_path / "export"
    with (tmp_path / "table.txt").open("w") as stream:
        export(shared_config.run_dir, ExportConfig(output_dir=str(output_dir), formats=["onnx"]), stream=stream)
    report = json.loads((output_dir / "export.json").read_text())["formats"]["onnx"]
    assert report["largest_difference"] <= 2e-3
    properties = {entry.key: entry.value for entry in onnx.load(output_dir / "model.onnx").metadata_props}
    assert set(properties) == {"signature.json", "labels.txt"}
    assert json.loads(properties["signature.json"])["formats"]["onnx"]["inputs"]["waveform"]["shape"] == [None, 4000]
