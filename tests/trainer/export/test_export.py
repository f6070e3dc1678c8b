"""`beamtune export`: the files, the process without beamtune, the checks, and opening an export again."""

import ast
import json
import re
import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import requests
import soundfile
import tensorflow as tf
from serving_http import serving

import beamtune
from beam_pipelines.audio import windows as windows_module
from beam_pipelines.common.errors import RunFailedError, UserError
from trainer.evaluation import exported_model
from trainer.evaluation.config import PredictConfig
from trainer.evaluation.exported_model import ExportedModel
from trainer.evaluation.inference import Inference
from trainer.evaluation.predict import predict
from trainer.export.config import ExportConfig
from trainer.export.export import export
from trainer.training.config import TrainConfig

# They start processes, and make a saved model.
pytestmark = pytest.mark.slow

LABELS = ("blues", "funk", "waltz")
RATE_HZ = 8000
# Runs a program with an import of beamtune, wherever it is installed, as an error.
WITHOUT_BEAMTUNE = """
import runpy, sys
sys.modules.update(dict.fromkeys(("beamtune", "beam_pipelines", "configs", "trainer")))
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def noise(duration_s: float, *, rate_hz: int = RATE_HZ, seed: int = 0) -> Any:
    return np.random.default_rng(seed).normal(0, 0.1, round(duration_s * rate_hz)).astype(np.float32)


@pytest.fixture(scope="module")
def exported(shared_config: TrainConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export in both formats, and `table.txt` with what the command printed, which the tests do not change."""
    folder = tmp_path_factory.mktemp("exported")
    with (folder / "table.txt").open("w") as stream:
        config = ExportConfig(output_dir=str(folder / "export"), formats=["saved_model", "keras"])
        export(shared_config.run_dir, config, stream=stream)
    return folder / "export"


@pytest.fixture(scope="module")
def model(exported: Path) -> ExportedModel:
    return ExportedModel(str(exported))


def test_an_export_has_these_files_and_no_others(exported: Path) -> None:
    assert {path.name for path in exported.iterdir()} == {
        *("example.py", "export.json", "labels.txt", "metrics.json", "model.keras", "model_card.md"),
        *("saved_model", "signature.json", "vertex"),
    }
    assert (exported / "labels.txt").read_text() == "blues\nfunk\nwaltz\n"


@pytest.mark.skipif(find_spec("tensorflow_io") is not None, reason="tensorflow-io is installed")
def test_a_line_says_that_files_are_not_taken_without_tensorflow_io(exported: Path) -> None:
    lines = (exported.parent / "table.txt").read_text().splitlines()
    assert lines[0] == (
        "note: serve_bytes, which takes mp3, FLAC and WAV files, is left out: tensorflow_io is not installed: "
        "pip install 'beamtune[io]'"
    )
    assert sum("serve_bytes" in line for line in lines) == 1
    assert set(json.loads((exported / "signature.json").read_text())["formats"]) == {"saved_model", "keras"}


def test_the_report_and_the_table_have_the_differences(exported: Path) -> None:
    report = json.loads((exported / "export.json").read_text())
    table = (exported.parent / "table.txt").read_text()
    assert re.search(
        "^note: the audio of the data of .*run is not there, or has relative paths of another folder: "
        "synthetic sounds are compared$",
        table,
        re.M,
    )
    for name in ("saved_model", "keras"):
        found = report["formats"][name]
        clips = {clip["name"]: clip for clip in found["clips"]}
        assert list(clips) == ["noise", "sine of 440 Hz", "silence"]  # the audio of this data set does not exist
        assert clips["silence"]["is_silent"] and not clips["noise"]["is_silent"]
        differences = [clip["probability_difference"] for clip in found["clips"]]
        assert found["largest_difference"] == max(differences) < 1e-3
        assert f"{name}: at most {max(differences):.1e}; the same top genre for 3 of 3 sounds" in table
    saved_model = report["formats"]["saved_model"]
    assert saved_model["bytes"] == sum(p.stat().st_size for p in (exported / "saved_model").rglob("*") if p.is_file())
    assert saved_model["load_s"] > 0


