"""Listing a directory where the disk or the bucket fails for a moment."""

from pathlib import Path

import pytest
import tensorflow as tf

from trainer.common import files


def test_a_transient_error_is_retried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "name").write_text("")
    real_listdir, errors = tf.io.gfile.listdir, [tf.errors.UnavailableError, tf.errors.AbortedError]

    def listdir(directory: str) -> list[str]:
        if errors:
            raise errors.pop()(None, None, "try again")
        return list(real_listdir(directory))

    monkeypatch.setattr(tf.io.gfile, "listdir", listdir)
    monkeypatch.setattr(files, "LISTING_PAUSES_S", (0.0, 0.0))
    assert files.list_if_exists(str(tmp_path)) == ["name"]


def test_an_error_that_stays_is_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def listdir(directory: str) -> list[str]:
        raise tf.errors.UnavailableError(None, None, "the bucket does not answer")

    monkeypatch.setattr(tf.io.gfile, "listdir", listdir)
    monkeypatch.setattr(files, "LISTING_PAUSES_S", (0.0, 0.0))
    with pytest.raises(tf.errors.UnavailableError):
        files.list_if_exists(str(tmp_path))
