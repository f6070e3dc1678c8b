"""Old genres in files again."""

import os
from pathlib import Path

import pytest
from raw_tags import behind_id3, id3_frames
from tinytag import TinyTag

from beam_pipelines.common.errors import UserError
from trainer.tag.audio_hash import audio_hash
from trainer.tag.config import TagConfig
from trainer.tag.replace_genres import file_state, replace_genres
from trainer.tag.undo import undo
from trainer.tag.undo_file import TagChange, UndoWriter


def change_of(path: Path, old: tuple[str, ...], new: tuple[str, ...], *, audio: str | None = None) -> TagChange:
    if audio is None:
        with path.open("rb") as file:
            audio = audio_hash(file)
    return TagChange(str(path), old, new, 1234, audio)


def set_genres(path: Path, *genres: str) -> None:
    replace_genres(str(path), genres, state=file_state(path.stat()), before_change=lambda _: None)


@pytest.fixture
def undo_file(tmp_path: Path) -> Path:
    """A path for the file of changes."""
    return tmp_path / "undo" / "undo.jsonl"


def save(undo_file: Path, *changes: TagChange) -> None:
    with UndoWriter(str(undo_file)) as writer:
        for change in changes:
            writer.add(change)


def run(undo_file: Path, *, write: bool = True) -> int:
    return undo(str(undo_file), TagConfig(undo=str(undo_file), write=write))


def test_the_old_genre_is_restored_once(song: Path, undo_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = song.read_bytes()
    save(undo_file, change_of(song, ("Rock",), ("techno",)))
    set_genres(song, "techno")
    changed = song.read_bytes()
    assert run(undo_file, write=False) == 0
    captured = capsys.readouterr()
    assert captured.out.split() == [str(song), "techno", "→", "Rock", "would", "change"]
    assert "1 file: 1 would change, 0 unchanged, 0 unknown, 0 failed\n" in captured.err
    assert captured.err.endswith("nothing was written: write=true restores these genres\n")
    assert song.read_bytes() == changed
    assert run(undo_file) == 0
    assert capsys.readouterr().out.split() == [str(song), "techno", "→", "Rock", "changed"]
    title, genre = sorted(id3_frames(song.read_bytes()), reverse=True)
    assert title == id3_frames(before)[0]
    assert genre[10:] == b"\x03Rock\0"
    assert behind_id3(song.read_bytes()) == behind_id3(before)
    assert run(undo_file) == 0
    assert capsys.readouterr().out.endswith("unchanged\n")


def test_a_file_that_had_no_tag_has_none_again(
    tmp_path: Path, mp3_bytes: bytes, undo_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bare.mp3"
    path.write_bytes(mp3_bytes)
    save(undo_file, change_of(path, (), ("techno", "waltz")))
    set_genres(path, "techno", "waltz")
    assert run(undo_file) == 0
    assert path.read_bytes() == mp3_bytes
    assert capsys.readouterr().out.split() == [str(path), "techno,", "waltz", "→", "none", "changed"]


def test_a_genre_that_was_changed_since_is_kept(
    song: Path, undo_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(undo_file, change_of(song, ("Rock",), ("techno",)))
    set_genres(song, "my own")
    for write in (False, True):
        assert run(undo_file, write=write) == 1
        captured = capsys.readouterr()
        assert f"error: {song}: its genre is my own, and not techno, which was written\n" in captured.err
        assert captured.out == ""
    assert TinyTag.get(song).genre == "my own"


def test_a_change_that_was_not_made_needs_no_undo(song: Path, undo_file: Path) -> None:
    """The process ended between the line and the change."""
    save(undo_file, change_of(song, ("Rock",), ("techno",)))
    before = song.read_bytes()
    assert run(undo_file) == 0
    assert song.read_bytes() == before


@pytest.mark.parametrize(
    ("current", "changes", "restored"),
    [
        ("c", [("a", "b"), ("b", "c")], "a"),
        ("b", [("a", "b"), ("b", "c")], "a"),
        ("b", [("a", "b"), ("a", "b")], "a"),
        ("c", [("a", "b"), ("x", "c")], "x"),
        ("a", [("a", "b"), ("b", "a")], "a"),
        ("b", [("a", "b"), ("x", "c")], None),
    ],
    ids=["all", "the last was not made", "made at the second start", "another between", "there and back", "refused"],
)
def test_several_changes_of_a_file(
    song: Path, undo_file: Path, current: str, changes: list[tuple[str, str]], restored: str | None
) -> None:
    save(undo_file, *(change_of(song, (old,), (new,)) for old, new in changes))
    set_genres(song, current)
    assert run(undo_file) == (1 if restored is None else 0)
    assert TinyTag.get(song).genre == (current if restored is None else restored)


def test_another_recording_with_the_name_is_kept(
    song: Path, undo_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(undo_file, change_of(song, ("Rock",), ("techno",), audio="0" * 64))
    set_genres(song, "techno")
    before = song.read_bytes()
    assert run(undo_file) == 1
    assert f"error: {song}: its audio is not that of the file whose genre was changed\n" in capsys.readouterr().err
    assert song.read_bytes() == before
    assert os.listdir(song.parent).count("song.mp3") == 1


def test_the_others_go_on(song: Path, undo_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing = song.with_name("none.mp3")
    save(undo_file, change_of(missing, (), ("x",), audio="0" * 64), change_of(song, ("Rock",), ("techno",)))
    set_genres(song, "techno")
    assert run(undo_file) == 1
    assert TinyTag.get(song).genre == "Rock"
    captured = capsys.readouterr()
    assert f"error: {missing}: No such file or directory\n" in captured.err
    assert "2 files: 1 changed, 0 unchanged, 0 unknown, 1 failed\n" in captured.err


def test_a_file_without_changes_is_one_line(undo_file: Path) -> None:
    undo_file.parent.mkdir()
    undo_file.touch()
    with pytest.raises(UserError, match="the file holds no changes"):
        run(undo_file)
