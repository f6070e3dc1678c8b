"""The wheel of this checkout, and settings with which each command takes seconds."""

import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
MUSIC = ("dataset.root=s", "dataset.artists_per_genre=4", "dataset.tracks_per_artist=1", "dataset.duration_s=4")
SEGMENTS = ("segment.duration_s=2", "segment.hop_s=2", "features.log_mel.n_mels=16")
MODEL = ("model.filters=[4,4]", "model.time_pools=[4,4]", "model.band_pools=[4,4]", "epochs=1")
SPACE = "search: {model.dropout: {choice: [0.1, 0.2]}}"


def build_wheel(folder: Path) -> Path:
    """Builds the wheel in a folder that holds no other one; returns its path."""
    words = ("wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(REPOSITORY))
    subprocess.run([sys.executable, "-m", "pip", *words], check=True, timeout=600)
    [wheel] = folder.glob("*.whl")
    return wheel
