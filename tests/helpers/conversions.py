"""`beamtune convert` in tests: its settings, and what it wrote."""

import json
from pathlib import Path

import numpy as np
import soundfile

from beam_pipelines.convert.config import ConvertConfig
from beam_pipelines.runners.config import DirectRunnerConfig

# Of the fixture `music` of tests/integration.
OUTPUTS = {"one.wav", "a/two.wav", "a/three.wav", "a/b/four.wav"}


def config_for(source: Path, output_dir: Path, **changes) -> ConvertConfig:
    return ConvertConfig(
        **{"source": str(source), "output_dir": str(output_dir), "runner": DirectRunnerConfig(num_workers=2), **changes}
    )


def contents(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def written_ns(directory: Path, ending: str = "wav") -> dict[str, int]:
    return {str(path.relative_to(directory)): path.stat().st_mtime_ns for path in directory.rglob(f"*.{ending}")}


def json_lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def read_pcm(path: Path) -> tuple[np.ndarray, int]:
    return soundfile.read(path, dtype="int16", always_2d=True)
