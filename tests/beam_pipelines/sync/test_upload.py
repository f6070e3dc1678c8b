"""Uploads on the emulator: what goes wrong on the way, and large files in parts."""

import base64
import os

import google_crc32c
import pytest
from gcs.faults import Faults

from beam_pipelines.sync import upload
from beam_pipelines.sync.bucket_folder import BucketFolder

pytestmark = pytest.mark.slow

MIB = 1 << 20


@pytest.fixture
def large(tmp_path, monkeypatch):
    """Returns a file of 5 MiB that is uploaded in parts of 1 MiB, in a folder of its own."""
    monkeypatch.setattr(upload, "LARGE_BYTES", 4 * MIB)
    monkeypatch.setattr(upload, "_MIN_PART_BYTES", MIB)
    path = tmp_path / "large" / "deep" / "fma.zip"
    path.parent.mkdir(parents=True)
    path.write_bytes(os.urandom(5 * MIB - 7))
    return path


def inserts(gcs, pattern: str = "") -> list[str]:
    """Returns the names of the objects whose upload began, in order."""
    names = [record.name for record in gcs.requests() if record.kind == "insert" and record.status == 200]
    return [name for name in names if pattern in name and not name.endswith(("-access-check", "-lease"))]


def test_a_large_file_is_uploaded_in_parts_that_are_joined(gcs, sync, large):
    assert sync(large.parents[1], gcs.url).startswith("1 file uploaded (5.0 MiB), 0 unchanged: ")
    assert gcs.contents() == {"deep/fma.zip": large.read_bytes()}
    parts = inserts(gcs)
    assert len(parts) == 5 and all(name.startswith("data/.beamtune-sync-") for name in parts)
    assert sum(record.kind == "compose" for record in gcs.requests()) == 1
    assert sync(large.parents[1], gcs.url).startswith("0 files uploaded (0.0 MiB), 1 unchanged: ")


def test_there_are_at_most_as_many_parts_as_the_service_joins(gcs, sync, large, monkeypatch):
    monkeypatch.setattr(upload, "_MIN_PART_BYTES", 1)
    sync(large.parents[1], gcs.url)
    assert len(inserts(gcs)) == 32
    assert gcs.contents() == {"deep/fma.zip": large.read_bytes()}


def test_the_parts_of_an_interrupted_run_are_kept(gcs, sync, large):
    # The two last parts are refused for good.
    gcs.set_faults(Faults(kinds=("insert",), name_pattern=r"-0[34]\.tmp", unavailable_share=1.0))
    line = sync(large.parents[1], gcs.url, "storage.retry_deadline_s=1", "num_workers=1", exit_code=75)
    assert "run the same command again" in line
    assert len([name for name in gcs.contents() if "-sync-" in name]) == 3
    gcs.set_faults(Faults())
    gcs.clear_requests()
    sync(large.parents[1], gcs.url)
    assert len(inserts(gcs)) == 2
    assert gcs.contents() == {"deep/fma.zip": large.read_bytes()}


def test_parts_of_another_content_are_removed(gcs, sync, large):
    gcs.set_faults(Faults(kinds=("compose",), unavailable_share=1.0))
    sync(large.parents[1], gcs.url, "storage.retry_deadline_s=1", exit_code=75)
    assert len([name for name in gcs.contents() if "-sync-" in name]) == 5
    gcs.set_faults(Faults())
    large.write_bytes(os.urandom(5 * MIB))
    sync(large.parents[1], gcs.url)
    assert gcs.contents() == {"deep/fma.zip": large.read_bytes()}


def test_a_part_that_is_damaged_is_uploaded_again(gcs, sync, large):
    gcs.set_faults(Faults(kinds=("compose",), unavailable_share=1.0))
    sync(large.parents[1], gcs.url, "storage.retry_deadline_s=1", exit_code=75)
    [second] = [name for name in gcs.contents() if name.endswith("-01.tmp")]
    gcs.write(second, bytes(MIB))
    gcs.set_faults(Faults())
    sync(large.parents[1], gcs.url)
    assert gcs.contents() == {"deep/fma.zip": large.read_bytes()}


@pytest.mark.parametrize(
    "fault",
    [
        {"unavailable_share": 0.15, "too_many_share": 0.15},
        {"cut_before_share": 0.1, "cut_upload_share": 0.1, "cut_reply_share": 0.1, "cut_after_share": 0.1},
        {"truncated_share": 0.4},
    ],
    ids=lambda fault: next(iter(fault)),
)
def test_faults_of_the_service_and_the_network_are_survived(gcs, sync, music, large, fault):
    (large.parents[1] / "more").mkdir()
    for name in music.rglob("*"):
        if name.is_file():
            name.rename(large.parents[1] / "more" / name.name)
    gcs.set_faults(Faults(**fault))
    sync(large.parents[1], gcs.url)
    assert any(record.fault for record in gcs.requests())
    found = gcs.contents()
    assert {name.rpartition("/")[2] for name in found} == {
        "fma.zip",
        "a.mp3",
        "b.mp3",
        "ä b*[c]?#%2F.mp3",
        "tracks.csv",
        "big.wav",
    }  # and no part, and no lease
    assert all((large.parents[1] / name).read_bytes() == content for name, content in found.items())


