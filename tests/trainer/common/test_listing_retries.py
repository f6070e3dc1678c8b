"""Listing a directory where the disk or the bucket fails for a moment."""

import errno
import os
from pathlib import Path

import pytest
import tensorflow as tf

from trainer.common import files


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "LISTING_PAUSES_S", (0.0, 0.0))


def test_an_error_of_a_bucket_that_passes_is_retried(monkeypatch: pytest.MonkeyPatch) -> None:
    errors = [tf.errors.UnavailableError, tf.errors.AbortedError]

    def listdir(directory: str) -> list[str]:
        if errors:
            raise errors.pop()(None, None, "try again")
        return ["name"]

    monkeypatch.setattr(tf.io.gfile, "listdir", listdir)
    assert files.list_if_exists("ram://any") == ["name"]
    assert not errors


def test_an_error_of_a_network_disk_that_passes_is_retried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "name").write_text("")
    real_listdir, codes = os.listdir, [errno.ESTALE, errno.EIO]

    def listdir(directory: str) -> list[str]:
        if codes:
            raise OSError(codes.pop(), "try again", directory)
        return real_listdir(directory)

    monkeypatch.setattr(os, "listdir", listdir)
    assert files.list_if_exists(str(tmp_path)) == ["name"]
    assert not codes


def test_an_error_that_stays_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    def listdir(directory: str) -> list[str]:
        raise tf.errors.UnavailableError(None, None, "the bucket does not answer")

    monkeypatch.setattr(tf.io.gfile, "listdir", listdir)
    with pytest.raises(files.PassingFileError, match="ram://any; the bucket does not answer"):
        files.list_if_exists("ram://any")


def test_an_error_that_does_not_pass_is_raised_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def listdir(directory: str) -> list[str]:
        asked.append(directory)
        raise PermissionError(errno.EACCES, "Permission denied", directory)

    monkeypatch.setattr(os, "listdir", listdir)
    with pytest.raises(files.FileError, match="Permission denied"):
        files.list_if_exists(str(tmp_path))
    assert asked == [str(tmp_path)]
