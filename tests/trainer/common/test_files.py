"""The access to files, on local paths and on TensorFlow's file system in memory, which stands in for a bucket."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import tensorflow as tf

from trainer.common import files

REPOSITORY = Path(__file__).resolve().parents[3]


@pytest.fixture(params=["local", "ram://"])
def directory(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty directory."""
    if request.param == "local":
        yield str(tmp_path)
        return
    path = "ram://files-test"
    files.make_dirs(path)
    yield path
    files.remove(path)


def test_text_is_written_and_read(directory: str) -> None:
    path = files.join(directory, "a.txt")
    assert not files.exists(path)
    for text in ("straße\n", ""):
        files.write_text(path, text)
        assert files.exists(path)
        assert (files.read_text(path), files.read_bytes(path)) == (text, text.encode())
        assert files.size_bytes(path) == len(text.encode())
    assert files.list_dir(directory) == ["a.txt"]


def test_a_write_that_fails_leaves_the_old_text(directory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = files.join(directory, "a.txt")
    files.write_text(path, "old")

    def fail(*_args: object, **_options: object) -> None:
        raise tf.errors.ResourceExhaustedError(None, None, "no space left on device")

    with monkeypatch.context() as patch, pytest.raises(files.FileError, match="no space left"):
        patch.setattr(tf.io.gfile, "rename", fail)
        files.write_text(path, "new")
    assert files.read_text(path) == "old"


def test_directories_are_listed_and_removed(directory: str) -> None:
    below = files.join(directory, "one", "two")
    files.make_dirs(below)
    files.make_dirs(below)
    for name in ("b.txt", "a.txt", "a.json"):
        with files.open_to_write(files.join(below, name)) as sink:
            sink.write(name.encode())
    assert files.list_dir(below) == ["a.json", "a.txt", "b.txt"]
    files.remove(files.join(below, "a.json"))
    assert files.list_dir(below) == ["a.txt", "b.txt"]
    files.remove(files.join(directory, "one"))
    assert files.list_dir(directory) == files.list_if_exists(below) == []


def test_files_are_copied_and_replaced(directory: str) -> None:
    one, two = (files.join(directory, name) for name in ("one", "two"))
    files.write_text(one, "1")
    files.copy(one, two)
    assert (files.read_text(one), files.read_text(two)) == ("1", "1")
    files.write_text(one, "3")
    files.replace(one, two)
    assert files.read_text(two) == "3"
    assert files.list_dir(directory) == ["two"]


def test_a_copy_replaces_its_target(tmp_path: Path) -> None:
    one, two = (str(tmp_path / name) for name in ("one", "two"))
    files.write_text(one, "1")
    files.write_text(two, "22")
    files.copy(one, two)
    assert files.read_text(two) == "1"


def test_errors_name_the_path(tmp_path: Path) -> None:
    absent = str(tmp_path / "absent")
    for read in (files.read_text, files.read_bytes, files.size_bytes, files.remove, files.list_dir):
        with pytest.raises(files.MissingFileError) as caught:
            read(absent)
        assert "absent" in caught.value.message
    (tmp_path / "latin1.txt").write_bytes("straße".encode("latin-1"))
    with pytest.raises(files.READ_ERRORS):
        files.read_text(str(tmp_path / "latin1.txt"))


def test_no_other_module_of_the_trainer_accesses_files() -> None:
    access = re.compile(r"gfile|\btf\.io\.(read_file|write_file|matching_files)\b")
    names = {
        path.relative_to(REPOSITORY).as_posix()
        for path in (REPOSITORY / "trainer").rglob("*.py")
        if access.search(path.read_text(encoding="utf-8"))
    }
    assert names == {"trainer/common/files.py"}
