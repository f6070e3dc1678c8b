import os
import stat
import tarfile
import zipfile

import pytest

from beam_pipelines.common.errors import UserError
from beam_pipelines.download.extract import extract_archive, list_names

MEMBERS = {
    "top/": b"",
    "top/000/000002.mp3": b"two" * 1000,
    "top/000/leer": b"",
    "top/Ünïcode/日本 語.txt": b"text",
    "top/empty folder/": b"",
}
FILES = {name: content for name, content in MEMBERS.items() if not name.endswith("/")}
KINDS = ("zip", "stored.zip", "bzip2.zip", "lzma.zip", "tar", "tar.gz", "tar.bz2")


def files_in(folder):
    """Returns the content of all files below a folder by path."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def extract(tmp_path):
    def run(archive, **fields):
        extract_archive(str(archive), str(tmp_path / "out"), **{"max_bytes": 2**20, **fields})
        return files_in(tmp_path / "out")

    return run


@pytest.fixture
def make_archive(make_zip, make_tar):
    """Writes the members as an archive of one of KINDS."""

    def make(kind, members=MEMBERS):
        methods = {"zip": zipfile.ZIP_DEFLATED, "stored.zip": zipfile.ZIP_STORED, "bzip2.zip": zipfile.ZIP_BZIP2}
        if kind.endswith("zip"):
            return make_zip(members, f"a.{kind}", methods.get(kind, zipfile.ZIP_LZMA))
        pairs = []
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.type = tarfile.DIRTYPE if name.endswith("/") else tarfile.REGTYPE
            info.mode = 0o7777
            pairs.append((info, content))
        return make_tar(pairs, f"a.{kind}", {"tar": "w", "tar.gz": "w:gz", "tar.bz2": "w:bz2"}[kind])

    return make


@pytest.mark.parametrize("kind", KINDS)
def test_files_are_extracted_whatever_the_name_of_the_archive_with_default_modes(tmp_path, make_archive, extract, kind):
    steps = []
    archive = make_archive(kind).rename(tmp_path / "archive.mp3")
    assert extract(archive, on_progress=lambda *step: steps.append(step)) == FILES
    assert (tmp_path / "out" / "top" / "empty folder").is_dir()
    assert sorted(os.listdir(tmp_path)) == ["archive.mp3", "out"]
    umask = os.umask(0)
    os.umask(umask)
    for path in (tmp_path / "out").rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o777 if path.is_dir() else 0o666) & ~umask
    assert [phase for phase, _, _ in steps] == ["extracting"] * len(FILES)
    assert all(0 < done <= total == archive.stat().st_size for _, done, total in steps)


@pytest.mark.parametrize("kind", KINDS)
def test_names_are_listed_without_extracting(tmp_path, make_archive, kind):
    archive = make_archive(kind)
    assert list(list_names(str(archive), max_bytes=2**20)) == list(FILES)
    assert os.listdir(tmp_path) == [archive.name]


@pytest.mark.parametrize("size_bytes", [511, 512, 513, 2**20])
def test_tar_members_at_the_borders_of_blocks(make_tar, extract, size_bytes):
    members = {"a": bytes(size_bytes), "b": b"1" * size_bytes, "c": b"2"}
    assert extract(make_tar(members), max_bytes=2**22) == members


def test_dots_and_double_slashes_in_names_are_ignored(make_zip, make_tar, extract):
    assert extract(make_tar({"./a//b/./c": b"1", "d": b"2"})) == {"a/b/c": b"1", "d": b"2"}


def test_long_names_of_both_tar_formats(tmp_path, make_tar, extract):
    name = "/".join(["long " * 20] * 3)
    assert extract(make_tar({name: b"1"})) == {name: b"1"}
    with tarfile.open(tmp_path / "gnu.tar", "w", format=tarfile.GNU_FORMAT) as archive:
        archive.addfile(tarfile.TarInfo(name))
    assert list(list_names(str(tmp_path / "gnu.tar"), max_bytes=0)) == [name]


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_the_top_folder_becomes_the_target(tmp_path, make_archive, extract, kind):
    expected = {name.removeprefix("top/"): content for name, content in FILES.items()}
    assert extract(make_archive(kind), top_folder="top") == expected
    assert sorted(os.listdir(tmp_path)) == [f"a.{kind}", "out"]


@pytest.mark.parametrize("extra", ["other/x", "loose", "top2/x", "top"])
def test_members_outside_the_top_folder_are_refused(tmp_path, make_zip, extract, extra):
    members = {"top/a": b"", extra: b""} if extra != "top" else {"top": b""}
    with pytest.raises(UserError, match=f"its member '{extra}' is outside the folder top: expected all members in it"):
        extract(make_zip(members), top_folder="top")
    assert os.listdir(tmp_path) == ["a.zip"]


def test_an_existing_target_is_not_changed(tmp_path, make_archive, extract):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("x")
    with pytest.raises(UserError, match="out exists already"):
        extract(make_archive("zip"))
    assert files_in(tmp_path / "out") == {"mine": b"x"}


def test_files_of_a_killed_run_are_removed_first(tmp_path, make_archive, extract):
    left_over = tmp_path / "out.extracting" / "top"
    left_over.mkdir(parents=True)
    (left_over / "half").write_text("x")
    assert extract(make_archive("zip")) == FILES
    assert sorted(os.listdir(tmp_path)) == ["a.zip", "out"]


def test_a_link_in_the_place_of_the_staging_folder_is_not_followed(tmp_path, make_archive, extract):
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").write_text("x")
    (tmp_path / "out.extracting").symlink_to(tmp_path / "precious")
    assert extract(make_archive("zip")) == FILES
    assert files_in(tmp_path / "precious") == {"file": b"x"}


def test_folders_above_the_target_are_created(tmp_path, make_archive):
    extract_archive(str(make_archive("zip")), f"{tmp_path}/x/y/out/", max_bytes=2**20)
    assert files_in(tmp_path / "x" / "y" / "out") == FILES


def test_an_interrupted_extraction_leaves_nothing(tmp_path, make_archive, extract):
    def interrupt(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extract(make_archive("zip"), on_progress=interrupt)
    assert os.listdir(tmp_path) == ["a.zip"]


def test_a_target_that_cannot_be_written_is_named(tmp_path, make_archive):
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match=r"a.zip cannot be read or extracted: .*file/out.extracting'"):
        extract_archive(str(make_archive("zip")), str(tmp_path / "file" / "out"), max_bytes=2**20)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "is empty: expected a .zip, .tar, .tar.gz or .tar.bz2 archive"),
        (b"<html>not found</html>", r"starts with b'<html>no': expected a .zip"),
        (bytes(10240), "starts with"),
        (b"\x1f\x8b", "is damaged"),
        (b"BZh9", "is damaged"),
        (b"PK\3\4", "is damaged"),
    ],
)
def test_a_file_that_is_not_an_archive_is_an_error(tmp_path, extract, content, found):
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(UserError, match=f"a.zip {found}"):
        extract(tmp_path / "a.zip")
    assert os.listdir(tmp_path) == ["a.zip"]


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
@pytest.mark.parametrize("members", [{}, {"folder/": b""}])
def test_an_archive_without_files_is_an_error(tmp_path, make_archive, extract, kind, members):
    with pytest.raises(UserError, match="has no files: expected at least one"):
        extract(make_archive(kind, members))
    assert os.listdir(tmp_path) == [f"a.{kind}"]


@pytest.mark.parametrize(("path", "reason"), [("absent.zip", "No such file"), (".", "Is a directory")])
def test_a_path_that_cannot_be_opened_is_an_error(tmp_path, extract, path, reason):
    with pytest.raises(UserError, match=f"cannot be read or extracted: .*{reason}"):
        extract(tmp_path / path)


def test_a_python_without_the_data_filter_is_named(make_tar, extract, monkeypatch):
    monkeypatch.delattr(tarfile, "data_filter")
    with pytest.raises(UserError, match="safely: expected 3.11.4, 3.12 or later$"):
        extract(make_tar({"a": b"1"}))
