"""Folders of audio that several tests convert, and prepared data for searches."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from configs.cli import main


@pytest.fixture
def music(write_audio, tmp_path):
    """A folder with a few formats, depths, rates and channels, and other files beside them."""
    root = tmp_path / "music"
    write_audio(root / "one.mp3", sample_rate_hz=44_100, channels=2, duration_s=2.0)
    write_audio(root / "a" / "two.flac", sample_rate_hz=22_050, duration_s=1.0)
    write_audio(root / "a" / "three.ogg", sample_rate_hz=48_000, channels=2, duration_s=1.0)
    write_audio(root / "a" / "b" / "four.WAV", sample_rate_hz=16_000, channels=6, duration_s=1.0)
    write_audio(root / ".trash" / "hidden.mp3", sample_rate_hz=16_000)
    (root / "a" / "cover.jpg").write_bytes(b"no audio")
    return root


@pytest.fixture(scope="session")
def _tune_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tune_data")
    music = [f"dataset.root={root}/music", "dataset.artists_per_genre=4", "dataset.tracks_per_artist=1"]
    quick = ["dataset.duration_s=5", "features.log_mel.n_mels=16", "runner.num_workers=2", "shards.min_shards=1"]
    assert main(["prepare", *music, *quick, f"output_dir={root}/data"]) == 0
    return root / "data"


@pytest.fixture(scope="session")
def write_tune_folder(_tune_data: Path) -> Callable[[Path, str], Path]:
    """Writes data/, composed music of five genres that is prepared, and space.yaml to a folder: (folder, space)."""

    def write(folder: Path, space: str) -> Path:
        shutil.copytree(_tune_data, folder / "data")
        (folder / "space.yaml").write_text(space)
        return folder

    return write
