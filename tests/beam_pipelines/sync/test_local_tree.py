import base64
import os

import google_crc32c
import pytest

from beam_pipelines.common.walk import BROKEN_LINK, LOOP
from beam_pipelines.sync.local_tree import LocalFolder, crc32c_of, crc32c_of_parts
from beam_pipelines.sync.trees import Tree, TreeFile


def listed(folder) -> Tree:
    return LocalFolder(str(folder)).list(problem=lambda name: "long names" if len(name) > 10 else None)


def test_files_are_listed_by_name_and_links_are_followed_once(tmp_path):
    music, other = tmp_path / "music", tmp_path / "other"
    (music / "a").mkdir(parents=True)
    other.mkdir()
    (music / "a" / "x.mp3").write_bytes(b"12")
    (other / "y.mp3").write_bytes(b"123")
    (music / "link").symlink_to(other)
    (music / "loop").symlink_to(music)
    (music / "z.mp3").symlink_to(other / "y.mp3")
    (music / "broken").symlink_to(tmp_path / "absent")
    (music / "a_long_name").write_bytes(b"")
    os.mkfifo(music / "pipe")
    found = listed(music)
    sizes = {name: file.size_bytes for name, file in found.files.items()}
    assert sizes == {"a/x.mp3": 2, "link/y.mp3": 3, "z.mp3": 3}
    assert found.files["z.mp3"].modified_ns == (other / "y.mp3").stat().st_mtime_ns
    assert found.left_out == {
        "devices and named pipes": ["pipe"],
        "long names": ["a_long_name"],
        LOOP: ["loop"],
        BROKEN_LINK: ["broken"],
    }
    assert found.unread == ["broken"]


def test_own_files_are_not_listed_and_leftovers_are_apart(tmp_path):
    leftover = ".beamtune-sync-0123456789abcdef0123.tmp"
    for name in (".beamtune-lease", "x.tmp", leftover):
        (tmp_path / name).write_bytes(b"1")
    found = listed(tmp_path)
    assert (found.files, found.left_out) == ({}, {})
    assert [file.name for file in found.leftovers] == [leftover]


def test_a_folder_that_does_not_exist_is_empty(tmp_path):
    assert listed(tmp_path / "absent").files == {}


@pytest.mark.parametrize("content", [b"", b"123456789", bytes(3 << 20) + b"x"])
def test_the_checksum_is_the_one_of_the_service(tmp_path, content):
    path = tmp_path / "file"
    path.write_bytes(content)
    expected = base64.b64encode(google_crc32c.value(content).to_bytes(4, "big")).decode()
    assert crc32c_of(str(path)) == expected
    path.write_bytes(b"ab" + content + b"cd")
    assert crc32c_of(str(path), start=2, size_bytes=len(content)) == expected


def test_the_checksums_of_parts_come_from_one_reading(tmp_path):
    content = os.urandom(3_000_000)
    path = tmp_path / "file"
    path.write_bytes(content)
    ranges = [(0, 2_000_000), (2_000_000, 999_999), (2_999_999, 1)]
    parts, whole = crc32c_of_parts(str(path), ranges)
    assert parts == [crc32c_of(str(path), start=start, size_bytes=size) for start, size in ranges]
    assert len(set(parts)) == 3
    assert whole == crc32c_of(str(path))


def test_a_checksum_of_the_documentation(tmp_path):
    (tmp_path / "file").write_bytes(b"123456789")
    # The check value of CRC-32C: RFC 3720, appendix B.4, and the catalogue of CRC algorithms.
    assert crc32c_of(str(tmp_path / "file")) == base64.b64encode(0xE3069283.to_bytes(4, "big")).decode()


def test_a_deleted_file_takes_its_empty_folders_with_it(tmp_path):
    for name in ("a/b/c.mp3", "a/d.mp3", "e/f/g.mp3"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    folder = LocalFolder(str(tmp_path))
    for name in ("a/b/c.mp3", "e/f/g.mp3", "never/there"):
        folder.delete(TreeFile(name, 0))
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")) == ["a", "a/d.mp3"]


def test_what_lies_behind_a_link_is_known(tmp_path):
    (tmp_path / "music").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "music" / "link").symlink_to(tmp_path / "other")
    (tmp_path / "music" / "file").symlink_to(tmp_path / "other" / "x")
    folder = LocalFolder(str(tmp_path / "music"))
    assert folder.is_behind_link(TreeFile("link/x", 0))
    assert not folder.is_behind_link(TreeFile("file", 0))  # deleting it deletes the link
    assert not folder.is_behind_link(TreeFile("a/b", 0))
