import tarfile
import threading
import zipfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from beam_pipelines.common.errors import UserError
from beam_pipelines.datasets import gtzan
from beam_pipelines.datasets.config import GtzanDatasetConfig
from beam_pipelines.datasets.gtzan import GENRES, fault_filtered_splits
from beam_pipelines.datasets.registry import list_tracks

# In train, validation, test and none of the lists of the fault-filtered partition.
CLIPS = {"blues.00029": "train", "blues.00000": "validation", "blues.00099": "test", "blues.00049": "train"}
CLIPS |= {"jazz.00054": "train", "jazz.00002": "validation", "jazz.00099": "test", "jazz.00033": "excluded"}


def touch(root: Path, names) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"12")
    return root


def layout(folder, ending):
    return [f"{folder}/{clip.split('.')[0]}/{clip}.{ending}" for clip in CLIPS]


def tracks_of(root):
    return list_tracks(GtzanDatasetConfig(root=str(root))).tracks


def test_the_partition_has_the_published_sizes_and_no_clip_twice():
    splits = fault_filtered_splits()
    assert Counter(splits.values()) == {"train": 443, "validation": 197, "test": 290}
    # By hand from the lists: the ends of ranges, a number alone, and a number in no list.
    assert [splits.get(f"disco.{number:05d}") for number in (5, 15, 20, 21, 0, 2, 3, 99)] == [
        "train",
        "train",
        "train",
        "test",
        "validation",
        "validation",
        "validation",
        "test",
    ]
    assert "jazz.00033" not in splits


@pytest.mark.parametrize(("folder", "ending"), [("genres", "au"), ("Data/genres_original", "wav"), (".", "au")])
@pytest.mark.parametrize("trailing", ["", "/"])
def test_both_layouts_give_the_same_tracks(tmp_path, folder, ending, trailing):
    touch(tmp_path, layout(folder, ending))
    tracks = tracks_of(f"{tmp_path}{trailing}")
    assert {track.track_id: track.split for track in tracks} == CLIPS
    assert [(track.label, track.group, track.size_bytes) for track in tracks if track.track_id == "jazz.00002"] == [
        ("jazz", "jazz.00002", 2)
    ]
    assert {Path(track.uri) for track in tracks} == {tmp_path / name for name in layout(folder, ending)}


def test_other_files_are_left_out(tmp_path):
    touch(tmp_path, layout("genres", "au"))
    touch(
        tmp_path,
        [
            "genres/blues/._blues.00001.au",
            "genres/blues/jazz.00001.au",
            "genres/polka/polka.00001.au",
            "genres/blues/blues.1.au",
            "images_original/blues/blues00000.png",
            "genres/blues/blues.00001.mf",
        ],
    )
    assert {track.track_id for track in tracks_of(tmp_path)} == set(CLIPS)


def test_the_known_fault_is_marked_and_missing_clips_are_noted(tmp_path):
    listing = list_tracks(GtzanDatasetConfig(root=str(touch(tmp_path, layout("genres", "au")))))
    faults = {track.track_id: track.known_fault for track in listing.tracks if track.known_fault}
    assert faults == {"jazz.00054": "it is unreadable in the copy of the data set that is in wide use"}
    assert listing.notes == [
        "8 of the 1000 clips of GTZAN are present; `beamtune download gtzan` lists the missing ones",
    ]


def test_a_whole_data_set_has_no_notes(tmp_path):
    names = [f"genres/{genre}/{genre}.{number:05d}.au" for genre in GENRES for number in range(100)]
    listing = list_tracks(GtzanDatasetConfig(root=str(touch(tmp_path, names))))
    assert listing.notes == []
    assert Counter(track.split for track in listing.tracks) == {
        "train": 443,
        "validation": 197,
        "test": 290,
        "excluded": 70,
    }


@pytest.mark.parametrize("ending", ["tar.gz", "zip"])
def test_an_archive_is_unpacked_once_in_its_folder(tmp_path, ending):
    touch(tmp_path / "in", layout("genres", "au"))
    archive = tmp_path / f"genres.{ending}"
    if ending == "zip":
        with zipfile.ZipFile(archive, "w") as file:
            for name in layout("genres", "au"):
                file.write(tmp_path / "in" / name, name)
    else:
        with tarfile.open(archive, "w:gz") as file:
            file.add(tmp_path / "in" / "genres", "genres")
    assert {track.track_id for track in tracks_of(archive)} == set(CLIPS)
    folder = tmp_path / f"genres.{ending}.unpacked"
    first = folder / "genres" / "blues" / "blues.00000.au"
    written_ns = first.stat().st_mtime_ns
    assert len(tracks_of(archive)) == len(CLIPS)
    assert first.stat().st_mtime_ns == written_ns


def test_of_two_that_need_an_archive_one_unpacks_it(tmp_path, monkeypatch):
    archive = tmp_path / "genres.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for name in layout("genres", "au"):
            file.writestr(name, b"x")
    unpacked = []
    real_holding, real_extract = gtzan.holding, gtzan.extract_archive
    both_look = threading.Barrier(2)

    def holding(*args, **settings):
        both_look.wait(60)  # neither has found the folder
        return real_holding(*args, **settings)

    monkeypatch.setattr(gtzan, "holding", holding)
    monkeypatch.setattr(
        gtzan, "extract_archive", lambda *args, **settings: unpacked.append(args) or real_extract(*args, **settings)
    )
    with ThreadPoolExecutor(2) as threads:
        found = list(threads.map(tracks_of, [archive, archive]))
    assert [len(tracks) for tracks in found] == [len(CLIPS)] * 2
    assert len(unpacked) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["genres.zip", "genres.zip.unpacked"]


def test_a_damaged_archive_leaves_nothing(tmp_path):
    archive = tmp_path / "genres.tar.gz"
    archive.write_bytes(b"\x1f\x8b\x08 this is no archive")
    with pytest.raises(UserError, match=r"genres\.tar\.gz"):
        tracks_of(archive)
    assert [path.name for path in tmp_path.iterdir()] == ["genres.tar.gz"]


def test_both_layouts_at_once_are_refused(tmp_path):
    touch(tmp_path, [*layout("genres", "au"), *layout("genres_original", "wav")])
    with pytest.raises(UserError, match=r"names the track 'blues\.00000' 2 times"):
        tracks_of(tmp_path)


@pytest.mark.parametrize("names", [[], ["rock/song.mp3"]])
def test_a_folder_without_clips_says_what_is_expected(tmp_path, names):
    touch(tmp_path, names)
    with pytest.raises(UserError, match=r"holds no clips of GTZAN: expected <genre>/<genre>\.00000\.au or \.wav in it"):
        tracks_of(tmp_path)
