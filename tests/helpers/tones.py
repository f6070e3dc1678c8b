"""What the tests of the Python API share."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Tones:
    """A collection of tones of two genres, prepared in segments of a second, and a run on it."""

    music: Path
    data_dir: Path
    run_dir: Path

    @property
    def song(self) -> Path:
        """Four seconds of a genre."""
        return self.music / "genre1" / "artist10" / "0.wav"
