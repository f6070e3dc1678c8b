import os
import threading
import time
from pathlib import Path

import pytest

import beam_pipelines
from beam_pipelines.common import storage
from beam_pipelines.common.errors import UserError


def test_a_file_is_written_completely_or_not_at_all(tmp_path):
    scratch = tmp_path / "scratch"
    target = tmp_path / "a.txt"
    target.write_text("old")

    def fail_half_way(sink):
        sink.write(b"half")
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError):
        storage.write_atomically(str(target), write=fail_half_way, scratch_dir=str(scratch))
    assert target.read_text() == "old"
    storage.write_text_atomically(str(target), "néw", scratch_dir=str(scratch))
    assert storage.read_text(str(target)) == "néw"


def test_a_listing_includes_subfolders_and_is_ordered(tmp_path):
    for name in ("b/2.txt", "a.txt", "b/c/1.txt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    entries = storage.list_files(str(tmp_path))
    assert [(entry.path, entry.size_bytes) for entry in entries] == [
        (str(tmp_path / "a.txt"), 5),
        (str(tmp_path / "b/2.txt"), 7),
        (str(tmp_path / "b/c/1.txt"), 9),
    ]
    assert storage.list_files(str(tmp_path / "absent")) == []


def test_sizes_of_missing_files(tmp_path):
    (tmp_path / "a").write_bytes(b"123")
    assert storage.size_bytes(str(tmp_path / "a")) == 3
    with pytest.raises(FileNotFoundError, match="there is no file"):
        storage.size_bytes(str(tmp_path / "b"))


def test_sizes_of_many_files(tmp_path, monkeypatch):
    (tmp_path / "a").write_bytes(b"123")
    local = [str(tmp_path / name) for name in ("a", "absent", "with\0nul", "a")]
    asked = []

    def size_bytes(path):
        asked.append(path)
        return 10 if path.endswith("0") else 30

    assert storage.sizes_bytes(local) == [3, 0, 0, 3]
    assert storage.sizes_bytes([]) == []
    monkeypatch.setattr(storage, "size_bytes", size_bytes)
    monkeypatch.setattr(storage, "_MAX_SIZE_REQUESTS", 4)
    assert storage.sizes_bytes([f"gs://b/{number}" for number in range(0, 20, 5)]) == [10, 30, 10, 30]
    asked.clear()
    sizes = storage.sizes_bytes([f"gs://b/{number}" for number in range(16)])
    assert sorted(asked) == sorted(f"gs://b/{number}" for number in (0, 4, 8, 12))
    assert sizes == [10, 25, 25, 25, 30, 25, 25, 25, 30, 25, 25, 25, 30, 25, 25, 25]


def test_a_storage_that_does_not_answer_is_asked_once_per_thread(monkeypatch):
    asked = []
    all_wait = threading.Barrier(storage._SIZE_THREADS)

    def size_bytes(path):
        asked.append(path)
        all_wait.wait(60)
        raise OSError("Timeout of 120.0s exceeded")

    monkeypatch.setattr(storage, "size_bytes", size_bytes)
    monkeypatch.setattr(storage, "_NO_ANSWER_S", 0.0)
    names = [f"gs://b/{number}" for number in range(2 * storage._SIZE_THREADS * storage._SIZES_PER_BATCH)]
    with pytest.raises(UserError) as caught:
        storage.sizes_bytes(names[: storage._MAX_SIZE_REQUESTS])
    assert str(caught.value) == (
        "gs://b/0: its size cannot be looked up (Timeout of 120.0s exceeded): check the network and the credentials"
    )
    assert len(asked) == storage._SIZE_THREADS


def test_a_missing_file_in_a_bucket_that_is_said_at_once_has_size_0(monkeypatch):
    def size_bytes(path):
        raise FileNotFoundError(path)

    monkeypatch.setattr(storage, "size_bytes", size_bytes)
    assert storage.sizes_bytes(["gs://b/0", "gs://b/1"]) == [0, 0]


def test_a_long_look_up_is_said(monkeypatch):
    said = threading.Event()
    lines = []

    class Stream:
        def write(self, text):
            lines.append(text)
            said.set()

        def flush(self):
            pass

    monkeypatch.setattr(storage, "stderr", Stream)
    monkeypatch.setattr(storage, "_SAY_AFTER_S", 0.0)
    monkeypatch.setattr(storage, "size_bytes", lambda path: 7 if said.wait(60) else 0)
    assert storage.sizes_bytes(["gs://b/0", "gs://b/1"]) == [7, 7]
    assert lines[0] == "note: looking up the sizes of 2 files, such as gs://b/0"


def test_deleting_ignores_missing_files(tmp_path):
    (tmp_path / "d" / "e").mkdir(parents=True)
    (tmp_path / "d" / "e" / "f").write_text("x")
    (tmp_path / "g").write_text("x")
    storage.delete_files([str(tmp_path / "g"), str(tmp_path / "absent")])
    assert not (tmp_path / "g").exists()
    storage.delete_folder(str(tmp_path / "d"))
    storage.delete_folder(str(tmp_path / "absent"))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_below_a_file_is_not_writable(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match=r"output_dir=.*/file/out cannot be written to: .*Not a directory"):
        storage.require_writable(str(tmp_path / "file" / "out"), key="output_dir")


def test_a_writable_folder_is_made_and_left_empty(tmp_path):
    storage.require_writable(str(tmp_path / "new" / "out"), key="output_dir")
    assert list((tmp_path / "new" / "out").iterdir()) == []


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "song.mp3")
    with pytest.raises(OSError, match=r"it is no regular file: .*song\.mp3"):
        storage.open_file(str(tmp_path / "song.mp3"))


