"""How many requests pipelines make on gs://: what each shard and each file may cost."""

from pathlib import Path

import pytest
from gcs.fixture import Gcs

pytestmark = pytest.mark.slow

NUM_TRACKS = 16


@pytest.fixture
def music(gcs: Gcs, make_collection, tmp_path: Path) -> str:
    """Returns the URL of a folder with tracks of two genres."""
    return gcs.upload(make_collection(tmp_path / "music", duration_s=2.0), "music")


def test_prepare_makes_few_requests(gcs: Gcs, music: str) -> None:
    done = gcs.run(
        [
            *("prepare", "dataset=folder", f"dataset.root={music}", f"output_dir={gcs.url}/prepared"),
            *("segment.duration_s=1", "segment.hop_s=1", "shards.min_shards=4", "runner.num_workers=2"),
        ]
    )
    assert done.returncode == 0, done.stderr
    num_shards = sum(".tfrecord-" in name for name in gcs.contents("prepared"))
    assert num_shards >= 6
    counts = gcs.count_requests()
    assert counts.requests <= 3 * NUM_TRACKS + 8 * num_shards + 40, counts


def test_convert_makes_few_requests(gcs: Gcs, music: str) -> None:
    """With as many batches as files, which is the most expensive."""
    done = gcs.run(["convert", f"source={music}", f"output_dir={gcs.url}/wav", "runner.num_workers=4"])
    assert done.returncode == 0, done.stderr
    assert sum(name.endswith(".wav") for name in gcs.contents("wav")) == NUM_TRACKS
    counts = gcs.count_requests()
    assert counts.requests <= 4 * NUM_TRACKS + 40, counts
