"""Where the logs of a search's processes are; a local folder stands in for a bucket."""

import os
from pathlib import Path

import pytest

from beam_pipelines.common.errors import RunAgainError
from trainer.common import files
from trainer.tuner.process_logs import process_logs


@pytest.fixture
def in_bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The folder of the logs of a search in a bucket; temporary folders are in tmp_path/temporary."""
    (tmp_path / "temporary").mkdir()
    (tmp_path / "bucket").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    monkeypatch.setattr("trainer.tuner.process_logs.is_local", lambda path: False)
    return str(tmp_path / "bucket")


def append(local_dir: str, text: str) -> None:
    with open(os.path.join(local_dir, "chief.log"), "a") as log:
        log.write(text)


def test_those_of_a_local_search_are_in_its_directory(tmp_path: Path) -> None:
    directory = str(tmp_path / "search" / "logs")
    with process_logs(directory) as logs:
        assert logs.local_dir == directory
        assert logs.describe() == f"each process writes a log in {directory}"
        append(logs.local_dir, "one\n")
        logs.try_upload()
    assert (tmp_path / "search" / "logs" / "chief.log").read_text() == "one\n"


def test_those_of_a_search_in_a_bucket_are_copied_when_a_process_fails_and_at_the_end(
    in_bucket: str, tmp_path: Path
) -> None:
    with pytest.raises(ZeroDivisionError), process_logs(in_bucket) as logs:
        assert Path(logs.local_dir).parent == tmp_path / "temporary"
        assert logs.describe() == (f"each process writes a log in {logs.local_dir}, copied to {in_bucket} at the end")
        append(logs.local_dir, "one\n")
        logs.try_upload()
        assert files.read_text(files.join(in_bucket, "chief.log")) == "one\n"
        append(logs.local_dir, "two\n")
        raise ZeroDivisionError
    assert files.read_text(files.join(in_bucket, "chief.log")) == "one\ntwo\n"
    with process_logs(in_bucket) as logs:
        append(logs.local_dir, "of the next start\n")
    assert files.read_text(files.join(in_bucket, "chief.log")) == "one\ntwo\nof the next start\n"
    assert list((tmp_path / "temporary").iterdir()) == []


def fail(source: str, target: str) -> None:
    raise RunAgainError(f"{target} cannot be reached")


def test_earlier_logs_that_cannot_be_read_end_the_search_and_leave_nothing(
    in_bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(in_bucket, "one\n")
    monkeypatch.setattr(files, "copy", fail)
    with pytest.raises(RunAgainError, match="cannot be reached"), process_logs(in_bucket):
        pass
    assert list((tmp_path / "temporary").iterdir()) == []


def test_logs_that_cannot_be_copied_stay(
    in_bucket: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(files, "copy", fail)
    with process_logs(in_bucket) as logs:
        append(logs.local_dir, "one\n")
        logs.try_upload()
    assert Path(logs.local_dir, "chief.log").read_text() == "one\n"
    assert capsys.readouterr().err == (
        f"note: the logs stay in {logs.local_dir}: they cannot be copied ({in_bucket}/chief.log cannot be reached)\n"
    )
