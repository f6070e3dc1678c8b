"""The lease of an output directory, as workers see it."""

from pathlib import Path

import pytest

from beam_pipelines.common.errors import RunFailedError
from beam_pipelines.common.lease import LEASE_FILE, holding
from beam_pipelines.common.lease_holder import Holder
from beam_pipelines.common.lease_owner import check_lease_owner

OTHER = Holder("other", "elsewhere", 7, started_s=0.0, heartbeat_s=0.0).to_json()


def test_the_owner_is_known_while_the_lease_is_held(tmp_path: Path) -> None:
    with holding(str(tmp_path), key="output_dir") as lease:
        assert lease.owner is not None
        check_lease_owner(str(tmp_path), lease.owner)
    with pytest.raises(RunFailedError, match="does not hold the lease of"):
        check_lease_owner(str(tmp_path), lease.owner)


@pytest.mark.parametrize("content", [OTHER, b"", b"{"])
def test_another_owner_is_noticed(tmp_path: Path, content: bytes) -> None:
    with holding(str(tmp_path), key="output_dir") as lease:
        (tmp_path / LEASE_FILE).write_bytes(content)
        with pytest.raises(RunFailedError, match="the worker ends, and changes nothing more"):
            check_lease_owner(str(tmp_path), lease.owner)


def test_a_directory_without_a_lease_is_not_checked(tmp_path: Path) -> None:
    check_lease_owner(str(tmp_path), None)
