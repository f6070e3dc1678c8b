import bz2
import contextlib
import gzip
import os
import shutil
import stat
import struct
import tarfile
import tracemalloc
import zipfile

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from beam_pipelines.common.errors import UserError
from beam_pipelines.download import extract
from beam_pipelines.download.extract import extract_archive, list_names

UNSAFE_PATH = "has an unsafe path: expected it relative, without .. and backslashes, at most 100 folders deep"
TAKEN_PATH = "has the path of another member: expected each path once"
SPECIAL = "is a link, device or sparse file: expected files and folders only"
MODES = {"tar": "w", "tar.gz": "w:gz", "tar.bz2": "w:bz2"}


@pytest.fixture
def assert_refused(tmp_path):
    """Extracts an archive that must be refused, and checks that nothing is left."""

    def run(archive, message, **fields):
        before = sorted(os.listdir(tmp_path))
        outside = sorted(os.listdir(tmp_path.parent))
        with pytest.raises(UserError, match=message) as caught:
            extract_archive(str(archive), str(tmp_path / "out"), **{"max_bytes": 2**20, **fields})
        assert str(archive) in str(caught.value)
        assert "\n" not in str(caught.value)
        assert sorted(os.listdir(tmp_path)) == before
        assert sorted(os.listdir(tmp_path.parent)) == outside
        return str(caught.value)

    return run


@pytest.fixture
def make_named(make_zip, make_tar):
    """Writes an archive with a safe member and one of this name."""

    def make(kind, name):
        members = [("good", b"1"), (name, b"2")]
        return make_zip(members) if kind == "zip" else make_tar(members, mode="w", name="a.tar")

    return make


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("kind", ["zip", "tar"])
@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("../evil", UNSAFE_PATH),
        ("a/../../evil", UNSAFE_PATH),
        ("a/..", UNSAFE_PATH),
        ("..", UNSAFE_PATH),
        ("/var/evil", UNSAFE_PATH),
        ("//evil", UNSAFE_PATH),
        ("..\\evil", UNSAFE_PATH),
        ("a\\b", UNSAFE_PATH),
        ("x/" * 101 + "y", UNSAFE_PATH),
        (".", TAKEN_PATH),
        ("good", TAKEN_PATH),
        ("./good", TAKEN_PATH),
        ("good/below", "cannot be read or extracted: .*(Not a directory|File exists)"),
        ("x" * 300, "cannot be read or extracted: .*File name too long"),
    ],
)
def test_unsafe_and_doubled_paths(make_named, assert_refused, kind, name, found):
    assert_refused(make_named(kind, name), found)


@pytest.mark.parametrize("kind", ["zip", "tar"])
@pytest.mark.parametrize("names", [("a", "a/"), ("a/b", "a")])
def test_a_file_and_a_folder_of_one_path(make_zip, make_tar, assert_refused, kind, names):
    infos = [tarfile.TarInfo(name) for name in names]
    for info in infos:
        info.type = tarfile.DIRTYPE if info.name.endswith("/") else tarfile.REGTYPE
    members = [(info, b"") for info in infos] if kind == "tar" else [(name, b"") for name in names]
    assert_refused(make_zip(members) if kind == "zip" else make_tar(members), TAKEN_PATH)


def test_a_folder_may_be_named_after_its_files_and_twice(tmp_path, make_zip):
    archive = make_zip([("a/b", b"1"), ("a/", b""), ("a//", b"")])
    extract_archive(str(archive), str(tmp_path / "out"), max_bytes=10)
    assert (tmp_path / "out" / "a" / "b").read_bytes() == b"1"


def test_a_nul_in_a_name(make_tar, assert_refused):
    info = tarfile.TarInfo("x")
    info.pax_headers = {"path": "good\0exe"}
    assert_refused(make_tar([(info, b"x")]), "is damaged or not supported")


@pytest.mark.parametrize(
    "kind",
    [
        tarfile.SYMTYPE,
        tarfile.LNKTYPE,
        tarfile.CHRTYPE,
        tarfile.BLKTYPE,
        tarfile.FIFOTYPE,
        tarfile.GNUTYPE_SPARSE,
        b"Z",
    ],
)
def test_tar_members_that_are_not_files(make_tar, assert_refused, kind):
    info = tarfile.TarInfo("evil")
    info.type = kind
    info.linkname = "/etc/passwd"
    assert_refused(make_tar([("good", b"1"), (info, b"")]), SPECIAL)


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK])
def test_zip_members_that_are_not_files(make_zip, assert_refused, kind):
    info = zipfile.ZipInfo("evil")
    info.external_attr = (kind | 0o777) << 16
    assert_refused(make_zip([("good", b"1"), (info, b"/etc/passwd")]), SPECIAL)


