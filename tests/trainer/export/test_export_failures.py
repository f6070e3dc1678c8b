"""`beamtune export` that fails, is refused or is interrupted, and what it leaves."""

import os
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from beam_pipelines.common.errors import RunFailedError, UserError
from trainer.common import files
from trainer.evaluation.exported_model import ExportedModel
from trainer.export import export as export_module
from trainer.export.checks import FormatRun, Outputs, largest_difference, predict_clips
from trainer.export.config import ExportConfig
from trainer.export.export import export
from trainer.export.reference_clips import ReferenceClip
from trainer.export.source import ExportSource
from trainer.training.config import TrainConfig

# They train a network.
pytestmark = pytest.mark.slow


def test_a_difference_above_the_limit_fails_and_writes_nothing(
    shared_config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run_wrongly(name: str, source: ExportSource, directory: str, clips: list[ReferenceClip]) -> FormatRun:
        *expected, silence = predict_clips(source.inference, clips)
        return FormatRun([Outputs(one.probabilities + np.array([0.002, -0.002, 0.0])) for one in expected] + [silence])

    monkeypatch.setattr(export_module, "_write", lambda source, directory, formats: None)
    monkeypatch.setattr(export_module, "_run", run_wrongly)
    with pytest.raises(RunFailedError, match=r"^saved_model differs from beamtune predict by 2.00e-03, more than max_"):
        export(shared_config.run_dir, ExportConfig(output_dir=str(tmp_path / "export")), stream=sys.stdout)
    assert "saved_model: at most 2.0e-03" in capsys.readouterr().out
    assert not (tmp_path / "export").exists()


def test_a_model_that_answers_only_one_of_both_or_nan_differs_by_infinity() -> None:
    some, refused = Outputs(np.array([0.25, 0.75])), Outputs(None)
    assert largest_difference([some, refused], [Outputs(np.array([0.5, 0.5])), refused]) == 0.25
    assert largest_difference([some], [refused]) == largest_difference([refused], [some]) == np.inf
    assert largest_difference([Outputs(np.array([np.nan, 0.5]))], [some]) == np.inf


def refused(run_dir: str, output_dir: Path | str) -> str:
    with pytest.raises(UserError) as caught:
        export(run_dir, ExportConfig(output_dir=str(output_dir)), stream=sys.stdout)
    return str(caught.value)


def test_what_is_no_finished_run_is_refused_in_one_line(finished: TrainConfig, tmp_path: Path) -> None:
    output_dir = tmp_path / "export"
    assert re.fullmatch(r".*data holds no training run: expected .*", refused(finished.data_dir, output_dir))
    run_dir = Path(finished.run_dir)
    (run_dir / "_SUCCESS").unlink()
    assert refused(finished.run_dir, output_dir) == (
        f"{run_dir} is not finished: beamtune train run_dir={run_dir} finishes it; then export it"
    )
    config_path = run_dir / "config.yaml"
    config_path.write_text(config_path.read_text().replace("band_pools:", "pools_of_another_version:"))
    assert "the settings of model cnn2d are not those of this beamtune" in refused(finished.run_dir, output_dir)
    assert not output_dir.exists()


def test_a_folder_with_other_files_is_refused_and_one_of_an_interrupted_export_is_not(
    shared_config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "song.mp3").touch()
    assert refused(shared_config.run_dir, tmp_path) == (
        f"output_dir={tmp_path} is not empty (song.mp3): choose a new or empty folder"
    )
    assert "are one folder, or one lies in the other" in refused(
        shared_config.run_dir, Path(shared_config.run_dir) / "export"
    )
    output_dir = tmp_path / "export"
    (output_dir / ".beamtune-export" / "saved_model").mkdir(parents=True)
    written = []
    monkeypatch.setattr(
        export_module, "_write", lambda source, directory, formats: written.append(os.listdir(directory))
    )
    monkeypatch.setattr(export_module, "_run", lambda *_: (_ for _ in ()).throw(UserError("enough")))
    assert refused(shared_config.run_dir, output_dir) == "enough"
    assert written == [[]]


def test_a_full_disk_is_an_error_in_one_line_and_leaves_nothing(
    shared_config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(source: ExportSource, directory: str) -> None:
        raise tf.errors.ResourceExhaustedError(None, None, f"{directory}/saved_model.pb; No space left on device")

    monkeypatch.setattr(export_module, "write_saved_model", write)
    assert re.fullmatch(
        f"the export to output_dir={tmp_path}/export cannot be written: .*saved_model.pb; No space left on device",
        refused(shared_config.run_dir, tmp_path / "export"),
    )
    assert not (tmp_path / "export").exists()


@pytest.mark.parametrize("place", ["folder", "bucket"])
def test_an_interrupted_export_is_completed_by_the_same_command(
    place: str, shared_config: TrainConfig, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is interrupted where model.keras is to be written; the second command writes other formats."""
    output_dir = str(request.getfixturevalue("tmp_path") / "export")
    if place == "bucket":
        output_dir = f"{request.getfixturevalue('gcs_here').url}/export"

    def write(source: ExportSource, directory: str, formats: list[str]) -> None:
        weights = {"keras": "model.keras", "saved_model": "saved_model/weights"}[formats[0]]
        for name in (weights, *more, "signature.json"):
            path = Path(directory) / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(formats[0])

    def run(name: str, source: ExportSource, directory: str, clips: list[ReferenceClip]) -> FormatRun:
        return FormatRun(predict_clips(source.inference, clips))

    def put(source: str, target: str) -> None:
        if target.endswith("model.keras"):
            raise KeyboardInterrupt
        original(source, target)

    method = "copy" if place == "bucket" else "replace"
    original = getattr(files, method)
    monkeypatch.setattr(export_module, "_write", write)
    monkeypatch.setattr(export_module, "_run", run)
    monkeypatch.setattr(files, method, put)
    more = {"labels.txt"}
    with pytest.raises(KeyboardInterrupt):
        export(shared_config.run_dir, ExportConfig(output_dir=output_dir, formats=["keras"]), stream=sys.stdout)
    assert files.list_if_exists(output_dir) == ["labels.txt", "signature.json"]
    with pytest.raises(UserError, match="is not a complete export: it has no export.json; export the run again$"):
        ExportedModel(output_dir)

    files.write_text(files.join(output_dir, "song.mp3"), "")
    assert "is not empty (song.mp3)" in refused(shared_config.run_dir, output_dir)
    files.remove(files.join(output_dir, "song.mp3"))

    more = {"metrics.json"}
    export(shared_config.run_dir, ExportConfig(output_dir=output_dir), stream=sys.stdout)
    assert files.list_if_exists(output_dir) == ["export.json", "metrics.json", "saved_model", "signature.json"]
    assert files.read_text(files.join(output_dir, "signature.json")) == "saved_model"
    assert files.list_dir(files.join(output_dir, "saved_model")) == ["weights"]
    assert "is not empty (export.json)" in refused(shared_config.run_dir, output_dir)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"formats": ["coreml"]}, "formats=coreml: expected one of saved_model, keras, tflite, tflite_float16"),
        ({"formats": []}, "formats=[]: expected a list of some of saved_model, keras, tflite"),
        ({"formats": ["keras", "keras"]}, "formats=['keras', 'keras']: expected a list of some"),
        ({"max_difference": 0.0}, "max_difference=0.0: expected a difference of probabilities"),
        ({"reference_clips": -1}, "reference_clips=-1: expected a whole number from 0 to 1000"),
        ({"output_dir": " "}, "output_dir= : expected a path"),
    ],
)
def test_wrong_settings_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=f"^{re.escape(message)}"):
        replace(ExportConfig(output_dir="x"), **changes)