def test_a_missing_file_is_reported_as_missing(tmp_path):
    with pytest.raises(FileNotFoundError):
        storage.open_file(str(tmp_path / "song.mp3"))


def test_no_other_module_uses_beams_file_systems():
    package = Path(beam_pipelines.__file__).parent
    users = [path for path in package.rglob("*.py") if "apache_beam.io" in path.read_text()]
    assert users == [package / "common" / "storage.py"]


PATTERNS = ("p [1]", "p [!1]", "what?", "all *", "**", "[a-z]", "back\\slash", "{a,b}", "~", "$HOME")


@pytest.mark.parametrize("name", PATTERNS)
def test_a_folder_named_like_a_pattern(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    for folder in (name, f"./{name}", str(tmp_path / name)):
        storage.require_writable(folder, key="output_dir")
        scratch, target = storage.join(folder, "scratch"), storage.join(folder, name)
        storage.write_text_atomically(target, "text", scratch_dir=scratch)
        storage.delete_folder(scratch)
        assert storage.read_text(target) == "text"
        assert storage.size_bytes(target) == 4
        assert [entry.path for entry in storage.list_files(folder)] == [target]
        storage.delete_folder(folder)
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("pattern", "matched"), [("b?.mp3", "b1.mp3"), ("b*.mp3", "b1.mp3"), ("b[1].mp3", "b1.mp3")])
def test_files_are_deleted_by_name(tmp_path, pattern, matched):
    for name in (pattern, matched):
        (tmp_path / name).write_text("x")
    storage.delete_files([str(tmp_path / pattern)])
    assert [path.name for path in tmp_path.iterdir()] == [matched]
    storage.delete_files([str(tmp_path / pattern)])
    assert [path.name for path in tmp_path.iterdir()] == [matched]


@pytest.mark.parametrize("folder", ["p [1]", "what?"])
def test_names_in_a_bucket_are_no_patterns(gcs_here, folder):
    names = [f"{folder}/b?.wav", f"{folder}/b1.wav", f"{folder}/b2.wav", "p 1/b1.wav", "whatx/b1.wav"]
    for name in names:
        gcs_here.write(name, b"a")
    storage.delete_files([f"{gcs_here.url}/{name}" for name in (*names[:2], f"{folder}/absent.wav")])
    assert sorted(gcs_here.contents()) == sorted(names[2:])


def test_only_links_are_deleted_of_links(tmp_path):
    (tmp_path / "music").mkdir()
    (tmp_path / "music" / "a.mp3").write_text("x")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "link").symlink_to(tmp_path / "music")
    storage.delete_folder(str(tmp_path / "out"))
    assert [path.name for path in tmp_path.rglob("*")] == ["music", "a.mp3"]


def test_a_listing_has_the_times_of_files(tmp_path):
    before_s = time.time() - 5
    (tmp_path / "a").write_text("x")
    [entry] = storage.list_files(str(tmp_path))
    assert before_s < entry.updated_s < time.time() + 5
