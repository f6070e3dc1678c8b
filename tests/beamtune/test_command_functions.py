"""prepare, train and evaluate as functions, against the same commands."""

import dataclasses
import json
import shutil
import signal
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest
from python_script import script_command
from tones import Tones

import beamtune
from configs.cli import main


def test_metrics_are_those_of_the_command(tones: Tones, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copies = [tmp_path / "command", tmp_path / "function"]
    for copy in copies:
        shutil.copytree(tones.run_dir, copy)
    assert main(["evaluate", f"run_dir={copies[0]}", "batch_size=8"]) == 0
    printed, next_command, _ = capsys.readouterr().out.partition("next: ")
    assert next_command
    found = beamtune.evaluate(copies[1], batch_size=8)
    assert capsys.readouterr() == ("", "")
    expected = json.loads((copies[0] / "metrics.json").read_text())
    assert json.loads((copies[1] / "metrics.json").read_text()) == expected
    for level in ("segment", "track", "track_vote"):
        assert dataclasses.asdict(getattr(found, level)) == expected["test"][level]
    assert (found.split, found.labels) == ("test", ("genre0", "genre1"))
    assert beamtune.load(copies[1]).metrics == {
        "validation": beamtune.load(copies[0]).metrics["validation"],
        "test": found,
    }
    beamtune.evaluate(copies[1], batch_size=8, progress=True)
    assert capsys.readouterr().out == printed


def test_a_finished_run_and_finished_data_are_opened_again(tones: Tones, capsys: pytest.CaptureFixture[str]) -> None:
    settings: dict[str, Any] = {
        "dataset": {"folder": {"root": tones.music}},
        "output_dir": tones.data_dir,
        "segment": {"duration_s": 1, "hop_s": 1},
        "features": {"log_mel": {"n_mels": 32}, "mfcc": {}},
        "shards": {"min_shards": 2},
    }
    assert beamtune.prepare(**settings).path == str(tones.data_dir)
    assert beamtune.train(run_dir=tones.run_dir).run_dir == str(tones.run_dir)
    assert capsys.readouterr() == ("", "")
    beamtune.prepare(**settings, progress=True)
    beamtune.train(run_dir=tones.run_dir, progress=True)
    assert [line.split("; ")[0] for line in capsys.readouterr().out.splitlines()] == [
        f"{tones.data_dir} is already prepared from these files with these settings: nothing to do",
        f"{tones.run_dir} is finished already: nothing to do",
    ]


@pytest.mark.slow
def test_a_new_process_prints_nothing(tones: Tones, tmp_path: Path) -> None:
    script = f"""
import beamtune
data = beamtune.prepare(
    dataset={{"folder": {{"root": {str(tones.music)!r}}}}}, output_dir={str(tmp_path / "data")!r},
    segment={{"duration_s": 1, "hop_s": 1}}, shards={{"min_shards": 1}}
)
"""
    result = subprocess.run(script_command(script), capture_output=True, text=True, check=True)
    assert (result.stdout, result.stderr) == ("", "")
    assert (tmp_path / "data" / "_SUCCESS").exists()


def test_mistakes_are_user_errors(tones: Tones, tmp_path: Path) -> None:
    with pytest.raises(beamtune.UserError, match="holds data prepared with other settings"):
        beamtune.prepare(dataset={"folder": {"root": tones.music}}, output_dir=tones.data_dir)
    with pytest.raises(
        beamtune.UserError, match="epochs=3: the learning rate of run_dir=.* has fallen to 0 at the end of its 2 epochs"
    ):
        beamtune.train(run_dir=tones.run_dir, epochs=3)
    with pytest.raises(beamtune.UserError, match="has no feature yamnet, it has log_mel, mfcc"):
        beamtune.train(data_dir=tones.data_dir, run_dir=tmp_path / "run", model={"feature": "yamnet"})
    with pytest.raises(beamtune.UserError, match="none does not exist: expected the run_dir of beamtune train"):
        beamtune.evaluate(tmp_path / "none")
    with pytest.raises(beamtune.UserError, match="did you mean split?"):
        beamtune.evaluate(tones.run_dir, splt="test")


@pytest.mark.slow
def test_the_functions_work_in_a_thread_and_write_what_the_commands_write(tones: Tones, tmp_path: Path) -> None:
    handler = signal.getsignal(signal.SIGTERM)
    found: dict[str, Any] = {}

    def work() -> None:
        data = beamtune.prepare(
            dataset={"folder": {"root": tones.music}}, output_dir=tmp_path / "thread", features="mfcc", seed=3
        )
        found["data"] = data
        found["classifier"] = beamtune.train(
            data_dir=data.path, run_dir=tmp_path / "run", epochs=1, model={"cnn2d": {"feature": "mfcc"}}
        )
        found["metrics"] = beamtune.evaluate(tmp_path / "run", split="validation")

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGTERM) is handler
    assert found["metrics"] == found["classifier"].metrics["validation"]
    words = ["dataset=folder", f"dataset.root={tones.music}", "features=mfcc", "seed=3"]
    assert main(["prepare", *words, f"output_dir={tmp_path}/command"]) == 0
    for path in (tmp_path / "command").iterdir():
        if path.is_file() and path.name != "prepare.yaml":  # which names the folder
            assert path.read_bytes() == (tmp_path / "thread" / path.name).read_bytes(), path.name
    assert len(found["data"].split("train")) > 0


def test_quick_checks_its_settings_before_it_begins(tmp_path: Path) -> None:
    with pytest.raises(beamtune.UserError, match=r"^folds=1: expected 2 to 1000 folds"):
        beamtune.quick(tmp_path / "music", output_dir=tmp_path / "out", folds=1)
    assert not (tmp_path / "out").exists()
