"""Music files of all formats, with tags of all kinds and without."""

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
import raw_tags
from audio_bytes import by_ffmpeg, by_libsndfile, mp3, music

# A picture that needs more than the 255 * 255 bytes of one Ogg page, with bytes that ID3 may have to escape.
PICTURE = b"\xff\xd8\xff\xe0\xff\x00\xff\xfe" + bytes(range(256)) * 300
GENRES = ("techno", "Drum/Bass")


def _by_format() -> dict[str, bytes]:
    samples = music(0.6, channels=2)
    return {
        "mp3": mp3(samples),
        "wav": by_libsndfile(samples, "WAV", "PCM_16"),
        "aiff": by_libsndfile(samples, "AIFF", "PCM_16"),
        "flac": by_libsndfile(samples, "FLAC", "PCM_16"),
        "ogg": by_libsndfile(samples, "OGG", "VORBIS"),
        "opus": by_libsndfile(samples, "OGG", "OPUS", rate_hz=48_000),
        "oga": by_ffmpeg(samples, "ogg", "flac", tags={"title": "Größe"}),
        "m4a": by_ffmpeg(samples, "ipod", "aac", tags={"title": "Größe"}),
    }


@pytest.fixture(scope="session")
def untagged() -> dict[str, bytes]:
    """A file of each format by its extension, with the tags that its encoder writes."""
    return _by_format()


@pytest.fixture(scope="session")
def mp3_bytes(untagged: dict[str, bytes]) -> bytes:
    """An mp3 without tags."""
    return untagged["mp3"]


@pytest.fixture(scope="session")
def m4a_bytes(untagged: dict[str, bytes]) -> bytes:
    """An M4A file."""
    return untagged["m4a"]


@pytest.fixture
def song(tmp_path: Path, mp3_bytes: bytes) -> Path:
    """An mp3 with a title and the genre Rock."""
    frames = [raw_tags.id3_frame("TIT2", b"\x03Title"), raw_tags.id3_frame("TCON", b"\x03Rock")]
    path = tmp_path / "song.mp3"
    path.write_bytes(raw_tags.id3_tag(frames) + mp3_bytes)
    return path


@pytest.fixture
def as_nobody(tmp_path: Path) -> "Callable[[Callable[[], object]], None]":
    """Calls a function as a user who may do nothing but what permissions of others allow; root may do all."""

    def call(function: Callable[[], object]) -> None:
        if os.geteuid() != 0:
            function()
            return
        parents = [one for one in [tmp_path, *tmp_path.parents] if one.stat().st_uid == 0 and len(one.parts) > 2]
        modes = {one: stat.S_IMODE(one.stat().st_mode) for one in parents}
        for one, mode in modes.items():
            one.chmod(mode | 0o011)
        os.seteuid(65_534)
        try:
            function()
        finally:
            os.seteuid(0)
            for one, mode in modes.items():
                one.chmod(mode)

    return call
