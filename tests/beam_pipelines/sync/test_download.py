"""Downloads on the emulator: what goes wrong on the way, and large objects in ranges."""

import errno
import os
import shutil

import pytest
from gcs.faults import Faults

from beam_pipelines.sync import download
from beam_pipelines.sync import sync as sync_module
from beam_pipelines.sync.bucket_folder import BucketFolder
from beam_pipelines.sync.names import temporary_name
from beam_pipelines.sync.trees import TreeFile

pytestmark = pytest.mark.slow

MIB = 1 << 20


@pytest.fixture
def large(gcs, monkeypatch):
    """Returns the content of the object deep/fma.zip, 5 MiB, which is downloaded in ranges of 1 MiB."""
    monkeypatch.setattr(download, "RANGE_BYTES", MIB)
    content = os.urandom(5 * MIB - 7)
    gcs.write("deep/fma.zip", content)
    return content


def ranges(gcs) -> list[str]:
    """Returns the ranges that were asked for, in order."""
    return [record.range for record in gcs.requests() if record.kind == "get" and record.status in (200, 206)]


def temporary_files(folder):
    return list(folder.rglob(".beamtune-sync-*.tmp"))


def test_a_large_object_is_downloaded_in_ranges(gcs, sync, large, tmp_path):
    assert sync(gcs.url, tmp_path / "x").startswith("1 file downloaded (5.0 MiB), 0 unchanged: ")
    assert (tmp_path / "x" / "deep" / "fma.zip").read_bytes() == large
    assert len(ranges(gcs)) == 5
    assert temporary_files(tmp_path) == []


def test_the_ranges_of_an_interrupted_run_are_kept(gcs, sync, large, tmp_path):
    gcs.set_faults(Faults(kinds=("get",), skip=3, unavailable_share=1.0))
    line = sync(gcs.url, tmp_path / "x", "storage.retry_deadline_s=1", "num_workers=1", exit_code=75)
    assert "run the same command again" in line
    [temporary] = temporary_files(tmp_path)
    assert temporary.parent == tmp_path / "x" / "deep"
    assert not (tmp_path / "x" / "deep" / "fma.zip").exists()
    gcs.set_faults(Faults())
    gcs.clear_requests()
    sync(gcs.url, tmp_path / "x")
    assert len(ranges(gcs)) == 2
    assert (tmp_path / "x" / "deep" / "fma.zip").read_bytes() == large
    assert temporary_files(tmp_path) == []


def test_a_part_of_an_older_object_is_removed(gcs, sync, large, tmp_path):
    gcs.set_faults(Faults(kinds=("get",), skip=3, unavailable_share=1.0))
    sync(gcs.url, tmp_path / "x", "storage.retry_deadline_s=1", "num_workers=1", exit_code=75)
    gcs.set_faults(Faults())
    gcs.write("deep/fma.zip", large[::-1])
    gcs.clear_requests()
    sync(gcs.url, tmp_path / "x")
    assert len(ranges(gcs)) == 5
    assert (tmp_path / "x" / "deep" / "fma.zip").read_bytes() == large[::-1]
    assert temporary_files(tmp_path) == []


def test_a_part_that_is_damaged_is_not_taken_for_the_file(gcs, sync, large, tmp_path):
    gcs.set_faults(Faults(kinds=("get",), skip=3, unavailable_share=1.0))
    sync(gcs.url, tmp_path / "x", "storage.retry_deadline_s=1", "num_workers=1", exit_code=75)
    [temporary] = temporary_files(tmp_path)
    with open(temporary, "r+b") as file:
        file.write(b"damaged")
    gcs.set_faults(Faults())
    line = sync(gcs.url, tmp_path / "x", exit_code=75)
    assert "deep/fma.zip: its checksum is wrong: it has been damaged on the way, or replaced: run the same" in line
    assert temporary_files(tmp_path) == []
    sync(gcs.url, tmp_path / "x")
    assert (tmp_path / "x" / "deep" / "fma.zip").read_bytes() == large


