import io
import threading
import time

import numpy as np
import pytest
from audio_bytes import by_ffmpeg, id3v1_artist, id3v2, id3v2_artist, mp3

from beam_pipelines.datasets import tagged_artists
from beam_pipelines.datasets.config import FolderDatasetConfig, GtzanDatasetConfig
from beam_pipelines.datasets.registry import list_tracks, notes_on_tags
from beam_pipelines.datasets.track import Track

SILENCE = np.zeros((4_410, 1), dtype=np.float32)
MP3 = mp3(SILENCE)


def tagged(artist: str = "", album_artist: str = "") -> bytes:
    return by_ffmpeg(SILENCE, "flac", "flac", tags={"artist": artist, "album_artist": album_artist})


def notes(root, files: dict[str, bytes]) -> list[str]:
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    config = FolderDatasetConfig(root=str(root))
    return notes_on_tags(config, list_tracks(config).tracks)


def track_at(path, data: bytes) -> Track:
    path.write_bytes(data)
    return Track(track_id=path.name, uri=str(path), label="rock", group=path.name, size_bytes=len(data))


def test_an_artist_in_two_folders_is_named_with_both(tmp_path):
    files = {
        "rock/Queen/a.mp3": id3v2_artist("QUEEN") + MP3,
        "rock/Best of/b.flac": tagged("Queen feat. David Bowie"),
        "pop/Best of/c.flac": tagged("ABBA"),
        "pop/d.flac": tagged("Roxette"),
    }
    assert notes(tmp_path, files) == [
        "artist tags in the files contradict the folders: 1 artist is in several groups, so that tracks of one artist "
        "may be in training and in the test: 'QUEEN' in 'Best of', 'Queen'. Put all files of an artist into one folder "
        "below the genre, or use dataset=csv with a column of artists"
    ]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (tagged("Björk"), MP3 + id3v1_artist("BJORK")),
        (tagged("Björk"), tagged("Björk;Thom Yorke")),
        (tagged("", "Björk"), tagged("Björk", "Various Artists")),
        (tagged("Various Artists", "Björk"), id3v2_artist("Björk") + MP3),
    ],
)
def test_tags_that_name_one_artist(tmp_path, one, other):
    [note] = notes(tmp_path, {"rock/A/1.flac": one, "pop/B/2.flac": other})
    assert "in 'A', 'B'." in note


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (tagged(), tagged()),
        (tagged("Various Artists"), tagged("Various Artists")),
        (tagged("Unknown Artist"), tagged("Unknown Artist", "VA")),
        (tagged("X" * 201), tagged("X" * 201)),
        (tagged(" "), tagged(" ")),
        (tagged("Queen"), tagged("Queen & David Bowie")),
        (tagged("Queen"), b"no music"),
        (id3v2_artist("Queen") + MP3, id3v2_artist("Queen")),
        (b"", id3v2(100) + bytes(100)),
    ],
)
def test_tags_that_contradict_nothing(tmp_path, one, other):
    assert notes(tmp_path, {"rock/A/1.flac": one, "pop/B/2.flac": other}) == []


def test_folders_that_agree_with_the_tags(tmp_path):
    files = {
        "rock/Queen/1/a.flac": tagged("Queen"),
        "rock/queen/2/b.flac": tagged("Queen"),
        "pop/QUEEN/c.flac": tagged("Queen"),
        "pop/Soundtrack/d.flac": tagged("One"),
        "pop/Soundtrack/e.flac": tagged("Two"),
    }
    assert notes(tmp_path, files) == []


def test_tracks_without_an_artists_folder_are_groups_too(tmp_path):
    files = {"rock/a.flac": tagged("Queen"), "pop/Various Artists/b.flac": tagged("Queen")}
    [note] = notes(tmp_path, files)
    assert "'Queen' in 'pop/Various Artists/b.flac', 'rock/a.flac'." in note


def test_long_lists_are_cut_and_control_characters_are_escaped(tmp_path):
    files = {
        f"{genre}/{number}-{genre}/{artist}.flac": tagged(f"\x1b[2J{artist}")
        for artist in range(7)
        for genre in ("pop", "rock")
        for number in range(2)
    }
    [note] = notes(tmp_path, files)
    assert "7 artists are in several groups" in note
    assert r"'\x1b[2J0' in '0-pop', '0-rock', '1-pop' and 1 other; '\x1b[2J1' in " in note
    assert r"'\x1b[2J4' in '0-pop', '0-rock', '1-pop' and 1 other; and 2 more. Put" in note
    assert "\x1b" not in note


def test_files_that_are_not_read_in_time_are_counted(tmp_path):
    files = {"rock/A/1.flac": tagged("Queen"), "pop/B/2.flac": tagged("Queen")}
    assert len(notes(tmp_path, files)) == 1
    tracks = list_tracks(FolderDatasetConfig(root=str(tmp_path))).tracks
    assert tagged_artists.tagged_artists_notes(tracks, max_duration_s=0.0) == [
        "the tags of 0 of 2 files were read in 0 s, and their artists do not contradict the folders"
    ]


def test_a_file_that_takes_long_is_not_waited_for_and_found_artists_are_named(tmp_path, monkeypatch):
    is_over = threading.Event()

    def read_tags(file):
        if file.read() == b"endless":
            is_over.wait(60.0)
        return {"artist": "Queen"}

    monkeypatch.setattr(tagged_artists, "read_tags", read_tags)
    contents = {"a.flac": b"", "b.flac": b"", "c.flac": b"endless"}
    tracks = [track_at(tmp_path / name, data) for name, data in contents.items()]
    started_s = time.monotonic()
    [note] = tagged_artists.tagged_artists_notes(tracks, max_duration_s=2.0)
    assert time.monotonic() - started_s < 30.0
    is_over.set()
    assert note.startswith(
        "artist tags in the files contradict the folders (the tags of 2 of 3 files were read in 2 s): 1 artist is in "
    )
    assert "'Queen' in 'a.flac', 'b.flac'." in note


def test_one_file_of_each_folder_is_read_first(tmp_path, monkeypatch):
    files = {f"{genre}/{genre}/{number}.wav": b"" for genre in ("a", "b") for number in range(200)}
    opened = []

    def open_file(path):
        opened.append(path)
        return io.BytesIO(b"")

    monkeypatch.setattr("beam_pipelines.common.storage.open_file", open_file)
    monkeypatch.setattr(tagged_artists, "_THREADS", 1)
    assert notes(tmp_path, files) == []
    assert opened == [
        f"{tmp_path}/{genre}/{genre}/{number}.wav" for number in sorted(map(str, range(200))) for genre in ("a", "b")
    ]


@pytest.mark.parametrize(
    ("config", "num_notes"),
    [
        (FolderDatasetConfig(root="music"), 1),
        (FolderDatasetConfig(root="gs://bucket/music"), 0),
        (GtzanDatasetConfig(root="music"), 0),
    ],
)
def test_remote_files_and_other_data_sets_are_not_read(tmp_path, config, num_notes):
    tracks = [track_at(tmp_path / name, tagged("Queen")) for name in ("a.flac", "b.flac")]
    assert len(notes_on_tags(config, tracks)) == num_notes