def test_a_member_through_a_link_that_was_a_member(make_tar, assert_refused):
    link = tarfile.TarInfo("a")
    link.type = tarfile.SYMTYPE
    link.linkname = ".."
    assert_refused(make_tar([(link, b""), ("a/evil", b"x")]), SPECIAL)


def test_an_encrypted_zip(make_zip, assert_refused):
    archive = make_zip({"secret": b"x"})
    content = bytearray(archive.read_bytes())
    content[6] |= 1
    content[content.index(b"PK\1\2") + 8] |= 1
    archive.write_bytes(content)
    assert_refused(archive, "is damaged or not supported \\(.*encrypted.*\\): expected a complete archive")


def test_an_unknown_compression(make_zip, assert_refused):
    archive = make_zip({"a": b"x" * 100})
    content = bytearray(archive.read_bytes())
    for start in (8, content.index(b"PK\1\2") + 10):
        content[start : start + 2] = struct.pack("<H", 97)
    archive.write_bytes(content)
    assert_refused(archive, "is damaged or not supported \\(That compression method is not supported\\)")


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_zip_bomb_with_a_correct_header(make_zip, assert_refused, method):
    assert_refused(
        make_zip({"bomb": bytes(2**20 + 1)}, method=method), "takes more than 1,048,576 bytes when extracted"
    )


def test_many_members_that_are_too_large_together(make_zip, make_tar, assert_refused):
    members = {f"{number}": bytes(2**18) for number in range(5)}
    assert_refused(make_zip(members), "takes more than 1,048,576 bytes when extracted")
    assert_refused(make_tar(members), "takes more than 1,048,576 bytes when extracted")


def set_zip_size(archive, size_bytes):
    """Makes the headers of a zip's first member say that it has this size."""
    content = bytearray(archive.read_bytes())
    content[22:26] = struct.pack("<I", size_bytes)
    start = content.index(b"PK\1\2") + 24
    content[start : start + 4] = struct.pack("<I", size_bytes)
    archive.write_bytes(content)


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_zip_bomb_with_a_wrong_header(make_zip, assert_refused, method):
    archive = make_zip({"bomb": bytes(2**26)}, method=method)
    set_zip_size(archive, 100)
    assert_refused(archive, "is damaged or not supported")


def test_a_zip_whose_members_share_their_bytes_is_bounded(tmp_path, make_zip, assert_refused):
    archive = make_zip({"bomb": bytes(2**19)})
    content = archive.read_bytes()
    start, end = content.index(b"PK\1\2"), content.index(b"PK\5\6")
    entry = content[start:end]
    entries = b"".join(entry.replace(b"bomb", b"%04d" % number) for number in range(5))
    tail = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 5, 5, len(entries), start, 0)
    archive.write_bytes(content[:start] + entries + tail)
    assert_refused(archive, "is damaged or not supported|takes more than")


def test_a_tar_bomb(tmp_path, assert_refused):
    info = tarfile.TarInfo("bomb")
    info.size = 2**31
    (tmp_path / "a.tar").write_bytes(info.tobuf())
    assert_refused(tmp_path / "a.tar", "takes more than 1,048,576 bytes when extracted")
    with pytest.raises(UserError, match="takes more than 1,048,576 bytes when extracted"):
        list(list_names(str(tmp_path / "a.tar"), max_bytes=2**20))


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress])
def test_a_bomb_after_the_end_of_a_tar(tmp_path, make_tar, assert_refused, compress):
    tar = make_tar({"a": b"x"}, mode="w", name="a.tar").read_bytes()
    os.unlink(tmp_path / "a.tar")
    (tmp_path / "a.tgz").write_bytes(compress(tar + bytes(2**25)))
    assert_refused(tmp_path / "a.tgz", "data follows its end mark")


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_too_many_members(make_zip, make_tar, assert_refused, monkeypatch, kind):
    monkeypatch.setattr(extract, "MAX_MEMBERS", 3)
    members = {f"{number}": b"" for number in range(4)}
    assert_refused(make_zip(members) if kind == "zip" else make_tar(members), "has more than 3 members")


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_a_member_that_is_too_large(make_zip, make_tar, assert_refused, monkeypatch, kind):
    monkeypatch.setattr(extract, "MAX_MEMBER_BYTES", 1000)
    members = {"a": bytes(1000), "b": bytes(1001)}
    archive = make_zip(members) if kind == "zip" else make_tar(members)
    assert_refused(archive, "has a file of more than 1,000 bytes")


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.XGLTYPE])
def test_a_tar_header_of_a_gigabyte_is_not_read(tmp_path, assert_refused, kind):
    info = tarfile.TarInfo("long")
    info.type = kind
    info.size = 2**30
    with gzip.open(tmp_path / "a.tgz", "wb", compresslevel=1) as file:
        file.write(info.tobuf())
        for _ in range(64):
            file.write(bytes(2**20))
    tracemalloc.start()
    assert_refused(tmp_path / "a.tgz", "a header is too large")
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 2**22


