"""Files, folders and patterns of the command line."""

import os
from pathlib import Path

import pytest

from beam_pipelines.audio.load import AUDIO_EXTENSIONS
from beam_pipelines.common.errors import UserError
from trainer.tag.find_files import find_files
from trainer.tag.formats import TAGGED_EXTENSIONS


@pytest.fixture
def music(tmp_path: Path) -> Path:
    """A folder of empty files: the content is not looked at."""
    for name in ("b.mp3", "a/c.FLAC", "a/d.opus", "a/e.wma", "a/.hidden.mp3", ".git/f.mp3", "a/cover.jpg", "x[1].mp3"):
        path = tmp_path / "music" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path / "music"


def names(music: Path, *given: str) -> list[str]:
    return [os.path.relpath(path, music) for path in find_files([str(music / one) for one in given]).paths]


def test_folders_are_searched_and_what_is_left_out_is_named(music: Path) -> None:
    assert names(music, ".") == ["a/c.FLAC", "a/d.opus", "b.mp3", "x[1].mp3"]
    assert sorted(find_files([str(music)]).notes) == [
        f"audio files of other formats left out (1): {music}/a/e.wma",
        f"hidden audio files left out (2): {music}/.git/f.mp3, {music}/a/.hidden.mp3",
    ]


def test_patterns_match_below_folders_and_a_file_may_be_named_like_one(music: Path) -> None:
    assert names(music, "**/*.mp3") == ["b.mp3", "x[1].mp3"]
    assert names(music, "a*") == ["a/c.FLAC", "a/d.opus"]
    assert names(music, "x[1].mp3") == ["x[1].mp3"]


def test_a_pattern_leaves_out_what_a_folder_leaves_out(music: Path) -> None:
    assert names(music, "a/*") == ["a/c.FLAC", "a/d.opus"]
    assert find_files([f"{music}/a/*"]).notes == [f"audio files of other formats left out (1): {music}/a/e.wma"]
    with pytest.raises(UserError, match="there is no file in mp3"):
        find_files([f"{music}/a/*.jpg"])


def test_a_named_file_may_have_any_name_and_need_not_exist(music: Path) -> None:
    assert names(music, "a/e.wma", "a/.hidden.mp3", "none.mp3") == ["a/e.wma", "a/.hidden.mp3", "none.mp3"]


def test_each_file_is_found_once_under_its_first_name(music: Path, tmp_path: Path) -> None:
    (music / "link.mp3").symlink_to(music / "b.mp3")
    (tmp_path / "other").symlink_to(music)
    assert names(music, "b.mp3", "../other", "link.mp3", "b.mp3") == [
        "b.mp3",
        "../other/a/c.FLAC",
        "../other/a/d.opus",
        "../other/x[1].mp3",
    ]


def test_links_that_lead_nowhere_are_named(music: Path) -> None:
    (music / "gone.mp3").symlink_to(music / "none")
    (music / "circle").symlink_to(music)
    notes = find_files([str(music)]).notes
    assert f"links that lead nowhere left out (1): {music}/gone.mp3" in notes
    assert any(note.endswith(f"left out (1): {music}/circle") for note in notes)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            "gs://bucket/music",
            "gs://bucket/music: tags are changed on a local disk only: copy the folder there by beamtune sync",
        ),
        ("{music}/*.flac", r"\*.flac matches nothing: expected a file, a folder or a pattern of these"),
        ("{music}/empty", r"empty: there is no file in mp3, .* AIFF$"),
        ("{music}/old", r"old: there is no file in mp3, .* AIFF. audio files of other formats left out \(1\): "),
    ],
)
def test_where_there_is_nothing_to_tag(music: Path, given: str, message: str) -> None:
    (music / "empty").mkdir()
    (music / "old").mkdir()
    (music / "old" / "a.ape").touch()
    with pytest.raises(UserError, match=message):
        find_files([given.format(music=music)])


def test_all_endings_are_those_of_audio() -> None:
    assert set(TAGGED_EXTENSIONS) <= set(AUDIO_EXTENSIONS)
