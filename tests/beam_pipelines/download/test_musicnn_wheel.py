"""pip gets the wheel from a folder or from an index on this machine, which may hold something else."""

import base64
import hashlib
import io
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from beam_pipelines.common.errors import RunFailedError, UserError
from beam_pipelines.download import musicnn_wheel
from beam_pipelines.download.musicnn_wheel import fetch_musicnn_wheel
from beam_pipelines.features.config import MUSICNN_WHEEL


def wheel(content: bytes = b"weights", *, version: str = "0.1.0") -> bytes:
    """Returns a wheel of a package musicnn with one file."""
    info = f"musicnn-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: musicnn\nVersion: {version}\nRequires-Dist: numpy<1.17\n"
    files = {
        "musicnn/MSD_musicnn/.index": content,
        f"{info}/METADATA": metadata.encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = ""
    for name, data in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        record += f"{name},sha256={digest},{len(data)}\n"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in {**files, f"{info}/RECORD": f"{record}{info}/RECORD,,\n".encode()}.items():
            archive.writestr(name, data)
    return buffer.getvalue()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A path in a folder that does not exist yet."""
    return tmp_path / "cache" / "beamtune" / MUSICNN_WHEEL


@pytest.fixture
def links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is pip's only source of packages."""
    folder = tmp_path / "links"
    folder.mkdir()
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def published(monkeypatch: pytest.MonkeyPatch, content: bytes) -> bytes:
    """Makes some bytes those of the published wheel."""
    monkeypatch.setattr(musicnn_wheel, "_SHA256", hashlib.sha256(content).hexdigest())
    return content


def test_the_wheel_is_complete_and_nothing_else_is_left(path, links, monkeypatch, capsys):
    content = published(monkeypatch, wheel())
    (links / MUSICNN_WHEEL).write_bytes(content)
    (links / "musicnn-0.2.0-py3-none-any.whl").write_bytes(wheel(version="0.2.0"))
    path.parent.mkdir(parents=True)
    (path.parent / f"{MUSICNN_WHEEL}.partial").mkdir()  # a killed process has left it
    (path.parent / f"{MUSICNN_WHEEL}.partial" / "half.whl").write_bytes(b"half")
    fetch_musicnn_wheel(str(path))
    assert {file.name: file.read_bytes() for file in path.parent.iterdir()} == {MUSICNN_WHEEL: content}
    assert capsys.readouterr().err == "downloading musicnn's weights (28 MiB) by pip\n"


def test_the_index_of_the_users_configuration_is_asked(path, links, server, monkeypatch):
    content = published(monkeypatch, wheel())
    url = server.serve(content, MUSICNN_WHEEL)
    page = f'<!DOCTYPE html><html><body><a href="{url}">{MUSICNN_WHEEL}</a></body></html>'
    server.files["/simple/musicnn/"] = page.encode()
    server.always(headers={"Content-Type": "text/html"})
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setenv("PIP_INDEX_URL", f"{server.url}/simple/")
    fetch_musicnn_wheel(str(path))
    assert path.read_bytes() == content
    assert {request.path for request in server.requests} == {"/simple/musicnn/", f"/{MUSICNN_WHEEL}"}


def test_an_existing_wheel_is_kept_and_pip_is_not_run(path, monkeypatch):
    monkeypatch.setattr(subprocess, "run", None)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"mine")
    fetch_musicnn_wheel(str(path))
    assert path.read_bytes() == b"mine"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (wheel(b"other weights"), "has the SHA-256 [0-9a-f]{64}, expected f38a48.*: the index has another file"),
        (wheel()[:-100], "pip cannot get musicnn==0.1.0"),
        (b"", "pip cannot get musicnn==0.1.0"),
    ],
    ids=["another", "cut", "empty"],
)
def test_another_wheel_than_the_published_one_is_not_kept(path, links, content, message):
    (links / MUSICNN_WHEEL).write_bytes(content)
    with pytest.raises((UserError, RunFailedError), match=message) as caught:
        fetch_musicnn_wheel(str(path))
    assert str(caught.value).endswith(f"put it at {path}, or name it in features.musicnn.weights_path")
    assert "\n" not in str(caught.value)
    assert not path.parent.exists()


def test_code_is_never_built(path, links, tmp_path):
    """A source distribution would run its setup.py."""
    marker = tmp_path / "built"
    with tarfile.open(links / "musicnn-0.1.0.tar.gz", "w:gz") as archive:
        for name, text in {
            "setup.py": f"open({str(marker)!r}, 'w').close()\n",
            "PKG-INFO": "Metadata-Version: 2.1\nName: musicnn\nVersion: 0.1.0\n",
        }.items():
            info = tarfile.TarInfo(f"musicnn-0.1.0/{name}")
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text.encode()))
    with pytest.raises(RunFailedError, match=r"pip cannot get musicnn==0\.1\.0 \(Could not find a version"):
        fetch_musicnn_wheel(str(path))
    assert not marker.exists()
    assert not path.parent.exists()


def test_pip_is_not_that_of_the_working_folder(path, links, tmp_path, monkeypatch):
    (links / MUSICNN_WHEEL).write_bytes(published(monkeypatch, wheel()))
    hostile = tmp_path / "project"
    (hostile / "pip").mkdir(parents=True)
    (hostile / "pip" / "__main__.py").write_text("raise SystemExit('of the working folder')\n")
    (hostile / "pip" / "__init__.py").write_text("")
    monkeypatch.chdir(hostile)
    fetch_musicnn_wheel(str(path))
    assert path.is_file()


def test_a_python_without_pip_is_named(path, tmp_path, monkeypatch):
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho 'python: No module named pip' >&2\nexit 1\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    with pytest.raises(RunFailedError, match=r"pip cannot get musicnn==0\.1\.0 \(python: No module named pip\)"):
        fetch_musicnn_wheel(str(path))
    assert not path.parent.exists()


def test_a_download_that_takes_too_long_ends(path, tmp_path, monkeypatch):
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nexec sleep 60\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    monkeypatch.setattr(musicnn_wheel, "_TIMEOUT_S", 0.2)
    with pytest.raises(RunFailedError, match=r"pip has not got musicnn==0\.1\.0 in 0 s: run again"):
        fetch_musicnn_wheel(str(path))
    assert not path.parent.exists()


def test_a_folder_that_cannot_be_created_is_named(tmp_path):
    (tmp_path / "cache").write_bytes(b"a file")
    with pytest.raises(UserError, match="cache cannot be written"):
        fetch_musicnn_wheel(str(tmp_path / "cache" / MUSICNN_WHEEL))
