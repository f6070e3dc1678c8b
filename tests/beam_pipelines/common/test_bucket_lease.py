"""The lease of a directory in a bucket, on objects in memory."""

import json
import time

import pytest
import requests
from google.api_core.exceptions import PreconditionFailed
from google.auth.exceptions import RefreshError

from beam_pipelines.common import bucket_lease
from beam_pipelines.common.bucket_lease import BucketLeaseFile
from beam_pipelines.common.lease_holder import STALE_S, Holder


class MemoryBucket:
    """Objects in memory, with generations as Google Cloud Storage counts them."""

    def __init__(self) -> None:
        self.objects: dict[str, tuple[bytes, int]] = {}
        self._generations = iter(range(1, 1000))

    def read(self, name: str) -> tuple[bytes, int] | None:
        return self.objects.get(name)

    def write(self, name: str, content: bytes, *, generation: int) -> int | None:
        if self.objects.get(name, (b"", 0))[1] != generation:
            return None
        self.objects[name] = (content, next(self._generations))
        return self.objects[name][1]

    def delete(self, name: str, *, generation: int) -> bool:
        if self.objects.get(name, (b"", generation))[1] != generation:
            return False
        self.objects.pop(name, None)
        return True


def holder(owner: str, *, age_s: float = 0.0) -> Holder:
    now_s = time.time() - age_s
    return Holder(owner, "host", 1, started_s=now_s, heartbeat_s=now_s)


def test_in_a_bucket_one_command_gets_the_lease() -> None:
    bucket = MemoryBucket()
    first, second = BucketLeaseFile(bucket, "run/lease"), BucketLeaseFile(bucket, "run/lease")
    assert first.take(holder("first")) is None
    found = second.take(holder("second"))
    assert found is not None and found.owner == "first"
    assert first.refresh(holder("first")) and first.refresh(holder("first"))
    first.release()
    assert bucket.objects == {}
    assert second.take(holder("second")) is None


def test_in_a_bucket_of_two_at_the_same_moment_one_gets_the_lease() -> None:
    class Racing(MemoryBucket):
        def read(self, name: str) -> tuple[bytes, int] | None:
            found = super().read(name)
            if found is None:
                super().write(name, holder("faster").to_json(), generation=0)
            return found

    found = BucketLeaseFile(Racing(), "lease").take(holder("slower"))
    assert found is not None and found.owner == "faster"


def test_in_a_bucket_a_stale_lease_is_taken_over_and_its_holder_notices() -> None:
    bucket = MemoryBucket()
    first, second = BucketLeaseFile(bucket, "lease"), BucketLeaseFile(bucket, "lease")
    assert first.take(holder("first", age_s=STALE_S + 1)) is None
    assert second.take(holder("second")) is None
    assert not first.refresh(holder("first"))
    first.release()
    assert json.loads(bucket.objects["lease"][0])["owner"] == "second"


def test_in_a_bucket_a_repeated_request_finds_its_own_lease() -> None:
    class LosesTheFirstAnswer(MemoryBucket):
        def write(self, name: str, content: bytes, *, generation: int) -> int | None:
            is_first = name not in self.objects
            written = super().write(name, content, generation=generation)
            return None if is_first else written

    bucket = LosesTheFirstAnswer()
    lease = BucketLeaseFile(bucket, "lease")
    assert lease.take(holder("first")) is None
    assert lease.refresh(holder("first"))
    lease.release()
    assert bucket.objects == {}


def test_in_a_bucket_a_lease_whose_last_answer_was_lost_is_given_back() -> None:
    class LosesTheSecondAnswer(MemoryBucket):
        def write(self, name: str, content: bytes, *, generation: int) -> int | None:
            is_refreshed = name in self.objects
            written = super().write(name, content, generation=generation)
            if is_refreshed:
                raise requests.ConnectionError("lost")
            return written

    bucket = LosesTheSecondAnswer()
    lease = BucketLeaseFile(bucket, "lease")
    assert lease.take(holder("first")) is None
    with pytest.raises(requests.ConnectionError):
        lease.refresh(holder("first"))
    lease.release()
    assert bucket.objects == {}


def test_in_a_bucket_a_lease_that_another_command_has_taken_over_is_not_removed() -> None:
    bucket = MemoryBucket()
    lease = BucketLeaseFile(bucket, "lease")
    assert lease.take(holder("first", age_s=100.0)) is None
    assert BucketLeaseFile(bucket, "lease").take(holder("second")) is None
    lease.release()
    assert Holder.from_json(bucket.objects["lease"][0]).owner == "second"


@pytest.mark.parametrize(
    "error", [requests.ConnectionError("no route"), RefreshError("no token"), PreconditionFailed("412")], ids=repr
)
def test_a_lease_that_cannot_be_given_back_does_not_end_the_command(error: Exception) -> None:
    class Unreachable:
        def blob(self, name: str) -> "Unreachable":
            return self

        def delete(self, **settings: object) -> None:
            raise error

    bucket_lease._GoogleBucket(Unreachable()).delete("lease", generation=1)
