"""Objects are received whole or not at all, on the emulator."""

from dataclasses import replace

import pytest
from gcs.faults import Faults
from gcs.fixture import Gcs

from beam_pipelines.common import bucket_objects, lease_owner, storage
from beam_pipelines.common.bucket_errors import BucketError
from beam_pipelines.common.errors import RunFailedError
from beam_pipelines.common.lease import HEARTBEAT_S, LEASE_FILE
from beam_pipelines.common.lease_holder import Holder
from beam_pipelines.common.lease_owner import check_lease_owner

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("gcs_here")]

CONTENT = bytes(range(256)) * 4_000
HOLDER = Holder("owner", "elsewhere", 7, started_s=0.0, heartbeat_s=0.0)


def test_one_request_reads_an_object(gcs: Gcs) -> None:
    gcs.write("object", CONTENT)
    with bucket_objects.download_to_disk(f"{gcs.url}/object", max_bytes=len(CONTENT)) as file:
        assert file.read() == CONTENT
    assert gcs.count_requests().requests == 1


def test_an_object_that_is_too_large_or_missing_is_not_read(gcs: Gcs) -> None:
    gcs.write("object", CONTENT)
    with pytest.raises(OSError, match=f"/data/object has more than {len(CONTENT) - 1} bytes"):
        bucket_objects.download_to_disk(f"{gcs.url}/object", max_bytes=len(CONTENT) - 1)
    with pytest.raises(FileNotFoundError, match="there is no file"):
        bucket_objects.download_to_disk(f"{gcs.url}/absent", max_bytes=1)


@pytest.mark.parametrize("times", [1, 2, 3])
@pytest.mark.parametrize("fault", ["cut_reply", "truncated"])
def test_what_was_cut_is_received_whole(gcs: Gcs, fault: str, times: int) -> None:
    """The client does not verify the checksum of the second part of a download."""
    gcs.write("object", CONTENT)
    gcs.set_faults(replace(Faults(times=times), **{f"{fault}_share": 1.0}))
    assert bucket_objects.download(f"{gcs.url}/object") == CONTENT
    assert sum(record.fault == fault for record in gcs.requests()) == times


def test_objects_are_deleted_whatever_is_cut_of_the_answer(gcs: Gcs) -> None:
    names = ["a", "b", "c"]
    for name in names:
        gcs.write(name, b"x")
    gcs.set_faults(Faults(kinds=("batch",), truncated_share=1.0, times=1))
    bucket_objects.delete([f"{gcs.url}/{name}" for name in names])
    assert gcs.contents() == {}
    assert [record.fault for record in gcs.requests() if record.kind == "batch"] == ["truncated", ""]


def test_what_only_those_who_list_know_to_be_missing_is_missing(gcs: Gcs) -> None:
    gcs.write("object", CONTENT)
    gcs.set_faults(Faults(granted=("storage.objects.get",)))
    assert storage.sizes_bytes([f"{gcs.url}/absent", f"{gcs.url}/object", f"{gcs.url}/absent2"]) == [0, len(CONTENT), 0]
    with pytest.raises(FileNotFoundError, match=f"there is no file {gcs.url}/absent$"):
        storage.open_local(f"{gcs.url}/absent")
    asked = [record.target for record in gcs.requests() if record.kind == "other"]
    assert len(asked) == 1 and "testPermissions" in asked[0]


def test_where_it_is_not_known_whether_an_object_is_missing_both_are_named(gcs: Gcs) -> None:
    gcs.set_faults(Faults(granted=()))
    expected = (
        f"{gcs.url}/a: tester@test-project.iam.gserviceaccount.com lacks the permission storage.objects.get, or there "
        "is no such object, which only an account with storage.objects.list is told: gcloud storage buckets"
    )
    with pytest.raises(BucketError, match=f"^{expected}"):
        storage.sizes_bytes([f"{gcs.url}/a"])
    with pytest.raises(PermissionError, match=f"^{expected}"):
        storage.open_local(f"{gcs.url}/a")


def test_an_empty_object_is_empty(gcs: Gcs) -> None:
    gcs.write("object", b"")
    assert bucket_objects.download(f"{gcs.url}/object") == b""


def test_a_worker_looks_at_the_lease_once_in_a_heartbeat(gcs: Gcs, monkeypatch: pytest.MonkeyPatch) -> None:
    gcs.write(LEASE_FILE, HOLDER.to_json())
    now_s = 1000.0
    monkeypatch.setattr(lease_owner.time, "monotonic", lambda: now_s)
    check_lease_owner(gcs.url, HOLDER.owner)
    gcs.write(LEASE_FILE, replace(HOLDER, owner="another").to_json())
    now_s += HEARTBEAT_S - 0.1
    check_lease_owner(gcs.url, HOLDER.owner)
    assert gcs.count_requests().requests == 1
    now_s += 0.2
    for _ in range(2):
        with pytest.raises(RunFailedError, match="does not hold the lease"):
            check_lease_owner(gcs.url, HOLDER.owner)
