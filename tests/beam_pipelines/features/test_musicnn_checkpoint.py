"""Wheels and folders with musicnn's weights, which may be damaged or hostile.

The files that are published are replaced by a few bytes.
"""

import hashlib
import os
import warnings
import zipfile
from pathlib import Path

import pytest

from beam_pipelines.common.errors import UserError
from beam_pipelines.features import musicnn_checkpoint
from beam_pipelines.features.config import MusicnnConfig
from beam_pipelines.features.musicnn_checkpoint import (
    DATA_FILE,
    INDEX_FILE,
    Checkpoint,
    _PublishedFile,
    read_checkpoint,
    weights_sha256,
)

INDEX, DATA = b"names and places", bytes(range(256)) * 40
FILES = {"musicnn/MSD_musicnn/.index": INDEX, "musicnn/MSD_musicnn/.data-00000-of-00001": DATA}


@pytest.fixture(autouse=True)
def _published(monkeypatch):
    files = tuple(
        _PublishedFile(name, len(content), hashlib.sha256(content).hexdigest())
        for name, content in ((INDEX_FILE, INDEX), (DATA_FILE, DATA))
    )
    monkeypatch.setitem(musicnn_checkpoint._PUBLISHED, "MSD_musicnn", files)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "musicnn-0.1.0-py3-none-any.whl"


def write(path: Path, members, *, method: int = zipfile.ZIP_DEFLATED) -> MusicnnConfig:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # two members of one name
        with zipfile.ZipFile(path, "w", method) as archive:
            for name, content in members:
                archive.writestr(name, content)
    return MusicnnConfig(weights_path=str(path))


def test_a_wheel_and_a_folder_hold_the_same_weights(path, tmp_path):
    config = write(path, [*FILES.items(), ("musicnn/__init__.py", b"raise SystemExit")])
    assert read_checkpoint(config) == Checkpoint(index=INDEX, data=DATA)
    folder = tmp_path / "MSD_musicnn"
    folder.mkdir()
    (folder / ".index").write_bytes(INDEX)
    (folder / ".data-00000-of-00001").write_bytes(DATA)
    of_folder = MusicnnConfig(weights_path=str(folder))
    assert read_checkpoint(of_folder) == read_checkpoint(config)
    assert weights_sha256(of_folder) == weights_sha256(config) == hashlib.sha256(DATA).hexdigest()


def changed(**files: bytes):
    names = {"index": "musicnn/MSD_musicnn/.index", "data": "musicnn/MSD_musicnn/.data-00000-of-00001"}
    return list({**FILES, **{names[key]: content for key, content in files.items()}}.items())


@pytest.mark.parametrize(
    ("members", "message"),
    [
        (changed(data=DATA[:-1]), r"\.data-00000-of-00001 of MSD_musicnn has the SHA-256 \w{64}, expected \w{64}"),
        (changed(data=DATA + b"\0"), r"\.data-00000-of-00001 of MSD_musicnn has the SHA-256"),
        (changed(index=b""), r"\.index of MSD_musicnn has the SHA-256 e3b0c4"),
        ([*FILES.items(), *changed(data=b"second")[1:]], r"\.data-00000-of-00001 of MSD_musicnn has the SHA-256"),
        (changed()[:1], "it is damaged, or is no wheel .*There is no item named 'musicnn/MSD_musicnn/.data"),
        ([], "it is damaged, or is no wheel .*There is no item named"),
    ],
    ids=["cut", "longer", "empty", "twice", "missing", "nothing"],
)
def test_other_content_is_refused(path, members, message):
    with pytest.raises(UserError, match=rf"{path}: {message}.*: expected the weights of musicnn-0\.1\.0"):
        read_checkpoint(write(path, members))


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_compression_without_a_bound_is_refused(path, method):
    with pytest.raises(UserError, match=f"has the compression {method}, expected deflate"):
        read_checkpoint(write(path, FILES.items(), method=method))


def test_a_member_is_not_read_past_its_size(path, monkeypatch):
    """100 MB of zeros are 100 kB in the file."""
    sizes = []

    class Counting(zipfile.ZipExtFile):
        def read(self, n=-1):
            content = super().read(n)
            sizes.append(len(content))
            return content

    config = write(path, changed(data=bytes(100_000_000)))
    monkeypatch.setattr(zipfile, "ZipExtFile", Counting)
    with pytest.raises(UserError, match="has the SHA-256"):
        read_checkpoint(config)
    assert sizes == [len(INDEX), len(DATA) + 1]


def set_encrypted(content: bytes) -> bytes:
    """Sets the flag of encryption in the central directory."""
    place = content.index(b"PK\1\2") + 8
    return content[:place] + bytes([content[place] | 1]) + content[place + 1 :]


def damage_data(content: bytes) -> bytes:
    middle = content.index(b".data-00000-of-00001") + 60
    return content[:middle] + b"\xff" * 20 + content[middle + 20 :]


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:-30],
        lambda content: content[: len(content) // 2],
        lambda content: b"",
        lambda content: b"<html>no such file</html>",
        damage_data,
        set_encrypted,
    ],
    ids=["cut", "half", "empty", "a page", "damaged", "encrypted"],
)
def test_a_damaged_wheel_is_refused(path, damage):
    config = write(path, FILES.items())
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UserError, match=f"{path}: it is damaged, or is no wheel .*: expected the weights") as caught:
        read_checkpoint(config)
    assert "\n" not in str(caught.value)


def test_a_large_file_is_not_opened(path):
    with open(path, "wb") as file:
        file.truncate(2**26 + 1)
    with pytest.raises(UserError, match="it has 67,108,865 bytes, more than 67,108,864"):
        read_checkpoint(MusicnnConfig(weights_path=str(path)))


@pytest.mark.parametrize("kind", ["missing", "pipe"])
def test_what_is_no_file_is_named(path, kind):
    if kind == "pipe":
        os.mkfifo(path)
    with pytest.raises(UserError, match=r"^features\.musicnn\.weights_path=.*: there is no such file or folder"):
        read_checkpoint(MusicnnConfig(weights_path=str(path)))


def test_a_folder_without_the_files_is_named(tmp_path):
    (tmp_path / ".index").write_bytes(INDEX)
    with pytest.raises(UserError, match=r"\.data-00000-of-00001 cannot be read \(No such file"):
        read_checkpoint(MusicnnConfig(weights_path=str(tmp_path)))
