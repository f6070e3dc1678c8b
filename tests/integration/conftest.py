"""Folders of audio that several tests convert."""

import pytest


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
