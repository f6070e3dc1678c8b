"""Predictions for audio files, and errors about files that cannot be read."""

import csv
import io
import json
import os
import re
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
import yaml

from beam_pipelines.audio import windows as windows_module
from beam_pipelines.common.errors import UserError
from beam_pipelines.common.output_streams import open_text_stream
from beam_pipelines.features.frontend import Clip
from trainer.devices.strategy import StrategyConfig, make_strategy
from trainer.evaluation.config import PredictConfig
from trainer.evaluation.inference import Inference
from trainer.evaluation.predict import predict
from trainer.metrics.metrics import softmax
from trainer.runs.restored_model import load_best_model
from trainer.runs.run_dir import RunDir
from trainer.training.config import TrainConfig

RATE_HZ = 8000


def write_audio(path: Path, duration_s: float, seed: int = 0) -> str:
    samples = np.random.default_rng(seed).normal(0, 0.1, round(duration_s * RATE_HZ))
    soundfile.write(path, samples, RATE_HZ)
    return str(path)


def run_predict(run_dir: str, files: list[str], output_format: str, **options: Any) -> int:
    return predict(run_dir, files, config=PredictConfig(**options), output_format=output_format)


@pytest.mark.parametrize("temperature", [None, 0.5])
def test_probabilities_are_the_calibrated_mean_of_the_segments(
    finished: TrainConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str], temperature: float | None
) -> None:
    path = write_audio(tmp_path / "five.wav", 2.7)  # five segments of half a second
    calibration_path = Path(finished.run_dir) / "calibration.json"
    if temperature is None:  # as in runs of versions that did not calibrate
        calibration_path.unlink()
    else:
        content = json.loads(calibration_path.read_text())
        calibration_path.write_text(json.dumps({**content, "track": temperature, "segment": 99.0}))
    assert run_predict(finished.run_dir, [path], "json", top_k=3, batch_size=2) == 0
    (found,) = json.loads(capsys.readouterr().out)

    run = RunDir(finished.run_dir)
    model = load_best_model(run, strategy=make_strategy(StrategyConfig()))
    with Path(path).open("rb") as source:
        segments = run.prepare_yaml().front_end().process(source).segments
    logits = model({"log_mel": np.stack([segment.features["log_mel"] for segment in segments])}).numpy()
    expected = softmax(logits).mean(axis=0)
    if temperature is not None:
        expected = expected ** (1 / temperature) / (expected ** (1 / temperature)).sum()

    assert found["file"] == path
    assert found["duration_s"] == pytest.approx(2.7)
    assert found["num_segments"] == 5
    labels = ["blues", "funk", "waltz"]
    assert [genre["genre"] for genre in found["genres"]] == [labels[index] for index in np.argsort(-expected)]
    assert [genre["probability"] for genre in found["genres"]] == pytest.approx(
        sorted(expected, reverse=True), rel=1e-4
    )


