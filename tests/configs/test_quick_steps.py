"""Steps of `beamtune quick` that may fail without ending it."""

from pathlib import Path
from typing import Any

import pytest

from beam_pipelines.common.errors import RunFailedError
from beam_pipelines.datasets.config import FolderDatasetConfig
from beam_pipelines.features.config import YamnetConfig
from beam_pipelines.runners.config import DirectRunnerConfig
from configs import quick_steps
from trainer.quick.config import QuickConfig
from trainer.quick.quick_dir import QuickDir


def test_an_export_that_differs_too_much_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise RunFailedError("saved_model differs")

    monkeypatch.setattr("trainer.export.export.export", refuse)
    directory = QuickDir(str(tmp_path))
    config = QuickConfig(
        output_dir=directory.path,
        dataset=FolderDatasetConfig(root="/music"),
        features={"yamnet": YamnetConfig()},
        runner=DirectRunnerConfig(),
    )
    quick_steps._export(directory, config)
    assert capsys.readouterr().err == (
        "4/5 export: saved_model, written and compared with predict\n"
        f"note: no export: saved_model differs; later: beamtune export {directory.run} output_dir={directory.export}\n"
    )
