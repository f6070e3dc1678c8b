"""The lease of a directory: one holder, who is named; taken over when the holder is gone."""

import json
import math
import os
import signal
import socket
import threading
import time
from pathlib import Path

import pytest
from lease_process import another_command

from beam_pipelines.common import lease as lease_module
from beam_pipelines.common import local_lease
from beam_pipelines.common.errors import RunFailedError, UserError
from beam_pipelines.common.lease import LEASE_FILE, LeaseHeldError, holding
from beam_pipelines.common.lease_holder import STALE_S, Holder


def take(directory: str, *, key: str = "output_dir") -> None:
    """Takes the lease and gives it back."""
    with holding(directory, key=key):
        pass


def write_holder(directory: Path, *, host: str, pid: int, heartbeat_s: float) -> None:
    path = directory / LEASE_FILE
    path.write_bytes(Holder("other", host, pid, started_s=heartbeat_s, heartbeat_s=heartbeat_s).to_json())
    os.utime(path, (heartbeat_s, heartbeat_s))


def test_the_lease_is_given_back(tmp_path: Path) -> None:
    directory = tmp_path / "new [1]" / "run"
    for _ in range(2):
        with holding(str(directory), key="run_dir"):
            assert json.loads((directory / LEASE_FILE).read_text())["pid"] == os.getpid()
        # What the lease has made and the command has not used is removed.
        assert directory.parent.exists() and not directory.exists()
    with holding(str(directory), key="run_dir"):
        (directory / "file").touch()
    assert [path.name for path in directory.iterdir()] == ["file"]


def test_the_message_names_the_holder(tmp_path: Path) -> None:
    with another_command(tmp_path) as process, pytest.raises(LeaseHeldError) as caught:
        take(str(tmp_path))
    message = str(caught.value)
    assert message.startswith(f"output_dir={tmp_path} is in use by another command: process {process.pid} on ")
    assert ", since 20" in message and "\n" not in message
    # Not that it waits for heartbeats: the lease of a process of this machine is free as soon as it ends.
    assert message.endswith("last heartbeat 0 s ago: wait until it ends, or choose another output_dir")


def test_the_lease_of_a_killed_command_is_free_at_once(tmp_path: Path) -> None:
    with another_command(tmp_path) as process:
        process.kill()
        process.wait()
        assert (tmp_path / LEASE_FILE).exists()
        with holding(str(tmp_path), key="output_dir"):
            pass


def test_a_suspended_command_keeps_its_lease_and_the_message_has_advice(tmp_path: Path) -> None:
    with another_command(tmp_path) as process:
        process.send_signal(signal.SIGSTOP)
        old_s = time.time() - 2 * STALE_S
        os.utime(tmp_path / LEASE_FILE, (old_s, old_s))
        with pytest.raises(LeaseHeldError, match="it does not respond: to take the directory over, end that process"):
            take(str(tmp_path))


def test_another_machine_that_has_no_common_locks_is_respected_until_it_is_stale(tmp_path: Path) -> None:
    write_holder(tmp_path, host="elsewhere", pid=7, heartbeat_s=time.time())
    after = "process 7 on elsewhere, .* the same command takes the directory over 60 s after the last heartbeat"
    with pytest.raises(LeaseHeldError, match=after), holding(str(tmp_path), key="output_dir"):
        pass
    write_holder(tmp_path, host="elsewhere", pid=7, heartbeat_s=time.time() - STALE_S - 1)
    with holding(str(tmp_path), key="output_dir"):
        pass


FIELDS = b'"owner": "x", "host": "elsewhere", "heartbeat_s": 0, '


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"{", b"[1]", b"\xff\xfe", b'{"pid": 1}', b"[" * 50_000),
        b"{" + FIELDS + b'"pid": 1, "started_s": "today"}',
        b"{" + FIELDS + b'"pid": "x", "started_s": 0}',
        b"{" + FIELDS + b'"pid": 1, "started_s": NaN}',
        b"{" + FIELDS + b'"pid": 1, "started_s": 1e300}',
    ],
)
def test_a_damaged_lease_is_taken_over(tmp_path: Path, content: bytes) -> None:
    (tmp_path / LEASE_FILE).write_bytes(content)
    with holding(str(tmp_path), key="output_dir") as lease:
        lease.check()


