"""`calibration.json`: written, read, missing, damaged, of a later version."""

import json
from pathlib import Path

import pytest

from beam_pipelines.common.errors import UserError
from trainer.metrics.calibration import Calibration
from trainer.runs.calibration_file import read_calibration, write_calibration
from trainer.runs.run_dir import RunDir

CALIBRATION = Calibration(segment=1 / 3, track=0.1, num_tracks=12)
CONTENT = {"version": 1, "method": "temperature", "segment": 1 / 3, "track": 0.1, "num_tracks": 12}


def test_what_is_written_is_read(tmp_path: Path) -> None:
    run = RunDir(str(tmp_path))
    assert read_calibration(run) is None
    write_calibration(run, CALIBRATION)
    assert json.loads((tmp_path / "calibration.json").read_text()) == CONTENT
    assert read_calibration(run) == CALIBRATION


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        b"\xff",
        json.dumps({**CONTENT, "segment": 0}),
        json.dumps({**CONTENT, "track": float("nan")}),
        json.dumps({**CONTENT, "track": float("inf")}),
        json.dumps({**CONTENT, "track": None}),
        json.dumps({name: value for name, value in CONTENT.items() if name != "segment"}),
    ],
)
def test_damage_is_named(tmp_path: Path, text: str | bytes) -> None:
    (tmp_path / "calibration.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError, match=r"calibration.json is damaged .* split=validation calibrate=true writes it"):
        read_calibration(RunDir(str(tmp_path)))


def test_a_later_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / "calibration.json").write_text(json.dumps({**CONTENT, "version": 2}))
    with pytest.raises(UserError, match="has version 2 and method temperature: expected version 1"):
        read_calibration(RunDir(str(tmp_path)))