def test_a_chain_of_tar_headers(tmp_path, assert_refused):
    info = tarfile.TarInfo("x")
    block = info.create_pax_global_header({"comment": "x"})
    with gzip.open(tmp_path / "a.tgz", "wb") as file:
        file.write(block * 2000)
    assert_refused(tmp_path / "a.tgz", "headers are too large|is damaged or not supported")


def test_tar_headers_that_are_too_large_together(make_tar, assert_refused):
    members = []
    for number in range(40):
        info = tarfile.TarInfo(f"{number}")
        info.pax_headers = {"comment": "x" * 2**15}
        members.append((info, b"1"))
    assert_refused(make_tar(members), "its headers are too large")


def test_a_tar_header_that_points_back(tmp_path, assert_refused):
    info = tarfile.TarInfo("loop")
    block = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    block[124:136] = b"\xff" * 10 + (-1024 & 0xFFFF).to_bytes(2, "big")
    block[148:156] = b"%06o\0 " % tarfile.calc_chksums(bytes(block))[0]
    (tmp_path / "a.tar").write_bytes(bytes(block) + bytes(10240))
    assert_refused(tmp_path / "a.tar", "is damaged or not supported")


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz", "tar.bz2"])
def test_an_archive_cut_off_anywhere(tmp_path, make_zip, make_tar, assert_refused, kind):
    members = {f"{number}": os.urandom(700) for number in range(4)}
    archive = make_zip(members) if kind == "zip" else make_tar(members, mode=MODES[kind])
    content = archive.read_bytes()
    # A tar's padding may be missing: its end is the first block of zeros.
    needed_bytes = 4 * (512 + 1024) + 512 if kind == "tar" else len(content)
    for size_bytes in range(1, needed_bytes, 61):
        archive.write_bytes(content[:size_bytes])
        assert_refused(archive, r"is damaged or not supported|expected a \.zip")


@pytest.mark.parametrize("kind", ["zip", "tar.gz", "tar.bz2"])
def test_an_archive_with_a_damaged_byte(tmp_path, make_zip, make_tar, kind):
    members = {"a": os.urandom(500)}
    archive = make_zip(members) if kind == "zip" else make_tar(members, mode=MODES[kind])
    content = bytearray(archive.read_bytes())
    content[len(content) // 2] ^= 0xFF
    archive.write_bytes(content)
    with pytest.raises(UserError, match="is damaged or not supported"):
        extract_archive(str(archive), str(tmp_path / "out"), max_bytes=2**20)


def test_a_damaged_header_in_the_middle_of_a_tar_is_not_its_end(make_tar, assert_refused):
    archive = make_tar({"a": b"1", "b": b"2", "c": b"3"}, mode="w", name="a.tar")
    content = bytearray(archive.read_bytes())
    content[1024 + 150] ^= 0xFF
    archive.write_bytes(content)
    assert_refused(archive, "it has no end mark, or a header is damaged")
    content[1024:1536] = bytes(512)
    archive.write_bytes(content)
    assert_refused(archive, "data follows its end mark")


def test_random_bytes_after_each_beginning(tmp_path, assert_refused):
    for number, beginning in enumerate((b"PK\3\4", b"PK\5\6", b"\x1f\x8b\x08\0", b"BZh9", b"")):
        content = bytearray(beginning + os.urandom(2000))
        if not beginning:
            content[257:262] = b"ustar"
        archive = tmp_path / f"{number}.zip"
        archive.write_bytes(content)
        assert_refused(archive, "is damaged or not supported")


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz", "tar.bz2"])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_damage_is_harmless_or_a_user_error(tmp_path, make_zip, make_tar, kind, data):
    members = {"a/b": b"b" * 700, "c": b"", "d" * 120: b"d" * 10}
    archive = make_zip(members) if kind == "zip" else make_tar(members, mode=MODES[kind])
    content = bytearray(archive.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(content) - 1))
        changed = data.draw(st.binary(min_size=1, max_size=12))
        content[start : start + len(changed)] = changed
    archive.write_bytes(content)
    shutil.rmtree(tmp_path / "out", ignore_errors=True)
    with contextlib.suppress(UserError):
        extract_archive(str(archive), str(tmp_path / "out"), max_bytes=2**20)
    assert set(os.listdir(tmp_path)) <= {archive.name, "out"}


def test_the_bound_is_on_all_bytes_and_reaching_it_is_allowed(tmp_path, make_zip):
    archive = make_zip({"a": bytes(600), "b": bytes(400)})
    with pytest.raises(UserError, match="takes more than 999 bytes"):
        extract_archive(str(archive), str(tmp_path / "out"), max_bytes=999)
    extract_archive(str(archive), str(tmp_path / "out"), max_bytes=1000)
    assert (tmp_path / "out" / "a").read_bytes() == bytes(600)
    assert (tmp_path / "out" / "b").read_bytes() == bytes(400)
