"""The file of old genres: lines that are on the disk before the changes."""

import fcntl
import json
import os
import resource
import signal
from pathlib import Path

import pytest

from beam_pipelines.common.errors import RunFailedError, UserError
from trainer.tag import undo_file as module
from trainer.tag.undo_file import TagChange, UndoWriter, default_undo_file, read_changes

FIRST = TagChange("/music/a.mp3", ("Rock",), ("techno",), 1234, "ab" * 32)
SECOND = TagChange(os.fsdecode(b"/music/\xff\n b.mp3"), (), ("Größe ラ", "b"), 5, "cd" * 32)


def write(path: Path, *changes: TagChange) -> None:
    with UndoWriter(str(path)) as undo:
        for change in changes:
            undo.add(change)
        assert undo.num_changes == len(changes)


def test_a_line_of_json_for_each_change(tmp_path: Path) -> None:
    path = tmp_path / "new" / "undo.jsonl"
    write(path, FIRST, SECOND)
    first, second = path.read_text(encoding="ascii").splitlines()
    assert json.loads(first) == {
        "path": "/music/a.mp3",
        "old_genres": ["Rock"],
        "new_genres": ["techno"],
        "size_bytes": 1234,
        "audio_sha256": "ab" * 32,
    }
    assert os.fsencode(json.loads(second)["path"]) == b"/music/\xff\n b.mp3"
    assert read_changes(str(path)) == [FIRST, SECOND]


def test_nothing_is_created_without_a_change(tmp_path: Path) -> None:
    write(tmp_path / "new" / "undo.jsonl")
    assert list(tmp_path.iterdir()) == []


def test_a_line_is_on_the_disk_when_add_returns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "undo.jsonl"
    synced = []
    monkeypatch.setattr(module.os, "fsync", lambda descriptor: synced.append(path.read_bytes().count(b"\n")))
    with UndoWriter(str(path)) as undo:
        undo.add(FIRST)
        assert synced[-1] == 1
        undo.add(SECOND)
        assert synced[-1] == 2


def test_changes_are_appended_and_an_interrupted_line_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "undo.jsonl"
    write(path, FIRST)
    path.write_bytes(path.read_bytes() + path.read_bytes()[:20])
    assert read_changes(str(path)) == [FIRST]
    write(path, SECOND)
    assert read_changes(str(path)) == [FIRST, SECOND]
    path.write_bytes(b"")
    write(path, SECOND)
    assert read_changes(str(path)) == [SECOND]


@pytest.mark.parametrize(
    "content",
    [
        b"ID3\x04 some music",
        b"{}\n",
        b'{"a": 1}\n',
        b"[1]\n",
        b'{"path": 1, "old_genres": [], "new_genres": [], "size_bytes": 1, "audio_sha256": ""}\n',
        b'{"path": "/a", "old_genres": [1], "new_genres": [], "size_bytes": 1, "audio_sha256": ""}\n',
        b'{"path": "/a", "old_genres": null, "new_genres": [], "size_bytes": 1, "audio_sha256": ""}\n',
        b"{\xff\n",
        b"{" * 100_000 + b"\n",
    ],
    ids=["music", "empty", "keys", "list", "path", "genre", "null", "not UTF-8", "deep"],
)
def test_another_file_is_neither_read_nor_appended_to(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "other"
    path.write_bytes(content)
    with pytest.raises(UserError, match="is no undo file of beamtune tag: "):
        read_changes(str(path))
    with pytest.raises(UserError, match="is no undo file of beamtune tag: "):
        UndoWriter(str(path))
    assert path.read_bytes() == content


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="none.jsonl cannot be read: No such file or directory"):
        read_changes(str(tmp_path / "none.jsonl"))


def test_a_file_that_cannot_be_written_names_the_file_that_was_not_changed(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with (
        UndoWriter(str(tmp_path / "file" / "undo.jsonl")) as undo,
        pytest.raises(RunFailedError, match=r"undo_file=.* cannot be written \(.*\): /music/a.mp3 was not changed"),
    ):
        undo.add(FIRST)


def test_a_line_that_does_not_fit_on_the_disk_is_an_error_and_no_change(tmp_path: Path) -> None:
    path = tmp_path / "undo.jsonl"
    write(path, FIRST)
    complete = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        with UndoWriter(str(path)) as undo:
            resource.setrlimit(resource.RLIMIT_FSIZE, (len(complete) + 10, hard))
            with pytest.raises(RunFailedError, match="No space left on device"):
                undo.add(SECOND)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert len(path.read_bytes()) == len(complete) + 10
    assert read_changes(str(path)) == [FIRST]
    write(path, SECOND)
    assert read_changes(str(path)) == [FIRST, SECOND]


def test_a_file_that_another_command_writes_to_is_left(tmp_path: Path) -> None:
    path = tmp_path / "undo.jsonl"
    write(path, FIRST)
    before = path.read_bytes()
    with path.open("rb") as file:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX)
        with UndoWriter(str(path)) as undo, pytest.raises(RunFailedError, match="another command writes to it"):
            undo.add(SECOND)
    assert path.read_bytes() == before


def test_the_default_file_is_one_for_each_process_and_second() -> None:
    assert default_undo_file().startswith("tags/undo-20")
    assert default_undo_file().endswith(f"-{os.getpid()}.jsonl")
