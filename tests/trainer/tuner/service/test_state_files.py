"""The state on disk: complete files, damaged files, and a single writer."""

import errno
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from beam_pipelines.common.errors import RunAgainError, RunFailedError, UserError
from trainer.common import files
from trainer.tuner.service.checked_json import DamagedFileError, dump_checked, load_checked
from trainer.tuner.service.leader_lease import LeaderLease, LostLeadershipError, find_leader, was_leader
from trainer.tuner.service.state_files import StateFile

FIRST = {"trials": [{"id": "0000", "score": 0.1}], "text": "naïve \n }\n"}
SECOND = {"trials": [{"id": "0000", "score": 0.2}]}


def files_of(search_dir: Path, kind: str) -> list[Path]:
    return sorted((search_dir / "state" / kind).iterdir())


# ram:// has no folders of its own, as an object store.
@pytest.fixture(params=["disk", "ram"])
def search_dir(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path) if request.param == "disk" else f"ram://{tmp_path.name}/search"


def test_what_was_written_is_read(search_dir: str) -> None:
    document, lease = StateFile(search_dir, "search"), LeaderLease.acquire(search_dir, address="a:1")
    assert document.read() is None
    document.write(FIRST, lease=lease)
    again = StateFile(search_dir, "search")
    assert (again.read(), again.damaged) == (FIRST, [])
    document.write(SECOND, lease=lease)
    document.write(FIRST, lease=lease)
    # Two generations are kept.
    names = [f"{lease.file_prefix}.0000000{generation}.json" for generation in (2, 3)]
    assert sorted(tf.io.gfile.listdir(f"{search_dir}/state/search")) == names
    assert StateFile(search_dir, "search").read() == FIRST


def test_the_same_state_gives_the_same_bytes() -> None:
    assert dump_checked({"b": 1, "a": {"d": 0.1, "c": None}}) == dump_checked({"a": {"c": None, "d": 0.1}, "b": 1})
    content = json.loads(dump_checked(FIRST))  # the file as a whole is JSON for other tools
    assert content["payload"] == FIRST
    with pytest.raises(ValueError, match="not JSON compliant"):
        dump_checked({"score": float("nan")})


def empty(text: str) -> str:
    return ""


def truncate(text: str) -> str:
    return text[: len(text) // 2]


def change_a_digit(text: str) -> str:
    return text.replace("0.2", "0.3")


def cut_the_middle(text: str) -> str:
    return text.replace('"score"', "")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (empty, "it is empty"),
        (truncate, "it is truncated after"),
        (change_a_digit, "its checksum is wrong"),
        (cut_the_middle, "its checksum is wrong"),
    ],
)
def test_a_damaged_file_is_named_and_the_one_before_it_used(
    tmp_path: Path, damage: Callable[[str], str], message: str
) -> None:
    document, lease = StateFile(str(tmp_path), "search"), LeaderLease.acquire(str(tmp_path), address="a:1")
    document.write(FIRST, lease=lease)
    document.write(SECOND, lease=lease)
    newest = files_of(tmp_path, "search")[-1]
    newest.write_text(damage(newest.read_text()))
    again = StateFile(str(tmp_path), "search")
    assert again.read() == FIRST
    [line] = again.damaged
    assert str(newest) in line
    assert message in line
    # The next generation is newer than the damaged one.
    again.write(SECOND, lease=lease)
    repaired = StateFile(str(tmp_path), "search")
    assert (repaired.read(), repaired.damaged) == (SECOND, [])


def test_bytes_that_are_not_text_are_damage(tmp_path: Path) -> None:
    document, lease = StateFile(str(tmp_path), "search"), LeaderLease.acquire(str(tmp_path), address="a:1")
    document.write(FIRST, lease=lease)
    files_of(tmp_path, "search")[0].write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="restore a copy, or choose another search_dir"):
        StateFile(str(tmp_path), "search").read()


@given(st.data())
def test_every_truncated_file_is_damaged(data: Any) -> None:
    text = dump_checked(FIRST)
    end = data.draw(st.integers(0, len(text) - 1))
    with pytest.raises(DamagedFileError):
        load_checked(text[:end])


def test_a_temporary_file_is_ignored(tmp_path: Path) -> None:
    document, lease = StateFile(str(tmp_path), "search"), LeaderLease.acquire(str(tmp_path), address="a:1")
    document.write(FIRST, lease=lease)
    (tmp_path / "state" / "search" / f"{lease.file_prefix}.00000002.json.tmp").write_text("half")
    assert StateFile(str(tmp_path), "search").read() == FIRST


def test_a_new_chief_takes_the_lease_from_the_old_one(search_dir: str) -> None:
    old_document, old = StateFile(search_dir, "search"), LeaderLease.acquire(search_dir, address="old:1")
    old_document.write(FIRST, lease=old)
    new = LeaderLease.acquire(search_dir, address="new:1")
    new_document = StateFile(search_dir, "search")
    new_document.read()
    assert new.number == old.number + 1
    with pytest.raises(LostLeadershipError, match="another chief has taken over this search"):
        old_document.write(SECOND, lease=old)
    new_document.write(FIRST, lease=new)
    found = find_leader(search_dir)
    assert found == (new, "new:1")
    assert was_leader(search_dir, old.owner)
    assert not was_leader(search_dir, "0123456789abcdef")


def test_a_late_write_of_an_old_chief_is_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    search_dir = str(tmp_path)
    old_document, old = StateFile(search_dir, "search"), LeaderLease.acquire(search_dir, address="old:1")
    for _ in range(3):
        old_document.write(FIRST, lease=old)
    new = LeaderLease.acquire(search_dir, address="new:1")
    new_document = StateFile(search_dir, "search")
    new_document.read()
    new_document.write(FIRST, lease=new)
    # The old chief checked its lease just before the new one acquired it: the check after the write fails.
    checks = iter([None])
    with monkeypatch.context() as patch:
        patch.setattr(LeaderLease, "check", lambda lease: next(checks))
        with pytest.raises(StopIteration):
            old_document.write(SECOND, lease=old)
    assert StateFile(search_dir, "search").read() == FIRST


def test_of_two_chiefs_that_start_at_once_one_continues(tmp_path: Path) -> None:
    first = LeaderLease.acquire(str(tmp_path), address="a:1")
    path = files_of(tmp_path, "terms")[0]
    twin = path.with_name(f"{first.number:08d}.ffffffffffffffff.json")
    twin.write_text(path.read_text())
    with pytest.raises(LostLeadershipError):
        first.check()


def test_a_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"search_dir=.*file is not writable"):
        LeaderLease.acquire(str(tmp_path / "file"), address="a:1")


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (files.FileError(errno.ENOSPC, "No space left on device", "x"), RunFailedError),
        (files.PassingFileError(errno.EIO, "Input/output error", "x"), RunAgainError),
    ],
)
def test_a_full_disk_is_an_error_and_one_that_fails_may_be_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: files.FileError, raised: type[Exception]
) -> None:
    document, lease = StateFile(str(tmp_path), "search"), LeaderLease.acquire(str(tmp_path), address="a:1")

    def refuse(path: str, text: str) -> None:
        raise error

    monkeypatch.setattr("trainer.tuner.service.state_files.files.write_text", refuse)
    with pytest.raises(raised, match=rf"00000001\.json cannot be written: x; {error.strerror}"):
        document.write(FIRST, lease=lease)
