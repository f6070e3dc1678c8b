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
FILES = {
    "top/000/000002.mp3": b"two" * 1000,
    "top/000/leer": b"",
    "top/Ünïcode/日本 語.txt": b"text",
}


def tree(folder):
    """Returns the content of all files below a folder by path."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def extract(tmp_path):
    def run(archive, **fields):
        extract_archive(str(archive), str(tmp_path / "out"), **{"max_bytes": 2**20, **fields})
        return tree(tmp_path / "out")

    return run


@pytest.fixture
def make_archive(make_zip, make_tar):
    """Writes the members as an archive of one of the kinds that are read."""

    def make(kind, members=MEMBERS):
        methods = {"zip": zipfile.ZIP_DEFLATED, "stored.zip": zipfile.ZIP_STORED, "bzip2.zip": zipfile.ZIP_BZIP2}
        if kind in (*methods, "lzma.zip"):
            return make_zip(members, f"a.{kind}", methods.get(kind, zipfile.ZIP_LZMA))
        pairs = []
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.type = tarfile.DIRTYPE if name.endswith("/") else tarfile.REGTYPE
            info.mode = 0o7777
            pairs.append((info, content))
        modes = {"tar": "w", "tar.gz": "w:gz", "tar.bz2": "w:bz2"}
        return make_tar(pairs, f"a.{kind}", modes[kind])

    return make


KINDS = ("zip", "stored.zip", "bzip2.zip", "lzma.zip", "tar", "tar.gz", "tar.bz2")


@pytest.mark.parametrize("kind", KINDS)
def test_files_come_out_as_they_went_in_with_plain_modes(tmp_path, make_archive, extract, kind):
    seen = []
    archive = make_archive(kind)
    assert extract(archive, on_progress=lambda *step: seen.append(step)) == FILES
    assert (tmp_path / "out" / "top" / "empty folder").is_dir()
    assert sorted(os.listdir(tmp_path)) == [archive.name, "out"]
    for path in (tmp_path / "out").rglob("*"):
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode & ~(0o755 if path.is_dir() else 0o644) == 0
        assert mode & 0o400
    assert {phase for phase, _, _ in seen} == {"extracting"}
    assert all(0 < done <= total == archive.stat().st_size for _, done, total in seen)


@pytest.mark.parametrize("kind", KINDS)
def test_the_name_of_an_archive_says_nothing(tmp_path, make_archive, extract, kind):
    archive = make_archive(kind)
    archive.rename(tmp_path / "archive.mp3")
    assert extract(tmp_path / "archive.mp3") == FILES


@pytest.mark.parametrize("kind", KINDS)
def test_names_are_listed_without_unpacking(tmp_path, make_archive, kind):
    archive = make_archive(kind)
    assert list(list_names(str(archive), max_bytes=2**20)) == list(FILES)
    assert os.listdir(tmp_path) == [archive.name]


def test_dots_and_double_slashes_in_names_mean_nothing(make_tar, extract):
    assert extract(make_tar({"./a//b/./c": b"1", "d": b"2"})) == {"a/b/c": b"1", "d": b"2"}


def test_a_long_name_and_one_in_an_extended_header_come_out(tmp_path, make_tar, extract):
    name = "/".join(["long " * 20] * 3)
    assert extract(make_tar({name: b"1"})) == {name: b"1"}
    with tarfile.open(tmp_path / "gnu.tar", "w", format=tarfile.GNU_FORMAT) as archive:
        archive.addfile(tarfile.TarInfo(name))
    assert list(list_names(str(tmp_path / "gnu.tar"), max_bytes=0)) == [name]


def test_the_top_folder_becomes_the_destination(make_archive, extract):
    assert extract(make_archive("zip"), top_folder="top") == {
        name.removeprefix("top/"): content for name, content in FILES.items()
    }


@pytest.mark.parametrize("extra", ["other/x", "loose", "top2/x", "top"])
def test_what_lies_outside_the_top_folder_is_refused(tmp_path, make_zip, extract, extra):
    members = {"top/a": b"", extra: b""} if extra != "top" else {"top": b""}
    message = f"its member '{extra}' lies outside the folder top: expected everything in that"
    with pytest.raises(UserError, match=message):
        extract(make_zip(members), top_folder="top")
    assert os.listdir(tmp_path) == ["a.zip"]


@pytest.mark.parametrize("with_files", [False, True])
def test_a_destination_that_is_there_is_kept(tmp_path, make_archive, extract, with_files):
    (tmp_path / "out").mkdir()
    if with_files:
        (tmp_path / "out" / "mine").write_text("x")
    with pytest.raises(UserError, match="out is there already"):
        extract(make_archive("zip"))
    assert tree(tmp_path / "out") == ({"mine": b"x"} if with_files else {})


def test_a_destination_that_is_there_is_replaced_where_that_was_said(tmp_path, make_archive, extract):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").write_text("x")
    assert extract(make_archive("zip"), replace=True) == FILES


def test_a_destination_that_was_to_be_replaced_outlives_a_bad_archive(tmp_path, make_zip, extract):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").write_text("x")
    with pytest.raises(UserError, match="climbs out"):
        extract(make_zip({"a": b"", "../b": b""}), replace=True)
    assert tree(tmp_path / "out") == {"old": b"x"}


def test_what_a_killed_run_left_is_removed_first(tmp_path, make_archive, extract):
    left_over = tmp_path / "out.extracting" / "top"
    left_over.mkdir(parents=True)
    (left_over / "half").write_text("x")
    assert extract(make_archive("zip")) == FILES
    assert sorted(os.listdir(tmp_path)) == ["a.zip", "out"]


def test_a_link_in_the_place_of_left_overs_is_not_followed(tmp_path, make_archive, extract):
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").write_text("x")
    (tmp_path / "out.extracting").symlink_to(tmp_path / "precious")
    assert extract(make_archive("zip")) == FILES
    assert tree(tmp_path / "precious") == {"file": b"x"}


def test_folders_above_the_destination_are_made(tmp_path, make_archive):
    extract_archive(str(make_archive("zip")), f"{tmp_path}/x/y/out/", max_bytes=2**20)
    assert tree(tmp_path / "x" / "y" / "out") == FILES


def test_an_interrupted_extraction_leaves_nothing(tmp_path, make_archive, extract):
    def interrupt(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extract(make_archive("zip"), on_progress=interrupt)
    assert os.listdir(tmp_path) == ["a.zip"]


def test_a_folder_that_cannot_be_written_is_named(tmp_path, make_archive):
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match=r"file/out.extracting cannot be written: "):
        extract_archive(str(make_archive("zip")), str(tmp_path / "file" / "out"), max_bytes=2**20)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "is empty: expected a .zip, .tar, .tar.gz or .tar.bz2 archive"),
        (b"<html>not found</html>", r"begins with b'<html>no': expected a .zip"),
        (bytes(10240), "begins with"),
        (b"\x1f\x8b", "is truncated or damaged"),
        (b"BZh9", "is truncated or damaged"),
        (b"PK\3\4", "is truncated or damaged"),
    ],
)
def test_what_is_no_archive_is_said_to_be_none(tmp_path, extract, content, found):
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(UserError, match=f"a.zip {found}"):
        extract(tmp_path / "a.zip")
    assert os.listdir(tmp_path) == ["a.zip"]


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
@pytest.mark.parametrize("members", [{}, {"folder/": b""}])
def test_an_archive_without_files_is_said_to_have_none(tmp_path, make_archive, extract, kind, members):
    with pytest.raises(UserError, match="holds no files: expected some"):
        extract(make_archive(kind, members))
    assert os.listdir(tmp_path) == [f"a.{kind}"]


@pytest.mark.parametrize("absent", ["absent.zip", "."])
def test_what_cannot_be_opened_is_named(tmp_path, extract, absent):
    with pytest.raises(UserError, match=r"cannot be read \(.*\): expected an archive"):
        extract(tmp_path / absent)
