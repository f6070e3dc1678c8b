"""The folder of the bodies of requests, and those that killed services have left."""

import fcntl
import os
import stat
import tempfile
from pathlib import Path

import pytest

from beam_pipelines.common.errors import UserError
from trainer.serve.upload_folder import upload_folder


@pytest.fixture(autouse=True)
def temporary_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def make_folder(directory: Path, name: str, *, age_s: float = 3600.0) -> Path:
    folder = directory / name
    folder.mkdir()
    (folder / "upload-x").write_bytes(b"song")
    changed_s = os.stat(folder).st_mtime - age_s
    os.utime(folder, (changed_s, changed_s))
    return folder


def test_the_folder_is_private_and_removed(tmp_path: Path) -> None:
    with upload_folder() as folder:
        assert Path(folder).parent == tmp_path
        assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700
        Path(folder, "upload-x").write_bytes(b"song")
    assert list(tmp_path.iterdir()) == []


def test_folders_of_killed_services_are_removed_and_no_others(tmp_path: Path) -> None:
    left = make_folder(tmp_path, "beamtune-serve-left")
    running = make_folder(tmp_path, "beamtune-serve-running")
    starting = make_folder(tmp_path, "beamtune-serve-starting", age_s=1.0)
    other = make_folder(tmp_path, "beamtune-other")
    link = tmp_path / "beamtune-serve-link"
    link.symlink_to(other)
    descriptor = os.open(running, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        with upload_folder() as folder, upload_folder() as second:
            os.utime(folder, (0, 0))  # its last upload was long ago
            with upload_folder() as third:
                assert set(tmp_path.iterdir()) == {running, starting, other, link, *map(Path, (folder, second, third))}
    finally:
        os.close(descriptor)
    assert not left.exists()
    assert (other / "upload-x").read_bytes() == b"song"


def test_the_folders_of_other_users_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left = make_folder(tmp_path, "beamtune-serve-left")
    user = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: user + 1)
    with upload_folder():
        assert left.exists()


def test_a_temporary_directory_that_cannot_be_written_to_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    expected = r"^no folder for uploads can be made \(No such file.*\): set TMPDIR to "
    with pytest.raises(UserError, match=expected), upload_folder():
        pass