def test_audio_beyond_the_longest_duration_of_a_clip_is_used(
    finished: TrainConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_audio(tmp_path / "long.wav", 10.3)
    assert run_predict(finished.run_dir, [path], "json") == 0
    (whole,) = json.loads(capsys.readouterr().out)
    assert whole["num_segments"] == 20
    monkeypatch.setattr(windows_module, "_WINDOW_S", 3.0)
    prepare_yaml = RunDir.prepare_yaml

    def with_short_clips(self: RunDir) -> Any:
        made = prepare_yaml(self)
        front_end = made.front_end()
        front_end._audio = replace(front_end._audio, max_duration_s=2.0)
        return SimpleNamespace(front_end=lambda names: front_end)

    monkeypatch.setattr(RunDir, "prepare_yaml", with_short_clips)
    assert run_predict(finished.run_dir, [path], "json") == 0
    (in_windows,) = json.loads(capsys.readouterr().out)
    assert (in_windows["num_segments"], in_windows["duration_s"]) == (20, pytest.approx(10.3))
    for found, expected in zip(in_windows["genres"], whole["genres"], strict=True):
        assert found["genre"] == expected["genre"]
        assert found["probability"] == pytest.approx(expected["probability"], abs=1e-3)


def test_features_that_the_model_does_not_take_are_not_computed(
    finished: TrainConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_audio(tmp_path / "five.wav", 2.7)
    assert run_predict(finished.run_dir, [path], "json") == 0
    expected = capsys.readouterr()
    monkeypatch.setenv("BEAMTUNE_CACHE", str(tmp_path / "cache"))  # without YAMNet's weights
    monkeypatch.setattr("beam_pipelines.features.yamnet.fetch_yamnet_weights", lambda path: None)
    yaml_path = Path(RunDir(finished.run_dir).dataset_dir) / "prepare.yaml"
    content = yaml.safe_load(yaml_path.read_text())
    content["config"]["features"] |= {
        "mfcc": {"kind": "mfcc", "sample_rate_hz": 11_025},
        "yamnet": {"kind": "yamnet"},
        "vector": {"kind": "of_a_later_version"},
    }
    content["sources"] = {"yamnet": {"weights": "0" * 64}}
    yaml_path.write_text(yaml.safe_dump(content))
    assert run_predict(finished.run_dir, [path], "json") == 0
    assert capsys.readouterr() == expected


def test_a_silent_file_is_an_error_and_a_silent_beginning_is_not(
    finished: TrainConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    silent, short = str(tmp_path / "silent.wav"), str(tmp_path / "short.wav")
    soundfile.write(silent, np.zeros(3 * RATE_HZ), RATE_HZ)
    soundfile.write(short, np.zeros(RATE_HZ // 10), RATE_HZ)
    late = str(tmp_path / "late.wav")
    noise = np.random.default_rng(0).normal(0, 0.1, 5 * RATE_HZ)
    soundfile.write(late, np.concatenate([np.zeros(601 * RATE_HZ), noise]), RATE_HZ)
    assert run_predict(finished.run_dir, [silent, short, late], "json") == 2
    captured = capsys.readouterr()
    *failed, found = json.loads(captured.out)
    assert [(one["file"], one["error"]["reason"]) for one in failed] == [(silent, "silent"), (short, "silent")]
    assert (found["file"], found["num_segments"], found["duration_s"]) == (late, 10, 606)
    assert captured.err.count("error: ") == 2


def test_short_audio_is_padded(finished: TrainConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_audio(tmp_path / "short.wav", 0.1)
    assert run_predict(finished.run_dir, [path], "json") == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert (found["num_segments"], found["duration_s"]) == (1, pytest.approx(0.1))


def test_a_truncated_file_is_predicted_with_a_note(
    finished: TrainConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = Path(write_audio(tmp_path / "a.wav", 4.0))
    path.write_bytes(path.read_bytes()[: 44 + 2 * RATE_HZ])
    assert run_predict(finished.run_dir, [str(path)], "json") == 0
    captured = capsys.readouterr()
    (found,) = json.loads(captured.out)
    assert (found["num_segments"], found["duration_s"]) == (2, 1.0)
    assert f"note: {path}: 1.00 of 4.00 s can be decoded; the rest is damaged or missing" in captured.err


def test_a_file_that_cannot_be_read_does_not_stop_the_others(
    finished: TrainConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = tmp_path / "notes.mp3"
    text.write_text("no audio")
    empty = tmp_path / "empty.wav"
    empty.write_bytes(b"")
    files = [
        str(text),
        write_audio(tmp_path / "a.wav", 1.0),
        str(empty),
        str(tmp_path / "absent.mp3"),
        str(tmp_path),
        write_audio(tmp_path / "b.wav", 1.0, seed=1),
    ]
    assert run_predict(finished.run_dir, files, "csv", top_k=1) == 4
    captured = capsys.readouterr()
    assert [row["file"] for row in csv.DictReader(io.StringIO(captured.out))] == [files[1], files[5]]
    errors = [line for line in captured.err.splitlines() if line.startswith("error: ")]
    assert [line.split(": ")[1] for line in errors] == [files[0], files[2], files[3], files[4]]
    assert all("cannot be read" in line for line in errors[2:])


def test_an_error_names_the_path_once(
    finished: TrainConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    absent = [f"{tmp_path}/absent.mp3", f"file://{tmp_path}/absent.mp3"]  # read by Python, and by TensorFlow
    assert run_predict(finished.run_dir, absent, "table") == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert errors == [f"error: {path}: cannot be read: No such file or directory" for path in absent]


def test_a_pipe_and_a_device_are_not_waited_for(
    finished: TrainConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo(tmp_path / "pipe.mp3")
    (tmp_path / "endless.mp3").symlink_to("/dev/zero")
    odd = [str(tmp_path / "pipe.mp3"), str(tmp_path / "endless.mp3")]
    assert run_predict(finished.run_dir, odd, "table") == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert errors == [f"error: {path}: cannot be read: it is no regular file" for path in odd]


def test_a_name_that_is_not_utf_8_is_read_like_any_other(
    finished: TrainConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    errors = io.StringIO()
    monkeypatch.setattr(sys, "stderr", errors)
    good = write_audio(tmp_path / "a.wav", 1.0)
    odd, absent = (os.fsdecode(os.fsencode(tmp_path) + name) for name in (b"/caf\xe9.wav", b"/\xe9.wav"))
    shutil.copy(good, odd)
    assert run_predict(finished.run_dir, [odd, absent, good], "json") == 1
    found = json.loads(capsys.readouterr().out)
    assert [one["file"] for one in found] == [odd, absent, good]
    assert found[0]["genres"] == found[2]["genres"]
    assert "cannot be read: No such file or directory" in errors.getvalue()


@pytest.mark.parametrize("output_format", ["table", "csv", "json"])
def test_a_crash_keeps_the_results_of_before(
    finished: TrainConfig,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    output_format: str,
) -> None:
    good, bad = write_audio(tmp_path / "a.wav", 1.0), write_audio(tmp_path / "b.wav", 1.0)
    read = Inference.read

    def read_or_crash(self: Inference, path: str) -> Clip:
        if path == good:
            return read(self, path)
        raise MemoryError

    monkeypatch.setattr(Inference, "read", read_or_crash)
    with pytest.raises(MemoryError):
        run_predict(finished.run_dir, [good, bad], output_format)
    out = capsys.readouterr().out
    assert good in out
    if output_format == "json":
        (found,) = json.loads(out)
        assert found["file"] == good


def test_nothing_is_predicted_once_the_reader_is_gone(
    finished: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_audio(tmp_path / "a.wav", 1.0)
    read, seen = Inference.read, []
    monkeypatch.setattr(Inference, "read", lambda self, path: seen.append(path) or read(self, path))
    reader, writer = os.pipe()
    os.close(reader)
    monkeypatch.setattr(sys, "stdout", open_text_stream(writer, like=None))
    assert run_predict(finished.run_dir, [path] * 20, "csv", batch_size=1, num_threads=1) == 0
    os.close(writer)
    assert 1 <= len(seen) <= 3  # one thread reads two files ahead


def test_table_and_csv_agree(finished: TrainConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [write_audio(tmp_path / "a.wav", 1.0), write_audio(tmp_path / "longer name.wav", 1.0, seed=1)]
    run_predict(finished.run_dir, files, "csv", top_k=2)
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [(row["file"], row["rank"]) for row in rows] == [(file, rank) for file in files for rank in "12"]
    run_predict(finished.run_dir, files, "table", top_k=2)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and len(lines[0]) == len(lines[1])
    for line, file, (first, second) in zip(lines, files, (rows[:2], rows[2:]), strict=True):
        assert line.startswith(file)
        assert f"{first['genre']} {float(first['probability']):.3f}" in line
        assert f"{second['genre']} {float(second['probability']):.3f}" in line


def test_a_label_is_unknown_where_no_genre_is_probable_enough(
    finished: TrainConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_audio(tmp_path / "a.wav", 1.0)
    run_predict(finished.run_dir, [path], "json")
    [found] = json.loads(capsys.readouterr().out)
    top = found["genres"][0]
    assert found["label"] == top["genre"]
    for min_confidence, label in ((top["probability"], top["genre"]), (1.0, "unknown")):
        run_predict(finished.run_dir, [path], "json", min_confidence=min_confidence)
        [again] = json.loads(capsys.readouterr().out)
        assert again == {**found, "label": label}
    run_predict(finished.run_dir, [path], "table", min_confidence=1.0)
    assert capsys.readouterr().out.split()[:3] == [path, "unknown", top["genre"]]


def test_a_min_confidence_that_cannot_be_used_is_refused(finished: TrainConfig, tmp_path: Path) -> None:
    for value in (-0.1, 1.5, float("nan")):
        with pytest.raises(UserError, match="min_confidence=.*: expected a probability from 0 to 1"):
            PredictConfig(min_confidence=value)
    labels = Path(finished.run_dir) / "dataset" / "label.labels.txt"
    labels.write_text("blues\nunknown\nwaltz\n")
    path = write_audio(tmp_path / "a.wav", 1.0)
    with pytest.raises(UserError, match="min_confidence=0.5: a genre of the run is called unknown"):
        run_predict(finished.run_dir, [path], "csv", min_confidence=0.5)
    assert run_predict(finished.run_dir, [path], "csv") == 0


def test_only_the_run_is_needed(finished: TrainConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in Path(finished.data_dir).iterdir():
        path.unlink()
    assert run_predict(finished.run_dir, [write_audio(tmp_path / "a.wav", 1.0)], "table") == 0
    assert re.fullmatch(r"predicting: 1/1 files, \d+ s\n", capsys.readouterr().err)


def test_an_unfinished_run_predicts_with_a_warning(
    finished: TrainConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (Path(finished.run_dir) / "_SUCCESS").unlink()
    assert run_predict(finished.run_dir, [write_audio(tmp_path / "a.wav", 1.0)], "table") == 0
    assert "is not finished; using its best weights so far" in capsys.readouterr().err