@pytest.mark.parametrize(
    "fault",
    [
        {"unavailable_share": 0.2, "too_many_share": 0.2, "times": 6},
        {"cut_before_share": 0.15, "cut_reply_share": 0.15, "cut_after_share": 0.15, "times": 6},
        {"truncated_share": 0.5, "kinds": ("get",), "times": 2},
    ],
    ids=lambda fault: next(iter(fault)),
)
def test_faults_of_the_service_and_the_network_are_survived(gcs, sync, music, large, tmp_path, fault):
    gcs.upload(music)
    gcs.set_faults(Faults(**fault))
    sync(gcs.url, tmp_path / "x")
    assert any(record.fault for record in gcs.requests())
    found = {path.relative_to(tmp_path / "x").as_posix(): path.read_bytes() for path in (tmp_path / "x").rglob("*.*")}
    assert found == gcs.contents()


def test_an_object_that_is_replaced_after_the_listing_is_an_error_that_passes(gcs, sync, music, tmp_path, monkeypatch):
    gcs.upload(music)
    real = BucketFolder.download

    def replace(self, file, sink, **options):
        if file.name == "rock/a.mp3":
            gcs.write("rock/a.mp3", b"z" * 3000)
        if file.name == "jazz/ä b*[c]?#%2F.mp3":
            gcs.delete(file.name)
        real(self, file, sink, **options)

    monkeypatch.setattr(BucketFolder, "download", replace)
    line = sync(gcs.url, tmp_path / "x", exit_code=75)
    assert "2 files not copied or not deleted, such as " in line
    assert "another command has written or deleted it at the same time: run the same command again" in line
    assert not (tmp_path / "x" / "rock" / "a.mp3").exists()
    assert (tmp_path / "x" / "big.wav").exists()


def test_a_file_is_replaced_only_by_a_complete_one(gcs, sync, music, tmp_path):
    gcs.upload(music)
    sync(gcs.url, tmp_path / "x")
    old = (tmp_path / "x" / "big.wav").read_bytes()
    gcs.write("big.wav", os.urandom(3 * MIB))
    gcs.set_faults(Faults(kinds=("get",), cut_reply_share=1.0))
    sync(gcs.url, tmp_path / "x", "storage.retry_deadline_s=1", exit_code=75)
    assert (tmp_path / "x" / "big.wav").read_bytes() == old


def test_a_disk_that_is_too_small_is_seen_before_anything_is_downloaded(gcs, sync, large, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=4 * MIB)
    monkeypatch.setattr(sync_module.shutil, "disk_usage", lambda path: usage)
    line = sync(gcs.url, tmp_path / "x", exit_code=2)
    assert f"destination={tmp_path}/x: 0.0 GiB are needed and 0.0 GiB are free: free some space, or choose a" in line
    assert ranges(gcs) == []
    assert not (tmp_path / "x").exists()


def test_what_a_disk_has_of_a_file_is_not_needed_again(gcs, sync, large, tmp_path, monkeypatch):
    gcs.set_faults(Faults(kinds=("get",), skip=3, unavailable_share=1.0))
    sync(gcs.url, tmp_path / "x", "storage.retry_deadline_s=1", "num_workers=1", exit_code=75)
    gcs.set_faults(Faults())
    usage = shutil.disk_usage(tmp_path)._replace(free=3 * MIB)
    monkeypatch.setattr(sync_module.shutil, "disk_usage", lambda path: usage)
    sync(gcs.url, tmp_path / "x")


def test_a_disk_that_is_full_ends_the_run_and_the_same_command_resumes(gcs, sync, large, tmp_path, monkeypatch):
    real = os.replace

    def full(source, target):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(download.os, "replace", full)
    line = sync(gcs.url, tmp_path / "x", exit_code=2)
    assert "deep/fma.zip cannot be written: the disk is full: free some space, then the same command resumes" in line
    monkeypatch.setattr(download.os, "replace", real)
    sync(gcs.url, tmp_path / "x")
    assert (tmp_path / "x" / "deep" / "fma.zip").read_bytes() == large


def test_a_link_at_the_temporary_name_is_not_followed(gcs, sync, tmp_path):
    gcs.write("a.mp3", b"new")
    [item] = gcs.process.list_objects(gcs.bucket, "data/a.mp3").values()
    target = tmp_path / "x"
    target.mkdir()
    (tmp_path / "mine").write_bytes(b"mine")
    link = target / temporary_name(TreeFile("a.mp3", 3, generation=int(item["generation"])))
    link.symlink_to(tmp_path / "mine")
    sync(gcs.url, target, exit_code=1)
    assert (tmp_path / "mine").read_bytes() == b"mine"
