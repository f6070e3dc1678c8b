import os

import pytest

from beam_pipelines.common.errors import UserError
from beam_pipelines.datasets.config import FolderDatasetConfig
from beam_pipelines.datasets.registry import list_tracks


def put(path, data=b"x"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def test_the_first_folder_is_the_genre_and_the_next_the_group(tmp_path):
    put(tmp_path / "rock" / "a.mp3", b"12345")
    put(tmp_path / "rock" / "Artist" / "Album" / "b.FLAC")
    put(tmp_path / "jazz" / "Ärtist" / "c d.ogg")
    tracks = list_tracks(FolderDatasetConfig(root=str(tmp_path))).tracks
    assert [(track.track_id, track.label, track.group, track.size_bytes) for track in tracks] == [
        ("jazz/Ärtist/c d.ogg", "jazz", "jazz/Ärtist", 1),
        ("rock/Artist/Album/b.FLAC", "rock", "rock/Artist/Album", 1),
        ("rock/a.mp3", "rock", "rock/a.mp3", 5),
    ]
    assert tracks[0].uri == str(tmp_path / "jazz" / "Ärtist" / "c d.ogg")


def test_hidden_files_other_files_and_files_without_a_genre_are_passed_over(tmp_path):
    put(tmp_path / "loose.mp3")
    put(tmp_path / "rock" / "cover.jpg")
    put(tmp_path / "rock" / ".hidden.mp3")
    put(tmp_path / ".trash" / "old.mp3")
    put(tmp_path / "rock" / "a.mp3")
    put(tmp_path / "jazz" / "b.au")
    assert [track.track_id for track in list_tracks(FolderDatasetConfig(root=str(tmp_path))).tracks] == [
        "jazz/b.au",
        "rock/a.mp3",
    ]


def test_wildcards_in_the_folder_name_are_meant_literally(tmp_path):
    root = tmp_path / "Music [2020] *"
    put(root / "rock" / "a[1].mp3")
    put(root / "jazz" / "b?.mp3")
    put(tmp_path / "Music 2 x" / "rock" / "other.mp3")
    assert [track.track_id for track in list_tracks(FolderDatasetConfig(root=f"{root}/")).tracks] == [
        "jazz/b?.mp3",
        "rock/a[1].mp3",
    ]


@pytest.mark.parametrize(
    ("name", "message"), [("absent", "there is no such folder"), ("empty", "holds no audio files")]
)
def test_a_missing_and_an_empty_folder_are_told_apart(tmp_path, name, message):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=message):
        list_tracks(FolderDatasetConfig(root=str(tmp_path / name)))


def test_names_that_are_not_utf_8_are_left_out_and_counted(tmp_path):
    put(tmp_path / "rock" / "a.mp3")
    put(tmp_path / "jazz" / "b.mp3")
    with open(os.fsencode(tmp_path / "jazz") + b"/caf\xe9.mp3", "wb"):
        pass
    listing = list_tracks(FolderDatasetConfig(root=str(tmp_path)))
    assert [track.track_id for track in listing.tracks] == ["jazz/b.mp3", "rock/a.mp3"]
    assert listing.notes == ["1 files have names that are not UTF-8 and are left out"]


def test_one_genre_is_refused(tmp_path):
    put(tmp_path / "rock" / "a.mp3")
    with pytest.raises(UserError, match="one genre only, 'rock'"):
        list_tracks(FolderDatasetConfig(root=str(tmp_path)))


@pytest.mark.parametrize("below", ["a.mp3", "artist/a.mp3"])
def test_a_root_one_level_too_deep_is_answered_with_its_parent(tmp_path, below):
    put(tmp_path / "Music" / "rock" / below)
    with pytest.raises(UserError) as caught:
        list_tracks(FolderDatasetConfig(root=f"{tmp_path}/Music/rock/"))
    hint = f"; if {tmp_path}/Music/rock is the folder of one genre, set dataset.root={tmp_path}/Music"
    assert str(caught.value).endswith(hint)


def test_a_relative_root_one_level_too_deep_is_answered_with_the_working_folder(tmp_path, monkeypatch):
    put(tmp_path / "rock" / "a.mp3")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"set dataset\.root=\.$"):
        list_tracks(FolderDatasetConfig(root="rock"))
