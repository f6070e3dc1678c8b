"""Parts on Beam's runner on this machine."""

from pathlib import Path

import pytest

from beam_pipelines.common.errors import RunFailedError
from beam_pipelines.runners.config import DirectRunnerConfig
from beam_pipelines.runners.run_parts import run_parts


class WriteFile:
    """Writes a file for each part; fails for one of them."""

    def __init__(self, folder: str, *, fails_at: int | None = None) -> None:
        self._folder = folder
        self._fails_at = fails_at

    def __call__(self, part: int) -> str:
        if part == self._fails_at:
            raise ValueError(f"part {part} is wrong")
        (Path(self._folder) / str(part)).touch()
        return str(part)


@pytest.mark.parametrize("mode", ["in_memory", "multi_threading"])
def test_each_part_is_worked_on(tmp_path: Path, mode: str) -> None:
    run_parts(range(20), WriteFile(str(tmp_path)), config=DirectRunnerConfig(mode=mode), job_name="test")
    assert {int(path.name) for path in tmp_path.iterdir()} == set(range(20))


def test_a_part_that_fails_ends_the_run(tmp_path: Path) -> None:
    with pytest.raises(RunFailedError, match="a step of the pipeline failed: .*part 3 is wrong"):
        run_parts(range(5), WriteFile(str(tmp_path), fails_at=3), config=DirectRunnerConfig(), job_name="test")
