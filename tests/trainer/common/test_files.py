"""The access to files, on local paths and on TensorFlow's file system in memory, which stands in for a bucket."""

import copy
import errno
import fcntl
import os
import re
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import tensorflow as tf
from gcs.fixture import Gcs
from gcs.write_rules import check_writes
from python_script import script_command

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


def test_nothing_is_left_of_a_text_that_cannot_be_written(directory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(source: str, target: str) -> None:
        raise files.FileError(errno.ENOSPC, "No space left on device", target)

    monkeypatch.setattr(files, "replace", fail)
    with pytest.raises(files.FileError, match="No space left on device"):
        files.write_text(files.join(directory, "a.txt"), "text")
    assert files.list_dir(directory) == []


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
        if directory.startswith("ram://"):
            raise tf.errors.ResourceExhaustedError(None, None, "No space left on device")
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(files.FileError, match="No space left") as caught:
        patch.setattr(tf.io.gfile, "rename", fail)
        patch.setattr(os, "replace", fail)
        files.write_text(path, "new")
    assert caught.value.message.startswith(path)
    assert files.read_text(path) == "old"


def test_temporary_files_of_killed_writers_are_removed_and_those_of_others_are_kept(tmp_path: Path) -> None:
    names = {kind: f"a.txt.{uuid.uuid4().hex}.tmp" for kind in ("left", "locked", "new")} | {"other": "a.0123abcd.tmp"}
    for kind, name in names.items():
        (tmp_path / name).touch()
        if kind != "new":
            os.utime(tmp_path / name, (time.time() - 100, time.time() - 100))
    with open(tmp_path / names["locked"], "rb") as locked:
        fcntl.flock(locked, fcntl.LOCK_EX)
        files.write_text(str(tmp_path / "b.txt"), "b")
    assert files.list_dir(str(tmp_path)) == sorted([names["locked"], names["new"], names["other"], "b.txt"])


def test_a_temporary_file_is_locked_while_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []

    def look(directory: str) -> None:
        [path] = Path(directory).iterdir()
        with open(path, "rb") as file, pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        found.append(path.name)

    monkeypatch.setattr(files, "_remove_left_temporary_files", look)
    files.write_text(str(tmp_path / "b.txt"), "b")
    assert re.fullmatch(r"b\.txt\.[0-9a-f]{32}\.tmp", found[0])


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


@pytest.mark.slow
def test_a_file_in_a_bucket_is_written_by_one_request(gcs_here: Gcs, tmp_path: Path) -> None:
    text, local, copied = f"{gcs_here.url}/text", str(tmp_path / "local"), f"{gcs_here.url}/copied"
    files.write_text(local, "of the disk")
    files.write_text(text, "straße")
    files.copy(local, copied)
    files.copy(text, f"{gcs_here.url}/twice")
    written = {"text": "straße".encode(), "copied": b"of the disk", "twice": "straße".encode()}
    assert gcs_here.contents() == written
    records = gcs_here.requests()
    assert [record.kind for record in records if record.kind != "token"] == ["insert", "insert", "get", "insert"]
    check_writes(records)
    for absent in (str(tmp_path / "absent"), f"{gcs_here.url}/absent"):
        with pytest.raises(files.MissingFileError, match="absent"):
            files.copy(absent, f"{gcs_here.url}/never")
    assert gcs_here.contents() == written


def test_errors_name_the_path_and_the_problem(directory: str) -> None:
    absent = files.join(directory, "absent")
    for read in (files.read_text, files.read_bytes, files.size_bytes, files.remove, files.list_dir):
        with pytest.raises(files.MissingFileError) as caught:
            read(absent)
        assert "absent" in caught.value.message
        assert str(caught.value) == caught.value.message
        assert caught.value.strerror


def test_messages_of_local_files_are_those_of_tensorflow(tmp_path: Path) -> None:
    absent = str(tmp_path / "absent")
    with pytest.raises(tf.errors.NotFoundError) as of_tensorflow:
        tf.io.gfile.GFile(absent, "rb").read()
    with pytest.raises(files.MissingFileError) as ours:
        files.read_bytes(absent)
    assert ours.value.message == of_tensorflow.value.message == f"{absent}; No such file or directory"
    assert (ours.value.errno, ours.value.filename) == (errno.ENOENT, absent)


def test_a_text_that_is_not_utf_8_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "latin1.txt").write_bytes("straße".encode("latin-1"))
    with pytest.raises(files.READ_ERRORS):
        files.read_text(str(tmp_path / "latin1.txt"))


