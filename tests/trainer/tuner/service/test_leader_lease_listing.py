"""Listing the leases of chiefs where the disk or the bucket fails for a moment."""

from pathlib import Path

import pytest
import tensorflow as tf

from trainer.tuner.service import leader_lease
from trainer.tuner.service.leader_lease import list_names


def test_an_error_that_passes_is_retried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "name").write_text("")
    real_listdir, errors = tf.io.gfile.listdir, [tf.errors.UnavailableError, tf.errors.AbortedError]

    def listdir(directory: str) -> list[str]:
        if errors:
            raise errors.pop()(None, None, "try again")
        return list(real_listdir(directory))

    monkeypatch.setattr(tf.io.gfile, "listdir", listdir)
    monkeypatch.setattr(leader_lease, "_LISTING_PAUSES_S", (0.0, 0.0))
    assert list_names(str(tmp_path)) == ["name"]


def test_an_error_that_stays_is_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def listdir(directory: str) -> list[str]:
        raise tf.errors.UnavailableError(None, None, "the bucket does not answer")

    monkeypatch.setattr(tf.io.gfile, "listdir", listdir)
    monkeypatch.setattr(leader_lease, "_LISTING_PAUSES_S", (0.0, 0.0))
    with pytest.raises(tf.errors.UnavailableError):
        list_names(str(tmp_path))