def test_the_signature_describes_what_the_saved_model_takes_and_returns(exported: Path) -> None:
    content = json.loads((exported / "signature.json").read_text())
    assert content["labels"] == list(LABELS)
    assert content["features"]["log_mel"]["segment_samples"] == 4000
    signatures = tf.saved_model.load(str(exported / "saved_model")).signatures
    described = content["formats"]["saved_model"]["signatures"]
    assert set(described) == set(signatures)
    for name, signature in signatures.items():
        for side, specs in (
            ("inputs", signature.structured_input_signature[1]),
            ("outputs", signature.structured_outputs),
        ):
            assert set(described[name][side]) == set(specs)
            for key, spec in specs.items():
                assert described[name][side][key]["dtype"] == spec.dtype.name
                if spec.shape.rank is not None:
                    assert described[name][side][key]["shape"] == spec.shape.as_list()


def test_the_example_runs_with_tensorflow_only(exported: Path, tmp_path: Path, shared_config: TrainConfig) -> None:
    path = tmp_path / "song.wav"
    soundfile.write(path, noise(2.2), RATE_HZ)
    tree = ast.parse((exported / "example.py").read_text())
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert imported == {"pathlib", "sys", "tensorflow"}
    command = [sys.executable, "-I", "-c", WITHOUT_BEAMTUNE, str(exported / "example.py"), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    expected = beamtune.load(shared_config.run_dir).predict(path)
    best = sorted(expected.probabilities.items(), key=lambda item: -item[1])
    found = [line.split() for line in done.stdout.splitlines()]
    assert [genre for genre, _ in found] == [genre for genre, _ in best]
    assert [float(probability) for _, probability in found] == pytest.approx([p for _, p in best], abs=2e-3)


def test_the_example_names_no_genre_for_silence(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    soundfile.write(tmp_path / "silence.wav", np.zeros(9000), RATE_HZ)
    monkeypatch.setattr(sys, "argv", ["example.py", str(tmp_path / "silence.wav")])
    with pytest.raises(SystemExit, match="^silent$"):
        runpy.run_path(str(exported / "example.py"))


def test_the_example_says_how_it_is_called(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for arguments in ([], ["one.wav", "two.wav"]):
        monkeypatch.setattr(sys, "argv", ["example.py", *arguments])
        with pytest.raises(SystemExit, match=r"16-bit WAV file: python example\.py song\.wav"):
            runpy.run_path(str(exported / "example.py"))


def test_tensorflows_command_line_shows_and_runs_the_saved_model(
    exported: Path, tmp_path: Path, shared_config: TrainConfig
) -> None:
    np.save(tmp_path / "samples.npy", noise(1.0, rate_hz=44_100)[None])
    where = ["--dir", str(exported / "saved_model"), "--tag_set", "serve", "--signature_def", "serving_default"]
    inputs = ["--inputs", "waveform=samples.npy", "--input_exprs", "sample_rate_hz=44100"]
    shown, run = (
        subprocess.run(
            [sys.executable, "-m", "tensorflow.python.tools.saved_model_cli", *words],
            capture_output=True,
            text=True,
            check=True,
            cwd=tmp_path,
        ).stdout
        for words in (["show", *where], ["run", *where, *inputs, "--outdir", "found"])
    )
    assert re.search(r"inputs\['waveform'\] tensor_info:\s+dtype: DT_FLOAT\s+shape: \(-1, -1\)", shown)
    assert re.search(r"outputs\['probabilities'\] tensor_info:\s+dtype: DT_FLOAT\s+shape: \(-1, 3\)", shown)
    assert "b'blues' b'funk' b'waltz'" in run
    expected = beamtune.load(shared_config.run_dir).predict(noise(1.0, rate_hz=44_100), sample_rate_hz=44_100)
    found = np.load(tmp_path / "found" / "probabilities.npy")
    np.testing.assert_allclose(found, [list(expected.probabilities.values())], atol=1e-3)


def test_integers_are_no_samples(exported: Path) -> None:
    serve = tf.saved_model.load(str(exported / "saved_model")).signatures["serving_default"]
    with pytest.raises(tf.errors.InvalidArgumentError, match="expected to be a float tensor but is a int16 tensor"):
        serve(waveform=tf.zeros((1, 9000), tf.int16), sample_rate_hz=tf.constant(RATE_HZ))


def test_the_rest_api_of_tensorflow_serving(exported: Path, shared_config: TrainConfig) -> None:
    request = json.loads((exported / "vertex" / "request.json").read_text())
    assert set(request) == {"instances"}  # Vertex AI knows no more
    [row] = request["instances"]
    samples = np.array(row["waveform"], np.float32)
    expected = beamtune.load(shared_config.run_dir).predict(samples, sample_rate_hz=row["sample_rate_hz"])
    columns = {"waveform": [row["waveform"]] * 2, "sample_rate_hz": row["sample_rate_hz"]}
    with serving(str(exported / "saved_model"), name="genre") as address:
        by_rows = requests.post(address, json={"instances": [row] * 2}, timeout=60)
        content = (exported / "vertex" / "request.json").read_bytes()
        by_file = requests.post(address, data=content, timeout=60).json()
        by_columns = requests.post(address, json={"inputs": columns}, timeout=60)
        silent = {**row, "waveform": [0.0] * len(samples)}
        with_silence = requests.post(address, json={"instances": [silent, row]}, timeout=60).json()
        integers = {"waveform": [[0, 20_000, -20_000]], "sample_rate_hz": 16_000}
        refused = requests.post(address, json={"inputs": integers}, timeout=60)
    assert (by_rows.status_code, by_columns.status_code, refused.status_code) == (200, 200, 400)
    assert "waveform exceeds full scale" in refused.json()["error"]
    silence, sound = with_silence["predictions"]
    assert (silence["is_silent"], silence["probabilities"]) == (True, [0.0] * 3)
    rows, outputs = by_rows.json()["predictions"], by_columns.json()["outputs"]
    assert len(rows) == 2
    assert by_file["predictions"][0]["probabilities"] == pytest.approx(rows[0]["probabilities"], abs=1e-6)
    assert sound["probabilities"] == pytest.approx(rows[0]["probabilities"], abs=1e-6)
    for index, found in enumerate(rows):
        assert found["labels"] == outputs["labels"][index] == list(LABELS)
        assert found["is_silent"] is False
        assert found["probabilities"] == outputs["probabilities"][index]
        assert found["probabilities"] == pytest.approx(list(expected.probabilities.values()), abs=1e-3)


def test_the_keras_file_is_the_network(exported: Path, shared_config: TrainConfig) -> None:
    network = keras.saving.load_model(exported / "model.keras", safe_mode=True)
    features = {"log_mel": np.random.default_rng(0).normal(-40, 6, (3, 8, 16)).astype(np.float16)}
    expected = Inference(shared_config.run_dir, batch_size=1).model.predict_on_batch(features)
    np.testing.assert_allclose(network.predict_on_batch(features), expected, atol=1e-5)


def test_an_export_predicts_and_embeds_like_its_run(exported: Path, shared_config: TrainConfig, tmp_path: Path) -> None:
    path = tmp_path / "song.wav"
    soundfile.write(path, np.stack([noise(2.7, rate_hz=22_050), noise(2.7, rate_hz=22_050, seed=1)], axis=1), 22_050)
    run, opened = beamtune.load(shared_config.run_dir), beamtune.load(exported)
    assert opened.labels == LABELS
    assert opened.metrics == run.metrics
    for audio, rate_hz in ((path, None), (noise(0.2), RATE_HZ)):
        expected, found = (model.predict(audio, sample_rate_hz=rate_hz) for model in (run, opened))
        assert found.label == expected.label
        assert found.duration_s == pytest.approx(expected.duration_s, abs=1e-3)
        assert found.segment_duration_s == 0.5
        np.testing.assert_allclose(found.segment_starts_s, expected.segment_starts_s, atol=1e-6)
        np.testing.assert_allclose(found.segment_probabilities, expected.segment_probabilities, atol=1e-3)
        np.testing.assert_allclose(
            opened.embed(audio, sample_rate_hz=rate_hz).vector,
            run.embed(audio, sample_rate_hz=rate_hz).vector,
            atol=0.02,
        )
        for min_confidence in (max(expected.probabilities.values()) - 0.01, 1.0):
            labels = [
                model.predict(audio, sample_rate_hz=rate_hz, min_confidence=min_confidence).label
                for model in (run, opened)
            ]
            assert labels == [expected.label if min_confidence < 1 else "unknown"] * 2
    with pytest.raises(UserError, match="is an export, whose network is in its graph"):
        _ = opened.keras_model
    with pytest.raises(beamtune.AudioError, match="silent: no segment is louder than -60.0 dBFS"):
        opened.predict(np.zeros(9000, np.float32), sample_rate_hz=RATE_HZ)


def test_the_command_calls_a_file_unknown_as_with_the_run(
    exported: Path, shared_config: TrainConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(tmp_path / "song.wav")
    soundfile.write(path, noise(1.2), RATE_HZ)
    found = []
    for directory in (str(exported), shared_config.run_dir):
        assert predict(directory, [path], config=PredictConfig(min_confidence=1.0), output_format="json") == 0
        found += json.loads(capsys.readouterr().out)
    assert [one["label"] for one in found] == ["unknown"] * 2
    assert [one["genre"] for one in found[0]["genres"]] == [one["genre"] for one in found[1]["genres"]]


def test_other_software_can_calibrate_with_the_temperatures_of_the_signature(
    exported: Path, shared_config: TrainConfig
) -> None:
    temperatures = json.loads((exported / "signature.json").read_text())["output"]["calibration"]
    segments = tf.saved_model.load(str(exported / "saved_model")).signatures["serve_segments"]
    samples = noise(2.1)
    found = segments(waveform=tf.constant(samples[None]), sample_rate_hz=tf.constant(RATE_HZ))
    mean = found["probabilities"].numpy()[0].mean(axis=0)
    powers = mean ** (1 / temperatures["track"])
    expected = beamtune.load(shared_config.run_dir).predict(samples, sample_rate_hz=RATE_HZ)
    np.testing.assert_allclose(powers / powers.sum(), list(expected.probabilities.values()), atol=1e-3)


@pytest.mark.parametrize(("max_duration_s", "highest_rate_hz"), [(2.0, 96_000), (16.0, 1000)])
def test_a_file_longer_than_the_longest_duration_is_read_in_windows(
    model: ExportedModel,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    max_duration_s: float,
    highest_rate_hz: int,
) -> None:
    """Of a rate that is higher than another one, less is read at once."""
    path = tmp_path / "long.wav"
    soundfile.write(path, noise(10.3), RATE_HZ)
    whole = model.score(str(path))
    assert len(whole.starts_s) == 20
    monkeypatch.setattr(windows_module, "_WINDOW_S", 3.0)
    monkeypatch.setattr(model, "_max_duration_s", max_duration_s)
    monkeypatch.setattr(exported_model, "_HIGHEST_WHOLE_RATE_HZ", highest_rate_hz)
    for found in (model.score(str(path)), model.score_samples(noise(10.3)[:, None], sample_rate_hz=RATE_HZ)):
        np.testing.assert_allclose(found.starts_s, whole.starts_s, atol=1e-6)
        np.testing.assert_allclose(found.values, whole.values, atol=1e-3)
        assert found.duration_s == pytest.approx(10.3)


def test_samples_far_beyond_full_scale_are_an_error_of_the_file(model: ExportedModel) -> None:
    with pytest.raises(beamtune.AudioError, match=r"out_of_range: \[waveform exceeds full scale"):
        model.score_samples(100 * noise(1.0)[:, None], sample_rate_hz=RATE_HZ)


def remove_report(folder: Path) -> None:
    (folder / "export.json").unlink()


def cut_signature(folder: Path) -> None:
    (folder / "signature.json").write_text("{")


def without_saved_model(folder: Path) -> None:
    path = folder / "signature.json"
    content = json.loads(path.read_text())
    del content["formats"]["saved_model"]
    path.write_text(json.dumps(content))


def of_later_version(folder: Path) -> None:
    (folder / "signature.json").write_text(json.dumps({"signature_version": 2, "genres": []}))


def cut_saved_model(folder: Path) -> None:
    path = folder / "saved_model" / "saved_model.pb"
    path.write_bytes(path.read_bytes()[:1000])


@pytest.mark.parametrize(
    ("damage", "error", "message"),
    [
        (remove_report, UserError, "is not a complete export: it has no export.json; export the run again$"),
        (cut_signature, UserError, r"signature.json is damaged \(JSONDecodeError.*: export the run again$"),
        (without_saved_model, UserError, "has the formats keras, and prediction needs saved_model"),
        (of_later_version, UserError, "was written by a later version of beamtune"),
        (cut_saved_model, RunFailedError, r"saved_model cannot be loaded \(.*\): export the run again$"),
    ],
)
def test_a_damaged_export_is_an_error_in_one_line(
    damage: Callable[[Path], None], error: type[Exception], message: str, exported: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(exported, tmp_path / "copy")
    damage(copy)
    with pytest.raises(error, match=message) as caught:
        beamtune.load(copy)
    assert "\n" not in str(caught.value)
