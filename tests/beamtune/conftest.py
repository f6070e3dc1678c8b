"""Composed music, prepared and trained on once for all tests of the Python API."""

import shutil
from pathlib import Path

import pytest

import beamtune
from beam_pipelines.datasets.config import SyntheticDatasetConfig
from beam_pipelines.datasets.synthetic import write_tracks


@pytest.fixture(scope="session")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with music/<genre>/<artist>/<n>.mp3, song.mp3 of a further artist, prepared/ and run/."""
    folder = tmp_path_factory.mktemp("api")
    composed = folder / "composed"
    tracks = write_tracks(
        SyntheticDatasetConfig(root=str(composed), artists_per_genre=3, tracks_per_artist=2, duration_s=12.0),
        num_workers=2,
    )
    for track in tracks:
        artist, number, _ = Path(track.uri).name.split(".")
        target = folder / "music" / track.genre / artist / f"{number}.mp3"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(track.uri, target)
    last = max(path for path in (folder / "music" / "techno").glob("*/01.mp3"))
    shutil.move(last, folder / "song.mp3")
    data = beamtune.prepare(
        dataset={"folder": {"root": folder / "music"}}, output_dir=folder / "prepared", shards={"min_shards": 2}
    )
    beamtune.train(data_dir=data.path, run_dir=folder / "run", epochs=3)
    return folder
