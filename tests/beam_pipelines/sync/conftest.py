"""`beamtune sync` in the process of the test, on the emulator."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from gcs.fixture import Gcs

from beam_pipelines.common import bucket_access
from configs.cli import main


@pytest.fixture
def sync(gcs_here: Gcs, capfd: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Returns a function that runs the command with some words and returns what it prints.

    It asserts the exit code: `sync(source, destination, exit_code=2)`.
    """

    def run(*words: object, exit_code: int = 0) -> str:
        # A command is a process of its own, which has checked no bucket yet.
        bucket_access._writable.clear()
        bucket_access._readable.clear()
        capfd.readouterr()
        found = main(["sync", *map(str, words)])
        captured = capfd.readouterr()
        assert found == exit_code, captured.err
        return captured.out if found == 0 else captured.err

    return run


@pytest.fixture
def music(tmp_path: Path) -> Path:
    """Returns a folder with five files of 0 bytes to 9 MiB."""
    folder = tmp_path / "music"
    contents = {
        "rock/a.mp3": b"a" * 3000,
        "rock/deep/er/b.mp3": bytes(range(256)) * 100,
        "jazz/ä b*[c]?#%2F.mp3": b"c",
        "tracks.csv": b"",
        "big.wav": os.urandom(9 << 20),  # more than one request of the client takes
    }
    for name, content in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder
