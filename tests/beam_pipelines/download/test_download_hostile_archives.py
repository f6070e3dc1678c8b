import bz2
import contextlib
import gzip
import itertools
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
from beam_pipelines.download.archives import Member
from beam_pipelines.download.extract import extract_archive, list_names

NOTHING_UNPACKED = "it is not unpacked, get it from another source"


@pytest.fixture
def assert_refused(tmp_path):
    """Unpacks an archive that must be refused, and makes sure that nothing but the archive is there then."""

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
    """Writes an archive with a good member and one of this name."""

    def make(kind, name):
        members = [("good", b"1"), (name, b"2")]
        return make_zip(members) if kind == "zip" else make_tar(members, mode="w", name="a.tar")

    return make


@pytest.mark.parametrize("kind", ["zip", "tar"])
@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("../evil", "climbs out with .."),
        ("a/../../evil", "climbs out with .."),
        ("a/..", "climbs out with .."),
        ("..", "climbs out with .."),
        ("/var/evil", "is an absolute path"),
        ("//evil", "is an absolute path"),
        ("C:/evil", "is an absolute path"),
        ("c:evil", "is an absolute path"),
        ("..\\evil", "has a backslash in its name"),
        ("a\\b", "has a backslash in its name"),
        ("good/below", "lies in 'good', which is a file"),
        ("x/" * 101 + "y", "lies 102 folders deep"),
    ],
)
def test_names_that_could_do_harm(make_named, assert_refused, kind, name, found):
    line = assert_refused(make_named(kind, name), found)
    assert line.endswith(NOTHING_UNPACKED)


@pytest.mark.parametrize("name", ["", ".", "./."])
def test_files_without_a_name(make_tar, assert_refused, name):
    assert_refused(make_tar({name: b"x"}), "is a file without a name")


def test_a_nul_in_a_name(make_zip, make_tar, assert_refused):
    archive = make_zip({"good.exe_": b"x"})
    archive.write_bytes(archive.read_bytes().replace(b"good.exe_", b"good\0exe_"))
    assert_refused(archive, "has a NUL in its name")
    info = tarfile.TarInfo("x")
    info.pax_headers = {"path": "good\0exe"}
    assert_refused(make_tar([(info, b"x")]), "has a NUL in its name")


def test_a_name_that_the_disk_does_not_take(tmp_path, make_zip):
    archive = make_zip({"x" * 300: b""})
    with pytest.raises(UserError, match="x cannot be written: File name too long"):
        extract_archive(str(archive), str(tmp_path / "out"), max_bytes=10)
    assert os.listdir(tmp_path) == [archive.name]


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("kind", ["zip", "tar"])
@pytest.mark.parametrize("name", ["good", "./good", "good/"])
def test_one_path_twice(make_zip, make_tar, make_named, assert_refused, kind, name):
    if kind == "tar" and name.endswith("/"):
        folder = tarfile.TarInfo(name)
        folder.type = tarfile.DIRTYPE
        archive = make_tar([("good", b"1"), (folder, b"")])
    else:
        archive = make_named(kind, name)
    assert_refused(archive, "is in it twice: expected every path once")


def test_a_folder_twice(make_zip, assert_refused):
    assert_refused(make_zip([("a/", b""), ("a/b", b""), ("a//", b"")]), "is in it twice")


def test_a_folder_that_is_first_a_parent_and_then_a_member_is_no_clash(tmp_path, make_zip):
    archive = make_zip([("a/b", b"1"), ("a/", b"")])
    extract_archive(str(archive), str(tmp_path / "out"), max_bytes=10)
    assert (tmp_path / "out" / "a" / "b").read_bytes() == b"1"


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_a_file_where_a_folder_is(make_zip, make_tar, assert_refused, kind):
    members = [("a/b", b"1"), ("a", b"2")]
    archive = make_zip(members) if kind == "zip" else make_tar(members)
    assert_refused(archive, "is a file, and others lie in it")


@pytest.mark.parametrize(
    ("kind", "found"),
    [
        (tarfile.SYMTYPE, "is a symbolic link"),
        (tarfile.LNKTYPE, "is a hard link"),
        (tarfile.CHRTYPE, "is a device, pipe or of an unknown kind"),
        (tarfile.BLKTYPE, "is a device, pipe or of an unknown kind"),
        (tarfile.FIFOTYPE, "is a device, pipe or of an unknown kind"),
        (tarfile.GNUTYPE_SPARSE, "is a sparse file"),
        (b"Z", "is a device, pipe or of an unknown kind"),
    ],
)
def test_tar_members_that_are_no_files(make_tar, assert_refused, kind, found):
    info = tarfile.TarInfo("evil")
    info.type = kind
    info.linkname = "/etc/passwd"
    assert_refused(make_tar([("good", b"1"), (info, b"")]), found)


@pytest.mark.parametrize(
    ("kind", "found"),
    [
        (stat.S_IFLNK, "is a symbolic link"),
        (stat.S_IFCHR, "is a device, pipe or socket"),
        (stat.S_IFBLK, "is a device, pipe or socket"),
        (stat.S_IFIFO, "is a device, pipe or socket"),
        (stat.S_IFSOCK, "is a device, pipe or socket"),
    ],
)
def test_zip_members_that_are_no_files(make_zip, assert_refused, kind, found):
    info = zipfile.ZipInfo("evil")
    info.external_attr = (kind | 0o777) << 16
    assert_refused(make_zip([("good", b"1"), (info, b"/etc/passwd")]), found)


def test_a_member_through_a_link_that_was_a_member(make_tar, assert_refused):
    link = tarfile.TarInfo("a")
    link.type = tarfile.SYMTYPE
    link.linkname = ".."
    assert_refused(make_tar([(link, b""), ("a/evil", b"x")]), "is a symbolic link")


def test_an_encrypted_zip(make_zip, assert_refused):
    archive = make_zip({"secret": b"x"})
    content = bytearray(archive.read_bytes())
    content[6] |= 1
    content[content.index(b"PK\1\2") + 8] |= 1
    archive.write_bytes(content)
    assert_refused(archive, "is encrypted: expected plain files and folders only")


def test_an_unknown_compression(make_zip, assert_refused):
    archive = make_zip({"a": b"x" * 100})
    content = bytearray(archive.read_bytes())
    for start in (8, content.index(b"PK\1\2") + 10):
        content[start : start + 2] = struct.pack("<H", 97)
    archive.write_bytes(content)
    assert_refused(archive, "is compressed by the unknown method 97")


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_zip_bomb_that_owns_up(make_zip, assert_refused, method):
    assert_refused(make_zip({"bomb": bytes(2**20 + 1)}, method=method), "unpacks to more than 1,048,576 bytes")


def test_many_members_that_are_too_large_together(make_zip, make_tar, assert_refused):
    members = {f"{number}": bytes(2**18) for number in range(5)}
    assert_refused(make_zip(members), "unpacks to more than 1,048,576 bytes")
    assert_refused(make_tar(members), "unpacks to more than 1,048,576 bytes")


def set_zip_size(archive, size_bytes):
    """Makes the headers of a zip's first member say that it has this size."""
    content = bytearray(archive.read_bytes())
    content[22:26] = struct.pack("<I", size_bytes)
    start = content.index(b"PK\1\2") + 24
    content[start : start + 4] = struct.pack("<I", size_bytes)
    archive.write_bytes(content)


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_zip_bomb_whose_header_lies(make_zip, assert_refused, method):
    archive = make_zip({"bomb": bytes(2**26)}, method=method)
    set_zip_size(archive, 100)
    assert_refused(archive, "is truncated or damaged")


def test_bytes_are_counted_and_not_believed(make_zip, assert_refused, monkeypatch):
    liar = Member(name="bomb", is_folder=False, size_bytes=0, fault="", chunks=lambda: itertools.repeat(bytes(2**10)))
    monkeypatch.setattr(extract, "read_members", lambda *_, **__: [liar])
    assert_refused(make_zip({"a": b""}), "unpacks to more than 1,048,576 bytes")


def test_a_zip_whose_members_share_their_bytes_is_bounded(tmp_path, make_zip, assert_refused):
    archive = make_zip({"bomb": bytes(2**19)})
    content = archive.read_bytes()
    start, end = content.index(b"PK\1\2"), content.index(b"PK\5\6")
    entry = content[start:end]
    entries = b"".join(entry.replace(b"bomb", b"%04d" % number) for number in range(5))
    tail = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 5, 5, len(entries), start, 0)
    archive.write_bytes(content[:start] + entries + tail)
    assert_refused(archive, "truncated or damaged|unpacks to more")


def test_a_tar_bomb(tmp_path, assert_refused):
    info = tarfile.TarInfo("bomb")
    info.size = 2**40
    (tmp_path / "a.tar").write_bytes(info.tobuf())
    assert_refused(tmp_path / "a.tar", "unpacks to more than 1,048,576 bytes")
    with pytest.raises(UserError, match="unpacks to more than 1,048,576 bytes"):
        list(list_names(str(tmp_path / "a.tar"), max_bytes=2**20))


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress])
def test_a_bomb_behind_the_end_of_a_tar(tmp_path, make_tar, assert_refused, compress):
    tar = make_tar({"a": b"x"}, mode="w", name="a.tar").read_bytes()
    os.unlink(tmp_path / "a.tar")
    (tmp_path / "a.tgz").write_bytes(compress(tar + bytes(2**25)))
    assert_refused(tmp_path / "a.tgz", "more follows its end mark")


@pytest.mark.parametrize("kind", ["zip", "tar"])
@pytest.mark.parametrize("is_deep", [False, True])
def test_too_many_members(make_zip, make_tar, assert_refused, kind, is_deep):
    members = {"a/b/c/d": b""} if is_deep else {f"{number}": b"" for number in range(4)}
    archive = make_zip(members) if kind == "zip" else make_tar(members)
    assert_refused(archive, "has more than 3 members: expected at most that", max_members=3)


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
    assert_refused(tmp_path / "a.tgz", "has far too large headers after 0 members")
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 2**22


def test_a_chain_of_tar_headers_is_not_followed_without_end(tmp_path, assert_refused):
    info = tarfile.TarInfo("x")
    block = info.create_pax_global_header({"comment": "x"})
    with gzip.open(tmp_path / "a.tgz", "wb") as file:
        file.write(block * 2000)
    assert_refused(tmp_path / "a.tgz", "far too large headers|truncated or damaged")


def test_a_tar_header_that_points_back(tmp_path, assert_refused):
    info = tarfile.TarInfo("loop")
    block = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    block[124:136] = b"\xff" * 10 + (-1024 & 0xFFFF).to_bytes(2, "big")
    block[148:156] = b"%06o\0 " % tarfile.calc_chksums(bytes(block))[0]
    (tmp_path / "a.tar").write_bytes(bytes(block) + bytes(10240))
    assert_refused(tmp_path / "a.tar", "is truncated or damaged")


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz", "tar.bz2"])
def test_an_archive_cut_off_anywhere(tmp_path, make_zip, make_tar, assert_refused, kind):
    members = {f"{number}": os.urandom(700) for number in range(4)}
    modes = {"tar": "w", "tar.gz": "w:gz", "tar.bz2": "w:bz2"}
    archive = make_zip(members) if kind == "zip" else make_tar(members, mode=modes[kind])
    content = archive.read_bytes()
    # A tar's padding may be missing: its end is the first block of zeros.
    needed_bytes = 4 * (512 + 1024) + 512 if kind == "tar" else len(content)
    for size_bytes in range(1, needed_bytes, 61):
        archive.write_bytes(content[:size_bytes])
        assert_refused(archive, r"is truncated or damaged|expected a \.zip")


@pytest.mark.parametrize("kind", ["zip", "tar.gz", "tar.bz2"])
def test_an_archive_with_a_damaged_byte(tmp_path, make_zip, make_tar, kind):
    members = {"a": os.urandom(500)}
    archive = make_zip(members) if kind == "zip" else make_tar(members, mode=f"w:{kind.removeprefix('tar.')}")
    content = bytearray(archive.read_bytes())
    content[len(content) // 2] ^= 0xFF
    archive.write_bytes(content)
    with pytest.raises(UserError, match="is truncated or damaged"):
        extract_archive(str(archive), str(tmp_path / "out"), max_bytes=2**20)


def test_a_damaged_header_in_the_middle_of_a_tar_is_not_its_end(make_tar, assert_refused):
    archive = make_tar({"a": b"1", "b": b"2", "c": b"3"}, mode="w", name="a.tar")
    content = bytearray(archive.read_bytes())
    content[1024 + 150] ^= 0xFF
    archive.write_bytes(content)
    assert_refused(archive, "it has no end mark, or a header is damaged")
    content[1024:1536] = bytes(512)
    archive.write_bytes(content)
    assert_refused(archive, "more follows its end mark")


def test_random_bytes_behind_each_beginning(tmp_path, assert_refused):
    for number, beginning in enumerate((b"PK\3\4", b"PK\5\6", b"\x1f\x8b\x08\0", b"BZh9", b"")):
        content = bytearray(beginning + os.urandom(2000))
        if not beginning:
            content[257:262] = b"ustar"
        archive = tmp_path / f"{number}.zip"
        archive.write_bytes(content)
        assert_refused(archive, "is truncated or damaged")


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz", "tar.bz2"])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_damage_is_harmless_or_an_error(tmp_path, make_zip, make_tar, kind, data):
    members = {"a/b": b"b" * 700, "c": b"", "d" * 120: b"d" * 10}
    modes = {"tar": "w", "tar.gz": "w:gz", "tar.bz2": "w:bz2"}
    archive = make_zip(members) if kind == "zip" else make_tar(members, mode=modes[kind])
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
    with pytest.raises(UserError, match="unpacks to more than 999 bytes"):
        extract_archive(str(archive), str(tmp_path / "out"), max_bytes=999)
    extract_archive(str(archive), str(tmp_path / "out"), max_bytes=1000)
    assert (tmp_path / "out" / "a").read_bytes() == bytes(600)
    assert (tmp_path / "out" / "b").read_bytes() == bytes(400)
