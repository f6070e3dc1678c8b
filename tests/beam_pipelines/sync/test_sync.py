"""`beamtune sync` on the emulator: trees up, down and between buckets."""

import os
import re

import pytest
from gcs.faults import Faults

pytestmark = pytest.mark.slow  # each test starts with an empty emulator, and sends some dozens of requests


def files_of(folder):
    """Returns the contents of the files in a folder and below it, by name."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_tree_goes_up_and_comes_back_with_the_same_bytes(gcs, sync, music, tmp_path):
    printed = sync(music, f"{gcs.url}/music")
    assert printed == f"5 files uploaded (9.0 MiB), 0 unchanged: {gcs.url}/music\n"
    assert gcs.contents("music") == files_of(music)
    printed = sync(f"{gcs.url}/music", tmp_path / "back")
    assert printed == f"5 files downloaded (9.0 MiB), 0 unchanged: {tmp_path}/back\n"
    assert files_of(tmp_path / "back") == files_of(music)
    gcs.check_network("python")


def test_a_second_run_copies_nothing_and_asks_little(gcs, sync, music, tmp_path):
    sync(music, f"{gcs.url}/music")
    gcs.clear_requests()
    assert sync(music, f"{gcs.url}/music").startswith("0 files uploaded (0.0 MiB), 5 unchanged: ")
    kinds = sorted(record.kind for record in gcs.requests() if record.kind != "token")
    # The check of the bucket begins an upload; the lease is read, written and deleted; one listing.
    assert kinds == ["delete", "get", "insert", "insert", "list"], kinds
    sync(f"{gcs.url}/music", tmp_path / "back")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "back").rglob("*")}
    gcs.clear_requests()
    assert sync(f"{gcs.url}/music", tmp_path / "back").startswith("0 files downloaded (0.0 MiB), 5 unchanged: ")
    assert [record.kind for record in gcs.requests() if record.kind != "token"] == ["list", "list"]
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "back").rglob("*")} == before


def test_only_what_differs_is_copied(gcs, sync, music):
    sync(music, gcs.url)
    (music / "rock" / "a.mp3").write_bytes(b"b" * 3000)  # the same size
    (music / "tracks.csv").write_bytes(b"path,genre\n")
    (music / "new.mp3").write_bytes(b"new")
    os.utime(music / "big.wav")
    gcs.clear_requests()
    assert sync(music, gcs.url).startswith("3 files uploaded (0.0 MiB), 3 unchanged: ")
    written = {record.name for record in gcs.requests() if record.kind == "insert"}
    assert {name for name in written if "beamtune" not in name} == {
        "data/rock/a.mp3",
        "data/tracks.csv",
        "data/new.mp3",
    }
    assert gcs.contents() == files_of(music)


def test_what_was_changed_on_either_side_is_replaced(gcs, sync, music, tmp_path):
    sync(music, gcs.url)
    gcs.write("rock/a.mp3", b"x" * 3000)
    assert sync(gcs.url, music).startswith("1 file downloaded (0.0 MiB), 4 unchanged: ")
    assert (music / "rock" / "a.mp3").read_bytes() == b"x" * 3000


def test_files_are_deleted_only_when_asked(gcs, sync, music, tmp_path):
    sync(music, gcs.url)
    sync(gcs.url, tmp_path / "back")
    (music / "rock" / "deep" / "er" / "b.mp3").unlink()
    kept = sync(music, gcs.url)
    assert "1 file is only in the destination: delete=true deletes them\n" in kept
    assert gcs.read("rock/deep/er/b.mp3")
    assert ", 4 unchanged, 1 deleted: " in sync(music, gcs.url, "delete=true")
    assert gcs.contents() == files_of(music)
    assert ", 4 unchanged, 1 deleted: " in sync(gcs.url, tmp_path / "back", "delete=true")
    assert files_of(tmp_path / "back") == files_of(music)
    assert not (tmp_path / "back" / "rock" / "deep").exists()


def test_nothing_is_deleted_for_a_source_that_is_empty_or_missing(gcs, sync, music, tmp_path):
    sync(music, gcs.url)
    (tmp_path / "empty").mkdir()
    for source, found in [("empty", "there is no file in it"), ("absent", "there is no such folder")]:
        line = sync(tmp_path / source, gcs.url, "delete=true", exit_code=2)
        assert f"source={tmp_path}/{source}: {found}: expected a folder with files; nothing is copied or del" in line
    line = sync(f"{gcs.url}/absent", music, "delete=true", exit_code=2)
    assert f"source={gcs.url}/absent: there is no file in it" in line
    assert gcs.contents() == files_of(music)
    assert len(files_of(music)) == 5


def test_one_file_is_answered_with_the_command_that_copies_it(gcs, sync, tmp_path):
    gcs.write("a b.mp3", b"x")
    gcs.write("a b.mp3.txt", b"x")
    (tmp_path / "mine.mp3").write_bytes(b"x")
    os.mkfifo(tmp_path / "pipe")
    for source, target, quoted in [
        (f"{gcs.url}/a b.mp3", tmp_path / "x", f"'{gcs.url}/a b.mp3'"),
        (tmp_path / "mine.mp3", f"{gcs.url}/x", f"{tmp_path}/mine.mp3"),
        (tmp_path / "pipe", f"{gcs.url}/x", f"{tmp_path}/pipe"),
    ]:
        assert sync(source, target, exit_code=2) == (
            f"beamtune sync: source={source}: it is one file: expected a folder; to copy a file: "
            f"gcloud storage cp {quoted} {target}\n"
        )
    assert gcs.contents().keys() == {"a b.mp3", "a b.mp3.txt"}
    assert not (tmp_path / "x").exists()


def test_nothing_is_deleted_where_a_part_of_the_source_cannot_be_read(gcs, sync, music):
    sync(music, gcs.url)
    (music / "disk").symlink_to("/absent")
    line = sync(music, gcs.url, "delete=true", exit_code=2)
    assert f"delete=true: disk of source={music} cannot be read" in line
    assert gcs.contents() == files_of(music)


def test_a_dry_run_lists_and_writes_nothing(gcs, sync, music, tmp_path):
    gcs.write("tracks.csv", b"old")
    gcs.write("extra.mp3", b"1234")
    before = gcs.contents()
    gcs.clear_requests()
    assert sync(music, gcs.url, "delete=true", "--dry-run") == (
        "upload: big.wav (9,437,184 bytes)\n"
        "upload: jazz/ä b*[c]?#%2F.mp3 (1 bytes)\n"
        "upload: rock/a.mp3 (3,000 bytes)\n"
        "upload: rock/deep/er/b.mp3 (25,600 bytes)\n"
        "upload, replace: tracks.csv (0 bytes)\n"
        "delete: extra.mp3 (4 bytes)\n"
        f"5 files would be uploaded (9.0 MiB), 0 unchanged, 1 would be deleted: {gcs.url}\n"
    )
    assert gcs.contents() == before
    assert [record.kind for record in gcs.requests() if record.kind != "token"] == ["list", "list"]
    assert sync(gcs.url, tmp_path / "absent", "--dry-run").count("download: ") == 2
    assert not (tmp_path / "absent").exists()


def test_trees_are_copied_between_folders_of_buckets_by_the_service(gcs, sync, music):
    sync(music, f"{gcs.url}/a")
    gcs.write("b/tracks.csv", b"old")
    gcs.clear_requests()
    assert sync(f"{gcs.url}/a", f"{gcs.url}/b").startswith("5 files copied (9.0 MiB), 0 unchanged: ")
    assert gcs.contents("b") == files_of(music)
    records = gcs.requests()
    assert sum(record.kind == "rewrite" for record in records) == 5
    assert sum(record.received_bytes for record in records) < 100_000  # no content was downloaded
    assert sync(f"{gcs.url}/a", f"{gcs.url}/b").startswith("0 files copied (0.0 MiB), 5 unchanged: ")


@pytest.mark.parametrize("kind", ["list", "rewrite"])
def test_an_answer_that_is_incomplete_is_asked_for_again(gcs, sync, tmp_path, kind):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "a.mp3").write_bytes(b"x")
    sync(tmp_path / "a", f"{gcs.url}/a")
    gcs.write("b/old.mp3", b"x")
    gcs.set_faults(Faults(kinds=(kind,), name_pattern="(/|mp3)$", truncated_share=1.0, times=2))
    sync(f"{gcs.url}/a", f"{gcs.url}/b", "delete=true")
    assert sum(bool(record.fault) for record in gcs.requests()) == 2
    assert gcs.contents("b") == {"a.mp3": b"x"}


def test_leases_and_temporary_files_are_neither_copied_nor_deleted(gcs, sync, music, tmp_path):
    (music / ".beamtune-update-lease").write_bytes(b"x")
    (music / "rock" / "c.tmp").write_bytes(b"x")
    gcs.write("shards/d.tmp", b"x")
    sync(music, gcs.url, "delete=true")
    assert gcs.contents().keys() == {*files_of(music), "shards/d.tmp"} - {".beamtune-update-lease", "rock/c.tmp"}
    sync(gcs.url, tmp_path / "back")
    assert len(files_of(tmp_path / "back")) == 5


def test_a_marker_is_written_after_all_other_files(gcs, sync, tmp_path):
    prepared = tmp_path / "prepared"
    prepared.mkdir()
    (prepared / "_SUCCESS").write_bytes(b"x" * 1000)
    for number in range(8):
        (prepared / f"{number}.tfrecord").write_bytes(b"x")
    sync(prepared, gcs.url)
    written = [record.name for record in gcs.requests() if record.kind == "insert"]
    assert written[-1] == "data/_SUCCESS" and len(written) == 11


def test_a_marker_is_away_while_the_files_that_it_marks_are_replaced(gcs, sync, tmp_path):
    prepared, back = tmp_path / "prepared", tmp_path / "back"
    prepared.mkdir()
    for name in ("_SUCCESS", "0.tfrecord", "1.tfrecord"):
        (prepared / name).write_bytes(b"1")
    sync(prepared, gcs.url)
    sync(gcs.url, back)
    (prepared / "1.tfrecord").write_bytes(b"2")
    gcs.set_faults(Faults(kinds=("insert",), name_pattern="1.tfrecord", unavailable_share=1.0))
    sync(prepared, gcs.url, "storage.retry_deadline_s=1", exit_code=75)
    assert gcs.contents() == {"0.tfrecord": b"1", "1.tfrecord": b"1"}
    gcs.set_faults(Faults())
    sync(prepared, gcs.url)
    assert gcs.contents() == files_of(prepared)
    gcs.set_faults(Faults(kinds=("get",), unavailable_share=1.0))
    sync(gcs.url, back, "storage.retry_deadline_s=1", exit_code=75)
    assert {name for name in files_of(back) if name[0] != "."} == {"0.tfrecord", "1.tfrecord"}
    gcs.set_faults(Faults())
    sync(gcs.url, back)
    assert files_of(back) == files_of(prepared)


def test_a_destination_that_another_command_holds_is_refused(gcs, sync, music, tmp_path):
    from lease_process import another_command

    target = tmp_path / "target"
    target.mkdir()
    sync(music, gcs.url)
    with another_command(target):
        line = sync(gcs.url, target, exit_code=2)
    assert re.search(rf"destination={target} is in use by another command: process \d+ on ", line)
    assert files_of(target).keys() <= {".beamtune-lease"}


def test_a_folder_behind_a_link_is_written_to_and_not_deleted_from(gcs, sync, music, tmp_path, capfd):
    sync(music, gcs.url)
    other, target = tmp_path / "other", tmp_path / "target"
    other.mkdir()
    target.mkdir()
    (target / "rock").symlink_to(other)
    (other / "mine.mp3").write_bytes(b"mine")
    sync(gcs.url, target, "delete=true")
    assert (other / "a.mp3").read_bytes() == b"a" * 3000
    assert (other / "mine.mp3").read_bytes() == b"mine"


def test_hostile_names_of_objects_stay_in_the_folder(gcs, sync, tmp_path):
    target = tmp_path / "in" / "target"
    names = ["../up.mp3", "/etc/x.mp3", "a//b.mp3", "a/../../c.mp3", "./d.mp3", "e/.", "f/", "é" * 128, "g", "g/h"]
    for name in names:
        gcs.write(f"t/{name}", b"x")
    gcs.write("t/placeholder/", b"")
    gcs.write("t/\x1b[31mred\x07.mp3", b"y")
    printed = sync(f"{gcs.url}/t", target)
    assert printed.startswith("2 files downloaded (0.0 MiB), 0 unchanged: ")
    assert files_of(tmp_path / "in") == {"target/\x1b[31mred\x07.mp3": b"y", "target/g/h": b"x"}
    assert [path.name for path in tmp_path.rglob("*.mp3")] == ["\x1b[31mred\x07.mp3"]


def test_hostile_names_are_shown_without_control_characters(gcs, sync, tmp_path, capfd):
    gcs.write("t/\x1b[31mred\x07.mp3", b"y")
    gcs.write("t/../\x1b]0;title\x07", b"y")
    assert sync(f"{gcs.url}/t", tmp_path / "x", "--dry-run").startswith("download: \\x1b[31mred\\x07.mp3 (1 bytes)\n")


def test_files_that_cannot_be_objects_are_left_out(gcs, sync, tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    (source / "two\nlines.mp3").write_bytes(b"x")
    (source / os.fsdecode(b"latin1-\xe4.mp3")).write_bytes(b"x")
    os.mkfifo(source / "pipe")
    (source / "good.mp3").write_bytes(b"x")
    assert sync(source, gcs.url).startswith("1 file uploaded (0.0 MiB), 0 unchanged: ")
    assert gcs.contents() == {"good.mp3": b"x"}


def test_files_and_folders_of_one_name_are_named(gcs, sync, tmp_path):
    target = tmp_path / "target"
    (target / "a.mp3").mkdir(parents=True)
    (target / "b").write_bytes(b"mine")
    for name in ("a.mp3", "b/c.mp3", "good.mp3"):
        gcs.write(name, b"x")
    line = sync(gcs.url, target, exit_code=1)
    assert "2 files not copied or not deleted, such as " in line
    assert "note: a.mp3: a folder of the destination has this name: move it away\n" in line
    assert (
        "note: b/c.mp3: a file of the destination has the name of a folder that it needs: move that file away" in line
    )
    assert files_of(target) == {"b": b"mine", "good.mp3": b"x"}
