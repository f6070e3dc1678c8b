"""Uploads: no program replaces what another one has written since, on the emulator."""

import io
from collections.abc import Callable
from typing import Any

import pytest
from gcs.faults import Faults
from gcs.fixture import Gcs

from beam_pipelines.common import bucket_uploads, bucket_writes
from beam_pipelines.common.bucket_uploads import WriteConflictError, upload
from beam_pipelines.common.bucket_writes import forget_writes_below

pytestmark = pytest.mark.slow

# The client uploads more than 8 MiB in several requests.
SMALL, LARGE = b"small", bytes(range(256)) * (36 << 10)


@pytest.fixture
def write(gcs_here: Gcs, monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], None]:
    """Writes the object "one" of the bucket, without pauses."""
    monkeypatch.setattr(bucket_writes, "_INTERVAL_S", 0.0)
    return lambda content: upload(f"{gcs_here.url}/one", io.BytesIO(content))


def preconditions(gcs: Gcs) -> list[tuple[str, int]]:
    """Returns the precondition and the status of each request that begins to write."""
    records = [record for record in gcs.requests() if record.kind == "insert"]
    return [(record.query["ifGenerationMatch"], record.status) for record in records]


def generation(gcs: Gcs) -> str:
    return str(gcs.process.list_objects(gcs.bucket)["data/one"]["generation"])


def test_a_new_object_has_no_generation_and_the_next_write_expects_the_first(
    gcs: Gcs, write: Callable[[bytes], None]
) -> None:
    write(b"first")
    first = generation(gcs)
    write(b"second")
    assert gcs.read("one") == b"second"
    assert preconditions(gcs) == [("0", 200), (first, 200)]
    assert gcs.count_requests().requests == 2


def test_the_object_of_an_earlier_command_is_replaced(gcs: Gcs, write: Callable[[bytes], None]) -> None:
    gcs.write("one", b"earlier")
    earlier = generation(gcs)
    write(b"new")
    assert gcs.read("one") == b"new"
    assert preconditions(gcs) == [("0", 412), (earlier, 200)]
    # In the same process, another command has written it since.
    gcs.write("one", b"of another command")
    forget_writes_below(f"{gcs.url}/")
    write(b"newer")
    assert gcs.read("one") == b"newer"


def test_what_another_program_has_written_since_is_not_replaced(gcs: Gcs, write: Callable[[bytes], None]) -> None:
    write(b"mine")
    gcs.write("one", b"of another program")
    with pytest.raises(WriteConflictError, match="/data/one was written by another program at the same time"):
        write(b"mine again")
    assert gcs.read("one") == b"of another program"
    write(b"of the next command")
    assert gcs.read("one") == b"of the next command"


def test_what_another_program_writes_between_two_requests_is_not_replaced(
    gcs: Gcs, write: Callable[[bytes], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    look_up = bucket_uploads.look_up

    def look_up_late(path: str) -> Any:
        found = look_up(path)
        gcs.write("one", b"of another program")
        return found

    gcs.write("one", b"earlier")
    monkeypatch.setattr(bucket_uploads, "look_up", look_up_late)
    with pytest.raises(WriteConflictError, match="written by another program"):
        write(b"mine")
    assert gcs.read("one") == b"of another program"


def test_an_object_that_was_deleted_is_written_again(gcs: Gcs, write: Callable[[bytes], None]) -> None:
    write(b"first")
    gcs.delete("one")
    write(b"second")
    assert gcs.read("one") == b"second"


@pytest.mark.parametrize("is_replaced", [False, True])
@pytest.mark.parametrize(("content", "kind"), [(SMALL, "insert"), (LARGE, "chunk")], ids=["small", "large"])
def test_a_lost_answer_is_no_write_of_another_program(
    gcs: Gcs, write: Callable[[bytes], None], content: bytes, kind: str, is_replaced: bool
) -> None:
    if is_replaced:
        write(b"first")
    gcs.set_faults(Faults(kinds=(kind,), cut_after_share=1.0, times=1))
    write(content)
    assert gcs.read("one") == content
    assert "cut_after" in {record.fault for record in gcs.requests()}
    # What is remembered is the generation of the write without an answer.
    gcs.clear_requests()
    write(b"next")
    assert [status for _, status in preconditions(gcs)] == [200]


def test_the_second_begins_when_an_upload_has_ended(gcs_here: Gcs, monkeypatch: pytest.MonkeyPatch) -> None:
    now_s, pauses_s = [100.0], list[float]()
    insert = bucket_uploads._insert

    def insert_slowly(path: str, source: io.BytesIO, expected: int) -> int | None:
        now_s[0] += 5.0
        return insert(path, source, expected)

    monkeypatch.setattr(bucket_uploads, "_insert", insert_slowly)
    monkeypatch.setattr(bucket_writes.time, "monotonic", lambda: now_s[0])
    monkeypatch.setattr(bucket_writes.time, "sleep", pauses_s.append)
    for _ in range(2):
        upload(f"{gcs_here.url}/one", io.BytesIO(SMALL))
    assert pauses_s == [0.0, 1.0]
