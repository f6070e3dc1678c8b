"""Replacing a file by a changed copy: the old one or the new one at any time, and one line for what cannot be done."""

import errno
import fcntl
import io
import os
import resource
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import raw_tags
from tinytag import TinyTag

from beam_pipelines.audio.decode import AudioError
from trainer.tag import replace_genres as module
from trainer.tag.audio_hash import audio_hash
from trainer.tag.formats import read_tags, write_genres
from trainer.tag.replace_genres import check_replaceable, file_state, replace_genres


def replace(path: Path, *genres: str, before_change: Callable[[str], None] = lambda _: None) -> None:
    replace_genres(str(path), genres, state=file_state(path.stat()), before_change=before_change)


@contextmanager
def unchanged(path: Path) -> Iterator[None]:
    """Checks that nothing in the folder of a file is another after the body."""

    def snapshot() -> dict[str, tuple[bytes, int, int]]:
        entries = {one.name: (one.read_bytes(), one.stat()) for one in path.parent.iterdir()}
        return {name: (data, status.st_ino, status.st_mtime_ns) for name, (data, status) in entries.items()}

    before = snapshot()
    yield
    assert snapshot() == before


def test_the_copy_takes_the_place_of_the_file(song: Path) -> None:
    song.chmod(0o640)
    os.setxattr(song, "user.rating", b"5")
    os.utime(song, ns=(1, 1))
    inode, behind = song.stat().st_ino, raw_tags.behind_id3(song.read_bytes())
    with song.open("rb") as file:
        expected = audio_hash(file)
    seen = []

    def before_change(audio: str) -> None:
        seen.append((audio, TinyTag.get(song).genre, len(list(song.parent.iterdir()))))

    replace(song, "techno", before_change=before_change)
    assert seen == [(expected, "Rock", 2)]  # all is ready, and the file is the old one
    assert TinyTag.get(song).genre == "techno"
    assert raw_tags.behind_id3(song.read_bytes()) == behind
    status = song.stat()
    assert status.st_ino != inode
    assert stat.S_IMODE(status.st_mode) == 0o640
    assert os.getxattr(song, "user.rating") == b"5"
    assert status.st_mtime_ns > 1
    assert os.listdir(song.parent) == ["song.mp3"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files to others")
def test_the_owner_stays(song: Path) -> None:
    os.chown(song, 65_534, 65_534)
    replace(song, "techno")
    assert (song.stat().st_uid, song.stat().st_gid) == (65_534, 65_534)


def test_a_read_only_file_is_refused(song: Path) -> None:
    song.chmod(0o444)
    with unchanged(song), pytest.raises(AudioError, match="it is read-only: chmod u"):
        replace(song, "techno")


def test_a_file_that_only_its_owner_may_write_is_refused(song: Path, as_nobody: Callable[..., None]) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs a second user")
    song.chmod(0o644)

    def check() -> None:
        with pytest.raises(AudioError, match="it is read-only"):
            replace(song, "techno")

    with unchanged(song):
        as_nobody(check)


def test_a_folder_that_may_not_be_written_to_is_an_error(song: Path, as_nobody: Callable[..., None]) -> None:
    song.chmod(0o666)
    song.parent.chmod(0o555)

    def check() -> None:
        for call in (lambda: check_replaceable(str(song)), lambda: replace(song, "techno")):
            with pytest.raises(AudioError, match="its folder cannot be written to: Permission denied"):
                call()

    with unchanged(song):
        as_nobody(check)
    song.parent.chmod(0o755)


def test_a_file_system_that_takes_no_new_file_is_an_error(song: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str, flags: int, mode: int = 0o777) -> int:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(module.os, "open", fail)
    with pytest.raises(AudioError, match="its folder cannot be written to: Read-only file system"):
        replace(song, "techno")
    assert TinyTag.get(song).genre == "Rock"


def test_a_file_with_several_names_is_refused(song: Path) -> None:
    os.link(song, song.with_name("other.mp3"))
    with unchanged(song), pytest.raises(AudioError, match=r"it has 2 names \(hard links\)"):
        replace(song, "techno")
    with pytest.raises(AudioError, match="hard links"):
        check_replaceable(str(song))


def test_a_full_disk_leaves_the_file(song: Path) -> None:
    """No file may be larger than the half of this one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        with unchanged(song):
            resource.setrlimit(resource.RLIMIT_FSIZE, (song.stat().st_size // 2, hard))
            try:
                with pytest.raises(OSError, match="File too large"):
                    replace(song, "techno")
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    finally:
        signal.signal(signal.SIGXFSZ, handler)


def test_a_disk_that_is_full_when_the_tag_grows_leaves_the_file(song: Path) -> None:
    """The copy of the file fits, and its longer tag does not."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        with unchanged(song):
            resource.setrlimit(resource.RLIMIT_FSIZE, (song.stat().st_size + 10, hard))
            try:
                with pytest.raises((AudioError, OSError), match="File too large"):
                    replace(song, "a genre with a long name " * 20)
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    finally:
        signal.signal(signal.SIGXFSZ, handler)


def test_an_error_at_the_last_moment_leaves_the_file(song: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(source: str, target: str) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(module.os, "replace", fail)
    with unchanged(song), pytest.raises(OSError, match="Read-only file system"):
        replace(song, "techno")


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_what_ends_the_work_before_the_change_leaves_the_file(song: Path, error: type[BaseException]) -> None:
    def before_change(audio: str) -> None:
        raise error

    with unchanged(song), pytest.raises(error):
        replace(song, "techno", before_change=before_change)


@pytest.mark.parametrize("what", ["written", "replaced", "touched"])
def test_a_file_that_was_changed_since_it_was_predicted_is_left(song: Path, what: str) -> None:
    state = file_state(song.stat())
    data = song.read_bytes()
    if what == "replaced":
        song.rename(song.with_name("old.mp3"))
        song.write_bytes(data)
    elif what == "written":
        song.write_bytes(data + bytes(100))
    else:
        os.utime(song, ns=(1, 1))
    with unchanged(song), pytest.raises(AudioError, match="it was changed meanwhile: run the command again"):
        replace_genres(str(song), ["techno"], state=state, before_change=lambda _: None)


def test_a_file_that_is_changed_at_the_last_moment_is_left(song: Path) -> None:
    data = song.read_bytes()
    with pytest.raises(AudioError, match="it was changed meanwhile"):
        replace(song, "techno", before_change=lambda _: song.write_bytes(data + b"edited") and None)
    assert song.read_bytes() == data + b"edited"
    assert os.listdir(song.parent) == ["song.mp3"]


def test_a_file_that_another_process_changes_is_left(song: Path) -> None:
    with song.open("rb") as file:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX)
        with unchanged(song), pytest.raises(AudioError, match="another process changes it"):
            replace(song, "techno")
    replace(song, "techno")


def test_of_two_at_once_one_writes_and_the_other_says_so(song: Path) -> None:
    state = file_state(song.stat())
    is_ready, go = threading.Event(), threading.Event()

    def before_change(audio: str) -> None:
        is_ready.set()
        go.wait(60)

    first = threading.Thread(
        target=lambda: replace_genres(str(song), ["techno"], state=state, before_change=before_change)
    )
    first.start()
    assert is_ready.wait(60)
    with pytest.raises(AudioError, match="another process changes it"):
        replace_genres(str(song), ["waltz"], state=state, before_change=lambda _: None)
    go.set()
    first.join(60)
    with pytest.raises(AudioError, match="it was changed meanwhile"):
        replace_genres(str(song), ["waltz"], state=state, before_change=lambda _: None)
    assert TinyTag.get(song).genre == "techno"
    assert os.listdir(song.parent) == ["song.mp3"]


@pytest.mark.parametrize(
    ("genres", "data", "message"),
    [
        (["techno"], lambda data: data[:-5000] + bytes(5000), "writing the genre would change the audio"),
        (["techno"], lambda data: data.replace(b"Title", b"Other"), "writing the genre would change other tags"),
        (["(17)"], lambda data: data, r"its tags read Rock after \(17\) was written"),
    ],
    ids=["audio", "tags", "genre"],
)
def test_a_copy_with_another_difference_than_the_genre_is_thrown_away(
    song: Path,
    monkeypatch: pytest.MonkeyPatch,
    genres: Sequence[str],
    data: Callable[[bytes], bytes],
    message: str,
) -> None:
    def write_wrongly(file: object, genres: Sequence[str]) -> None:
        write_genres(file, genres)
        file.seek(0)
        changed = data(file.read())
        file.seek(0)
        file.write(changed)
        file.truncate()

    monkeypatch.setattr(module, "write_genres", write_wrongly)
    with unchanged(song), pytest.raises(AudioError, match=message):
        replace(song, *genres)


def test_what_cannot_be_decoded_is_left(tmp_path: Path, mp3_bytes: bytes) -> None:
    path = tmp_path / "song.mp3"
    path.write_bytes(mp3_bytes[:3] + bytes(len(mp3_bytes)))
    with unchanged(path), pytest.raises(AudioError):
        replace(path, "techno")


@pytest.mark.parametrize("name", ["mp3", "wav", "aiff", "flac", "ogg", "opus", "oga", "m4a"])
def test_damaged_files_are_left_or_keep_all_but_their_genre(
    untagged: dict[str, bytes], tmp_path: Path, name: str
) -> None:
    """A few bytes are others, of the beginning, where most tags are, or of all; or the end is missing."""
    path = tmp_path / "song"
    path.write_bytes(untagged[name])
    replace(path, "waltz")
    whole = path.read_bytes()
    rng = np.random.default_rng(len(whole))
    num_written = 0
    for _ in range(25):
        damaged = bytearray(whole)
        for _ in range(rng.integers(1, 4)):
            damaged[rng.integers(rng.choice([400, len(damaged)]))] = rng.integers(256)
        if rng.random() < 0.3:
            del damaged[rng.integers(len(damaged)) :]
        path.write_bytes(damaged)
        try:
            replace(path, "techno")
        except AudioError as error:
            assert error.message and "\n" not in error.message
            assert path.read_bytes() == damaged
            continue
        num_written += 1
        with path.open("rb") as file:
            assert read_tags(file).genres == ("techno",)
            assert audio_hash(file) == audio_hash(io.BytesIO(damaged))
        assert os.listdir(tmp_path) == ["song"]
    assert num_written > 0


@pytest.mark.slow
@pytest.mark.parametrize("delay_s", [0.0, 0.01, 0.05])
def test_a_killed_process_leaves_a_whole_file(song: Path, delay_s: float) -> None:
    """The process changes the genre again and again until it is killed."""
    script = (
        "import os, sys, itertools\n"
        "from trainer.tag.replace_genres import file_state, replace_genres\n"
        "print('ready', flush=True)\n"
        "for number in itertools.count():\n"
        "    state = file_state(os.stat(sys.argv[1]))\n"
        "    replace_genres(sys.argv[1], [f'genre {number}'], state=state, before_change=lambda _: None)\n"
    )
    behind = raw_tags.behind_id3(song.read_bytes())
    process = subprocess.Popen([sys.executable, "-c", script, str(song)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    threading.Event().wait(delay_s)
    process.kill()
    process.wait(60)
    process.stdout.close()
    data = song.read_bytes()
    assert raw_tags.behind_id3(data) == behind
    assert [frame[:4] for frame in raw_tags.id3_frames(data)] in ([b"TIT2", b"TCON"], [b"TCON", b"TIT2"])
    # At most the copy that it was writing, which no search for music finds.
    assert all(name == "song.mp3" or (name[0] == "." and name.endswith(".tmp")) for name in os.listdir(song.parent))
    replace(song, "techno")
    assert TinyTag.get(song).genre == "techno"
