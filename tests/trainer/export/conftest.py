import json
from pathlib import Path

import pytest

from trainer.training.config import TrainConfig


@pytest.fixture
def music(finished: TrainConfig, tmp_path: Path) -> Path:
    """A folder that the tracks of the finished run's data set are said to be in; it is empty."""
    folder = tmp_path / "music"
    folder.mkdir()
    path = Path(finished.data_dir) / "tracks.jsonl"
    tracks = [json.loads(line) for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps({**t, "uri": str(folder / t["track_id"])}) + "\n" for t in tracks))
    return folder
