import os
from pathlib import Path

import pytest

from beam_pipelines.common.errors import UserError
from beam_pipelines.datasets.config import FolderDatasetConfig
from beam_pipelines.datasets.registry import list_tracks
from beam_pipelines.splits.assign import assign_splits, split_leak
from beam_pipelines.splits.config import SplitConfig


def put(path, data=b"x"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def test_the_first_folder_is_the_genre_and_the_next_the_artist(tmp_path):
    put(tmp_path / "rock" / "a.mp3", b"12345")
    put(tmp_path / "rock" / "Artist" / "Album" / "b.FLAC")
    put(tmp_path / "jazz" / "Ärtist" / "c d.ogg")
    tracks = list_tracks(FolderDatasetConfig(root=str(tmp_path))).tracks
    assert [(track.track_id, track.label, track.group, track.size_bytes) for track in tracks] == [
        ("jazz/Ärtist/c d.ogg", "jazz", "Artist", 1),
        ("rock/Artist/Album/b.FLAC", "rock", "Artist", 1),
        ("rock/a.mp3", "rock", "rock/a.mp3", 5),
    ]
    assert tracks[0].uri == str(tmp_path / "jazz" / "Ärtist" / "c d.ogg")


def test_albums_and_genres_do_not_divide_an_artist(tmp_path):
    for path in ("rock/Queen/Album1/a.mp3", "rock/queen/Album2/b.mp3", "pop/QUEEN (feat. David Bowie)/c.mp3"):
        put(tmp_path / path)
    put(tmp_path / "pop" / "Queens" / "d.mp3")
    tracks = list_tracks(FolderDatasetConfig(root=str(tmp_path))).tracks
    groups = {track.track_id: track.group for track in tracks}
    assert groups["rock/Queen/Album1/a.mp3"] == groups["rock/queen/Album2/b.mp3"]
    assert groups["rock/Queen/Album1/a.mp3"] == groups["pop/QUEEN (feat. David Bowie)/c.mp3"]
    assert groups["pop/Queens/d.mp3"] == "Queens"


@pytest.mark.parametrize("seed", range(5))
def test_no_artist_is_in_two_splits(tmp_path, seed):
    artist_of = {}
    for number in range(24):
        artist = f"Artist {number % 6}"
        genre = ("rock", "pop")[number // 12]
        track_id = f"{genre}/{artist if number % 2 else artist.upper()}/Album {number % 3}/{number}.mp3"
        put(tmp_path / track_id)
        artist_of[track_id] = number % 6
    tracks = list_tracks(FolderDatasetConfig(root=str(tmp_path))).tracks
    assignment = assign_splits(tracks, SplitConfig(), seed=seed)
    splits_of = {artist: set() for artist in artist_of.values()}
    for track_id, split in assignment.split_of.items():
        splits_of[artist_of[track_id]].add(split)
    assert all(len(splits) == 1 for splits in splits_of.values())
    assert assignment.leak is None


def test_various_artists_are_not_one_artist_and_the_split_is_called_leaky(tmp_path):
    for path in ("rock/Various Artists/Hits/a.mp3", "rock/VA/b.mp3", "pop/Unknown Artist/c.mp3", "pop/X/d.mp3"):
        put(tmp_path / path)
    tracks = list_tracks(FolderDatasetConfig(root=str(tmp_path))).tracks
    assert {track.track_id: track.group for track in tracks} == {
        "pop/Unknown Artist/c.mp3": "pop/Unknown Artist/c.mp3",
        "pop/X/d.mp3": "X",
        "rock/VA/b.mp3": "rock/VA/b.mp3",
        "rock/Various Artists/Hits/a.mp3": "rock/Various Artists/Hits/a.mp3",
    }
    assert split_leak(tracks, "group").startswith("who made 3 of the 4 tracks is not known")


def test_hidden_files_other_files_and_files_without_a_genre_are_left_out(tmp_path):
    put(tmp_path / "loose.mp3")
    put(tmp_path / "rock" / "cover.jpg")
    put(tmp_path / "rock" / ".hidden.mp3")
    put(tmp_path / ".trash" / "old.mp3")
    put(tmp_path / "rock" / "a.mp3")
    put(tmp_path / "jazz" / "b.au")
    listing = list_tracks(FolderDatasetConfig(root=str(tmp_path)))
    assert [track.track_id for track in listing.tracks] == ["jazz/b.au", "rock/a.mp3"]
    assert listing.notes == [
        "hidden audio files left out (2): .trash/old.mp3, rock/.hidden.mp3",
        f"1 audio file left out: directly in {tmp_path}, in no genre's folder",
    ]


def test_a_linked_genre_is_a_genre(tmp_path):
    put(tmp_path / "music" / "rock" / "a.mp3")
    put(tmp_path / "disk2" / "jazz" / "b.mp3")
    (tmp_path / "music" / "jazz").symlink_to("../disk2/jazz")
    listing = list_tracks(FolderDatasetConfig(root=str(tmp_path / "music")))
    assert [track.track_id for track in listing.tracks] == ["jazz/b.mp3", "rock/a.mp3"]
    assert listing.notes == []


def test_wildcards_in_the_folder_name_are_literal(tmp_path):
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
def test_a_missing_and_an_empty_folder_have_different_errors(tmp_path, name, message):
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
    assert listing.notes == ["1 file left out: names that are not UTF-8"]


def test_one_genre_is_refused(tmp_path):
    put(tmp_path / "rock" / "a.mp3")
    with pytest.raises(UserError, match="one genre only, 'rock'"):
        list_tracks(FolderDatasetConfig(root=str(tmp_path)))


@pytest.mark.parametrize("below", ["a.mp3", "artist/a.mp3"])
def test_a_root_too_deep_is_refused_with_the_folders_above(tmp_path, below):
    put(tmp_path / "Music" / "rock" / below)
    with pytest.raises(UserError) as caught:
        list_tracks(FolderDatasetConfig(root=f"{tmp_path}/Music/rock/"))
    hint = f"; if {tmp_path}/Music/rock is the folder of one genre, set dataset.root={tmp_path}/Music"
    of_artist = f"; if it is that of one artist, dataset.root={tmp_path}" if below == "a.mp3" else ""
    assert str(caught.value).endswith(f"{hint}{of_artist}")


def test_a_relative_root_one_level_too_deep_is_refused_with_the_working_folder(tmp_path, monkeypatch):
    put(tmp_path / "rock" / "a.mp3")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"set dataset\.root=\.$"):
        list_tracks(FolderDatasetConfig(root="rock"))


@pytest.mark.parametrize(
    ("names", "is_noted"),
    [
        ([f"artist{number}/album/{song}.mp3" for number in range(4) for song in "ab"], True),
        ([f"genre{number}/artist{artist}/{number}.mp3" for number in range(4) for artist in "ab"], False),
        ([f"genre{number}/{song}.mp3" for number in range(4) for song in "ab"], False),
        ([f"genre{number}/{number}.mp3" for number in range(4)], False),
        ([f"genre{number}/artist/a.mp3" for number in range(3)], False),
    ],
)
def test_artists_in_place_of_genres_are_noted(tmp_path: Path, names: list[str], is_noted: bool) -> None:
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    notes = list_tracks(FolderDatasetConfig(name="mine", root=str(tmp_path))).notes
    assert [note.startswith("most folders in ") for note in notes] == [True] * is_noted
