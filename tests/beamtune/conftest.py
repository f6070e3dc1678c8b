"""Composed music, and tones, each prepared and trained on once for all tests of the Python API."""

from collections.abc import Callable
from pathlib import Path

import pytest
from tones import Tones

import beamtune
from beam_pipelines.datasets.config import SyntheticDatasetConfig
from beam_pipelines.datasets.synthetic import write_tracks


@pytest.fixture(scope="session")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with music/<genre>/<artist>/<n>.mp3, song.mp3 that is not in it, prepared/ and run/."""
    folder = tmp_path_factory.mktemp("api")
    composed = folder / "composed"
    write_tracks(
        SyntheticDatasetConfig(root=str(composed), artists_per_genre=3, tracks_per_artist=2, duration_s=12.0),
        num_workers=2,
    )
    for source in composed.glob("*/*.mp3"):
        artist, number, _ = source.name.split(".")
        target = folder / "music" / source.parent.name / artist / f"{number}.mp3"
        target.parent.mkdir(parents=True, exist_ok=True)
        source.rename(target)
    last = max(path for path in (folder / "music" / "techno").glob("*/01.mp3"))
    last.rename(folder / "song.mp3")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)  # relative paths, as in the examples
        data = beamtune.prepare(dataset={"folder": {"root": "music"}}, output_dir="prepared", shards={"min_shards": 2})
        beamtune.train(data_dir=data.path, run_dir="run", epochs=3)
    return folder


@pytest.fixture(scope="session")
def tones(tmp_path_factory: pytest.TempPathFactory, make_collection: Callable[..., Path]) -> Tones:
    folder = tmp_path_factory.mktemp("tones")
    made = Tones(music=make_collection(folder / "music"), data_dir=folder / "data, 1=x", run_dir=folder / "run 'a'")
    beamtune.prepare(
        dataset={"folder": {"root": made.music}},
        output_dir=made.data_dir,
        segment={"duration_s": 1, "hop_s": 1},
        features={"log_mel": {"n_mels": 32}, "mfcc": {}},
        shards={"min_shards": 2},
    )
    beamtune.train(data_dir=made.data_dir, run_dir=made.run_dir, epochs=2, global_batch_size=8)
    return made
