"""Leases of killed commands are removed, and those of commands that run are kept."""

import socket
import time
from pathlib import Path

import pytest
from gcs.fixture import Gcs
from lease_process import another_command

from beam_pipelines.common.lease import LEASE_FILE, LEASE_FILES, UPDATE_LEASE_FILE
from beam_pipelines.common.lease_holder import STALE_S, Holder
from trainer.common.left_leases import remove_left_leases


def holder(*, age_s: float) -> bytes:
    started_s = time.time() - age_s
    return Holder("killed", socket.gethostname(), 7, started_s=started_s, heartbeat_s=started_s).to_json()


def test_on_a_disk(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for name in LEASE_FILES:
        (tmp_path / name).write_bytes(holder(age_s=0))
    remove_left_leases(str(tmp_path), key="run_dir")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_that_of_a_running_command_is_kept(tmp_path: Path) -> None:
    with another_command(tmp_path):
        (tmp_path / UPDATE_LEASE_FILE).write_bytes(holder(age_s=0))
        remove_left_leases(str(tmp_path), key="run_dir")
        assert [path.name for path in tmp_path.iterdir()] == [LEASE_FILE]


def test_without_leases_nothing_is_written(tmp_path: Path) -> None:
    remove_left_leases(str(tmp_path / "absent"), key="run_dir")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("age_s", "kept"), [(STALE_S + 1, set()), (0, set(LEASE_FILES))])
def test_in_a_bucket(gcs_here: Gcs, age_s: float, kept: set[str]) -> None:
    gcs_here.write("run/_SUCCESS", b"")
    for name in LEASE_FILES:
        gcs_here.write(f"run/{name}", holder(age_s=age_s))
    remove_left_leases(f"{gcs_here.url}/run", key="run_dir")
    assert set(gcs_here.contents("run")) == {"_SUCCESS", *kept}