@pytest.mark.parametrize("kinds", [("insert",), ("compose",), ("delete",)])
def test_an_answer_that_is_lost_is_no_other_command(gcs, sync, large, kinds):
    """The client repeats the request, whose precondition then fails, because the first one has succeeded."""
    (large.parents[1] / "small.mp3").write_bytes(b"x" * 100)
    gcs.set_faults(Faults(kinds=kinds, name_pattern=r"\.mp3|\.zip|-sync-", cut_after_share=1.0, times=3))
    sync(large.parents[1], gcs.url, "num_workers=3")
    assert {record.status for record in gcs.requests() if record.kind in kinds} & {412, 404}
    assert gcs.contents().keys() == {"deep/fma.zip", "small.mp3"}


@pytest.mark.parametrize("share", ["cut_before_share", "cut_upload_share", "cut_after_share", "unavailable_share"])
def test_a_chunk_that_is_lost_is_sent_again(gcs, sync, music, share):
    gcs.set_faults(Faults(kinds=("chunk",), times=2, **{share: 1.0}))
    sync(music, gcs.url)
    assert sum(bool(record.fault) for record in gcs.requests()) == 2
    assert gcs.read("big.wav") == (music / "big.wav").read_bytes()


def test_an_object_that_another_command_writes_at_the_same_time_is_not_replaced(gcs, sync, music, monkeypatch):
    real = BucketFolder.upload

    def write_first(self, source, name, **options):
        if name == "rock/a.mp3":
            gcs.write("rock/a.mp3", b"of another command")
        return real(self, source, name, **options)

    monkeypatch.setattr(BucketFolder, "upload", write_first)
    line = sync(music, gcs.url, exit_code=75)
    assert "rock/a.mp3: another command has written or deleted it at the same time: run the same command again" in line
    assert gcs.read("rock/a.mp3") == b"of another command"
    assert len(gcs.contents()) == 5


def test_a_file_that_changes_while_it_is_uploaded_is_uploaded_again(gcs, sync, tmp_path, monkeypatch):
    source = tmp_path / "source"
    source.mkdir()
    log = source / "events"
    log.write_bytes(b"1")
    real = BucketFolder.upload
    changes = iter([b"22", b"333"])

    def change(self, piece, name, **options):
        written = real(self, piece, name, **options)
        if name == "events" and (content := next(changes, None)):
            log.write_bytes(content)
        return written

    monkeypatch.setattr(BucketFolder, "upload", change)
    sync(source, gcs.url)
    assert gcs.read("events") == b"333"
    assert inserts(gcs) == ["data/events"] * 3


def test_a_file_that_always_changes_is_an_error_that_passes(gcs, sync, music, monkeypatch):
    real = BucketFolder.upload

    def change(self, piece, name, **options):
        written = real(self, piece, name, **options)
        if name == "tracks.csv":
            with open(music / name, "ab") as file:
                file.write(b"x")
        return written

    monkeypatch.setattr(BucketFolder, "upload", change)
    line = sync(music, gcs.url, "delete=true", exit_code=75)
    assert "1 file not copied or not deleted, such as tracks.csv: it changes while it is uploaded: run the same" in line
    assert gcs.contents().keys() >= {"rock/a.mp3", "big.wav"}


@pytest.mark.parametrize("start", [MIB + 5, 5 * MIB], ids=["in it", "behind it"])
def test_a_large_file_that_changes_is_not_joined(gcs, sync, large, monkeypatch, start):
    real = BucketFolder.upload

    def change(self, piece, name, **options):
        with open(large, "r+b") as file:
            file.seek(start)
            file.write(os.urandom(8))
        return real(self, piece, name, **options)

    monkeypatch.setattr(BucketFolder, "upload", change)
    line = sync(large.parents[1], gcs.url, "num_workers=1", exit_code=75)
    assert "deep/fma.zip: it has changed while it was uploaded: run the same command again" in line
    assert "deep/fma.zip" not in gcs.contents()


def test_a_file_that_cannot_be_read_does_not_keep_the_others_from_being_copied(gcs, sync, music, monkeypatch):
    real = BucketFolder.upload
    monkeypatch.setattr(
        BucketFolder,
        "upload",
        lambda self, piece, name, **options: (
            (_ for _ in ()).throw(PermissionError(13, "Permission denied"))
            if name == "big.wav"
            else real(self, piece, name, **options)
        ),
    )
    line = sync(music, gcs.url, "delete=true", exit_code=1)
    assert "1 file not copied or not deleted, such as big.wav: Permission denied; what is copied is kept" in line
    assert len(gcs.contents()) == 4


def test_the_service_checks_what_arrives(gcs, sync, tmp_path):
    """The checksum goes with the upload, so that damaged content never replaces an object."""
    source = tmp_path / "source"
    source.mkdir()
    (source / "a.mp3").write_bytes(b"123456789")
    sync(source, gcs.url)
    metadata = gcs.process.list_objects(gcs.bucket, "data/a.mp3")["data/a.mp3"]
    assert metadata["crc32c"] == base64.b64encode(google_crc32c.value(b"123456789").to_bytes(4, "big")).decode()
    assert metadata["contentType"] == "audio/mpeg"
