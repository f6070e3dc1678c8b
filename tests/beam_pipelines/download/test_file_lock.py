import os
from contextlib import ExitStack

import pytest

from beam_pipelines.common.errors import UserError
from beam_pipelines.download import file_lock
from beam_pipelines.download.file_lock import locked


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "x.lock")


def test_a_held_lock_is_an_error_and_a_released_one_leaves_no_file(path):
    with locked(path), pytest.raises(UserError, match=f"^{path} is locked by another process"), locked(path):
        pass
    with locked(path):
        assert os.path.exists(path)
    assert not os.path.exists(path)


def test_waiting_ends_when_the_lock_is_released_and_is_shown_once(path, monkeypatch, capsys):
    holder = ExitStack()
    holder.enter_context(locked(path))
    num_waits = 0

    def sleep(_):
        nonlocal num_waits
        num_waits += 1
        if num_waits == 3:
            holder.close()

    monkeypatch.setattr(file_lock, "_MESSAGE_AFTER_S", 0.0)
    monkeypatch.setattr(file_lock.time, "sleep", sleep)
    with locked(path, wait=True):
        assert num_waits == 3
    assert capsys.readouterr().err == f"waiting for another process that does the same and holds {path}\n"
    assert not os.path.exists(path)


def test_a_short_wait_is_not_shown(path, monkeypatch, capsys):
    holder = ExitStack()
    holder.enter_context(locked(path))
    monkeypatch.setattr(file_lock, "_MESSAGE_AFTER_S", 3600.0)
    monkeypatch.setattr(file_lock.time, "sleep", lambda _: holder.close())
    with locked(path, wait=True):
        pass
    assert capsys.readouterr().err == ""


def test_a_folder_that_does_not_exist_is_an_error(tmp_path):
    with (
        pytest.raises(UserError, match="x.lock cannot be written: No such file"),
        locked(str(tmp_path / "no" / "x.lock")),
    ):
        pass