def test_a_heartbeat_in_the_future_has_advice_of_its_own(tmp_path: Path) -> None:
    write_holder(tmp_path, host="elsewhere", pid=7, heartbeat_s=time.time() + 2 * STALE_S)
    with pytest.raises(LeaseHeldError, match=rf"delete the file {tmp_path / LEASE_FILE}$"):
        take(str(tmp_path))


def test_a_lease_that_is_a_link_replaces_no_file(tmp_path: Path) -> None:
    (tmp_path / "letter").write_text("dear")
    (tmp_path / LEASE_FILE).symlink_to("letter")
    with pytest.raises(UserError, match="cannot be written to"):
        take(str(tmp_path))
    assert (tmp_path / "letter").read_text() == "dear"


def test_without_locks_the_file_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(descriptor: int, operation: int) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(local_lease.fcntl, "flock", no_locks)
    with (
        holding(str(tmp_path), key="output_dir"),
        pytest.raises(LeaseHeldError, match=f"process {os.getpid()} on"),
    ):
        take(str(tmp_path))
    with holding(str(tmp_path), key="output_dir"):
        pass


def test_a_command_that_was_replaced_changes_nothing_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with holding(str(tmp_path), key="output_dir") as lease:
        lease.check()
        monkeypatch.setattr(lease_module, "HEARTBEAT_S", -1.0)  # as if it was suspended for long
        write_holder(tmp_path, host="elsewhere", pid=7, heartbeat_s=time.time())
        with pytest.raises(RunFailedError, match="another command has taken over"):
            lease.check()
    assert json.loads((tmp_path / LEASE_FILE).read_text())["owner"] == "other"


def test_a_short_update_waits_for_another_one(tmp_path: Path) -> None:
    path, num_rounds = tmp_path / "count", 20
    path.write_text("0")

    def add() -> None:
        for _ in range(num_rounds):
            with holding(str(tmp_path), key="run_dir", name="x", wait_s=300):
                count = int(path.read_text())
                time.sleep(0.001)
                path.write_text(str(count + 1))

    threads = [threading.Thread(target=add) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert path.read_text() == str(2 * num_rounds)


def test_a_long_wait_is_said_once_and_can_be_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(lease_module, "_SAY_AFTER_S", 0.0)
    polls = iter(range(4))

    def stop_after_three() -> None:
        if next(polls) == 3:
            raise RunFailedError("stopped")

    with (
        another_command(tmp_path) as process,
        pytest.raises(RunFailedError, match="stopped"),
        holding(str(tmp_path), key="folds_dir", wait_s=math.inf, on_wait=stop_after_three),
    ):
        pass
    assert capsys.readouterr().err == (
        f"note: waiting for process {process.pid} on {socket.gethostname()}, which writes to folds_dir={tmp_path}\n"
    )


def test_a_lease_that_was_waited_for_starts_with_a_new_heartbeat(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[Holder] = []
    clock_s = iter(range(0, 1000, 100))
    monkeypatch.setattr(lease_module.time, "time", lambda: float(next(clock_s)))

    class BusyFile:
        def take(self, holder: Holder) -> Holder | None:
            written.append(holder)
            return holder if len(written) < 3 else None

        def release(self) -> None:
            pass

    monkeypatch.setattr(lease_module, "_lease_file", lambda directory, **settings: BusyFile())
    with holding(str(tmp_path), key="run_dir", wait_s=math.inf):
        pass
    assert [holder.heartbeat_s - written[0].heartbeat_s for holder in written] == [0.0, 100.0, 200.0]


def test_a_directory_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"run_dir=.*/file/x cannot be written to: "):
        take(f"{tmp_path}/file/x", key="run_dir")
