"""The state on disk: whole or not at all, the last good one, and one writer."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from beam_pipelines.common.errors import RunFailedError, UserError
from trainer.tuner.store import Damaged, Deposed, Document, Fence, _sealed, _unsealed, find_chief, has_had_chief

FIRST = {"trials": [{"id": "0000", "score": 0.1}], "text": "naïve \n }\n"}
SECOND = {"trials": [{"id": "0000", "score": 0.2}]}


def files_of(search_dir: Path, kind: str) -> list[Path]:
    return sorted((search_dir / "state" / kind).iterdir())


# The second is an object store in so far as it has no folders of its own.
@pytest.fixture(params=["disk", "ram"])
def search_dir(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path) if request.param == "disk" else f"ram://{tmp_path.name}/search"


def test_what_was_written_is_read(search_dir: str) -> None:
    document, fence = Document(search_dir, "search"), Fence.take(search_dir, address="a:1")
    assert document.read() is None
    document.write(FIRST, fence=fence)
    loaded = Document(search_dir, "search").read()
    assert loaded is not None
    assert (loaded.payload, loaded.generation, loaded.damaged) == (FIRST, 1, ())
    document.write(SECOND, fence=fence)
    document.write(FIRST, fence=fence)
    # The last and the one before it are kept.
    assert len(tf.io.gfile.listdir(f"{search_dir}/state/search")) == 2
    loaded = Document(search_dir, "search").read()
    assert loaded is not None
    assert (loaded.payload, loaded.generation) == (FIRST, 3)


def test_the_same_state_gives_the_same_bytes() -> None:
    assert _sealed({"b": 1, "a": {"d": 0.1, "c": None}}) == _sealed({"a": {"c": None, "d": 0.1}, "b": 1})
    content = json.loads(_sealed(FIRST))  # the file as a whole is JSON for other tools
    assert content["payload"] == FIRST
    with pytest.raises(ValueError, match="not JSON compliant"):
        _sealed({"score": float("nan")})


def empty(text: str) -> str:
    return ""


def truncate(text: str) -> str:
    return text[: len(text) // 2]


def change_a_digit(text: str) -> str:
    return text.replace("0.2", "0.3")


def cut_the_middle(text: str) -> str:
    return text.replace('"score"', "")


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (empty, "it is empty"),
        (truncate, "before its end"),
        (change_a_digit, "its checksum is another one"),
        (cut_the_middle, "its checksum is another one"),
    ],
)
def test_a_damaged_file_is_named_and_the_one_before_it_used(
    tmp_path: Path, damage: Callable[[str], str], said: str
) -> None:
    document, fence = Document(str(tmp_path), "search"), Fence.take(str(tmp_path), address="a:1")
    document.write(FIRST, fence=fence)
    document.write(SECOND, fence=fence)
    newest = files_of(tmp_path, "search")[-1]
    newest.write_text(damage(newest.read_text()))
    again = Document(str(tmp_path), "search")
    loaded = again.read()
    assert loaded is not None
    assert loaded.payload == FIRST
    [line] = loaded.damaged
    assert str(newest) in line
    assert said in line
    # What is written next is newer than the damaged one.
    again.write(SECOND, fence=fence)
    loaded = Document(str(tmp_path), "search").read()
    assert loaded is not None
    assert (loaded.payload, loaded.damaged) == (SECOND, ())


def test_bytes_that_are_no_text_are_damage(tmp_path: Path) -> None:
    document, fence = Document(str(tmp_path), "search"), Fence.take(str(tmp_path), address="a:1")
    document.write(FIRST, fence=fence)
    files_of(tmp_path, "search")[0].write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="put back a copy, or choose another search_dir"):
        Document(str(tmp_path), "search").read()


@given(st.data())
def test_no_part_of_a_file_passes_for_the_whole(data: Any) -> None:
    text = _sealed(FIRST)
    end = data.draw(st.integers(0, len(text) - 1))
    with pytest.raises(Damaged):
        _unsealed(text[:end])


def test_a_half_written_temporary_file_is_passed_over(tmp_path: Path) -> None:
    document, fence = Document(str(tmp_path), "search"), Fence.take(str(tmp_path), address="a:1")
    document.write(FIRST, fence=fence)
    (tmp_path / "state" / "search" / f"{fence.term.prefix}.00000002.json.tmp").write_text("half")
    loaded = Document(str(tmp_path), "search").read()
    assert loaded is not None
    assert loaded.payload == FIRST


def test_a_new_chief_ends_the_writing_of_the_old_one(search_dir: str) -> None:
    old_document, old = Document(search_dir, "search"), Fence.take(search_dir, address="old:1")
    old_document.write(FIRST, fence=old)
    new = Fence.take(search_dir, address="new:1")
    new_document = Document(search_dir, "search")
    new_document.read()
    assert new.term.number == old.term.number + 1
    with pytest.raises(Deposed, match="another chief has taken this search over"):
        old_document.write(SECOND, fence=old)
    new_document.write(FIRST, fence=new)
    found = find_chief(search_dir)
    assert found == (new.term, "new:1")
    assert has_had_chief(search_dir, old.term.owner)
    assert not has_had_chief(search_dir, "0123456789abcdef")


def test_what_an_old_chief_wrote_too_late_counts_for_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    search_dir = str(tmp_path)
    old_document, old = Document(search_dir, "search"), Fence.take(search_dir, address="old:1")
    for _ in range(3):
        old_document.write(FIRST, fence=old)
    new = Fence.take(search_dir, address="new:1")
    new_document = Document(search_dir, "search")
    new_document.read()
    new_document.write(FIRST, fence=new)
    # The old one has looked at the terms just before the new one came: the look after the write tells it.
    checks = iter([None])
    with monkeypatch.context() as patch:
        patch.setattr(Fence, "check", lambda fence: next(checks))
        with pytest.raises(StopIteration):
            old_document.write(SECOND, fence=old)
    loaded = Document(search_dir, "search").read()
    assert loaded is not None
    assert loaded.payload == FIRST


def test_of_two_that_begin_at_once_one_goes_on(tmp_path: Path) -> None:
    first = Fence.take(str(tmp_path), address="a:1")
    term = files_of(tmp_path, "terms")[0]
    twin = term.with_name(f"{first.term.number:08d}.ffffffffffffffff.json")
    twin.write_text(term.read_text())
    with pytest.raises(Deposed):
        first.check()


def test_a_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"search_dir=.*file cannot be written"):
        Fence.take(str(tmp_path / "file"), address="a:1")


def test_a_disk_that_takes_no_more_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    document, fence = Document(str(tmp_path), "search"), Fence.take(str(tmp_path), address="a:1")

    def refuse(path: str, text: str) -> None:
        raise tf.errors.ResourceExhaustedError(None, None, "No space left on device")

    monkeypatch.setattr("trainer.tuner.store.files.write_text", refuse)
    with pytest.raises(RunFailedError, match=r"00000001\.json cannot be written: No space left on device"):
        document.write(FIRST, fence=fence)