def test_a_file_is_no_directory_and_a_directory_no_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    below = str(tmp_path / "file" / "below")
    assert not files.exists(below)
    assert files.list_if_exists(str(tmp_path / "file")) == files.list_if_exists(below) == []
    for fail in (files.make_dirs, files.read_text, lambda path: files.write_text(path, "")):
        with pytest.raises(files.FileError):
            fail(below)
    with pytest.raises(files.FileError, match="Is a directory"):
        files.read_bytes(str(tmp_path))


@pytest.mark.parametrize("name", ["a\0b", "\ud800"])
def test_a_name_that_no_file_can_have_is_an_error(name: str, tmp_path: Path) -> None:
    path = str(tmp_path / name)
    assert not files.exists(path)
    for fail in (files.read_text, files.remove, files.make_dirs, lambda path: files.write_text(path, "")):
        with pytest.raises(files.FileError):
            fail(path)


def test_of_a_link_only_the_link_is_removed(tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "kept.txt").write_text("kept")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    files.remove(str(tmp_path / "link"))
    assert files.list_dir(str(tmp_path)) == ["target"]
    assert files.list_dir(str(tmp_path / "target")) == ["kept.txt"]


def test_names_that_are_not_utf_8_are_names(tmp_path: Path) -> None:
    path = os.fsdecode(os.fsencode(tmp_path) + b"/\xe9t\xe9")
    files.write_text(path, "summer")
    assert files.read_text(path) == "summer"
    assert files.list_dir(str(tmp_path)) == ["\udce9t\udce9"]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (tf.errors.NotFoundError, files.MissingFileError),
        (tf.errors.UnavailableError, files.PassingFileError),
        (tf.errors.UnknownError, files.PassingFileError),
        (tf.errors.PermissionDeniedError, files.FileError),
    ],
)
def test_errors_of_tensorflow_are_translated(error: type[tf.errors.OpError], expected: type[files.FileError]) -> None:
    with pytest.raises(files.FileError) as caught, files.file_errors("gs://b/name"):
        raise error(None, None, "gs://b/name; the cause")
    assert type(caught.value) is expected
    assert caught.value.message == "gs://b/name; the cause"


def test_errors_of_neither_are_not_translated() -> None:
    with pytest.raises(ZeroDivisionError), files.file_errors("gs://b/name"):
        raise ZeroDivisionError


def test_an_error_is_copied_as_between_processes() -> None:
    error = copy.copy(files.MissingFileError(errno.ENOENT, "No such file or directory", "/absent"))
    assert type(error) is files.MissingFileError
    assert error.message == "/absent; No such file or directory"


def test_local_files_need_no_tensorflow(tmp_path: Path) -> None:
    script = (
        "from trainer.common import files\n"
        f"directory = files.join({str(tmp_path)!r}, 'one', 'two')\n"
        "files.make_dirs(directory)\n"
        "path = files.join(directory, 'a')\n"
        "files.write_text(path, 'text')\n"
        "files.copy(path, files.join(directory, 'b'))\n"
        "files.replace(files.join(directory, 'b'), files.join(directory, 'c'))\n"
        "assert files.list_if_exists(directory) == ['a', 'c']\n"
        "assert (files.read_text(path), files.size_bytes(path), files.exists(path)) == ('text', 4, True)\n"
        "files.remove(directory)\n"
        "try:\n"
        "    files.read_text(path)\n"
        "except files.MissingFileError as error:\n"
        "    print(error.strerror, 'tensorflow' in sys.modules)\n"
    )
    done = subprocess.run(script_command(script), capture_output=True, text=True, check=True, timeout=300)
    assert done.stdout == "No such file or directory False\n"


def test_no_other_module_of_the_trainer_accesses_files() -> None:
    access = re.compile(r"gfile|\btf\.io\.(read_file|write_file|matching_files)\b")
    names = {
        path.relative_to(REPOSITORY).as_posix()
        for path in (REPOSITORY / "trainer").rglob("*.py")
        if access.search(path.read_text(encoding="utf-8"))
    }
    example_of_exports = "trainer/export/texts.py"  # the text of a program that runs without beamtune
    assert names == {"trainer/common/files.py", "trainer/common/bucket_files.py", example_of_exports}
