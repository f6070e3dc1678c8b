"""`beamtune sync` as a process on the emulator: killed and interrupted; and prepare on what it copied."""

import os
import re
import signal
from pathlib import Path

import numpy as np
import pytest
import soundfile
from gcs.faults import Faults
from gcs.fixture import Gcs

pytestmark = pytest.mark.slow

MIB = 1 << 20


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Returns a folder with 40 files, one of which takes a request of its own for its parts."""
    folder = tmp_path / "tree"
    for number in range(39):
        path = folder / f"{number % 4}" / f"{number}.mp3"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(20_000))
    (folder / "long.wav").write_bytes(os.urandom(10 * MIB))
    return folder


def copied(gcs: Gcs) -> dict[str, bytes]:
    return {name: content for name, content in gcs.contents().items() if name != ".beamtune-lease"}


@pytest.mark.parametrize("after", [3, 25])
def test_an_upload_that_was_killed_is_continued(gcs: Gcs, tree: Path, after: int) -> None:
    gcs.set_faults(Faults(kinds=("insert",), skip=after, hold="before"))
    process = gcs.start(["sync", tree, gcs.url, "num_workers=2"])
    gcs.wait_until_held()
    process.kill()
    process.communicate()
    done = copied(gcs)
    assert len(done) < 40
    assert all((tree / name).read_bytes() == content for name, content in done.items())
    gcs.set_faults(Faults())
    _take_the_lease_over(gcs)
    gcs.clear_requests()
    ended = gcs.run(["sync", tree, gcs.url])
    assert ended.returncode == 0, ended.stderr
    found = re.match(r"(\d+) files? uploaded .*, (\d+) unchanged: ", ended.stdout)
    assert found is not None
    num_new, num_kept = int(found[1]), int(found[2])
    assert num_new + num_kept == 40
    assert len(done) <= num_kept <= len(done) + 2  # requests of the killed process may have been on their way
    assert copied(gcs) == files_of(tree)
    written = [
        record for record in gcs.requests() if record.kind == "insert" and record.name.endswith((".mp3", ".wav"))
    ]
    assert num_new <= len(written) <= num_new + 2  # with those of the killed process


def test_a_download_that_was_killed_is_continued(gcs: Gcs, tree: Path, tmp_path: Path) -> None:
    gcs.upload(tree)
    gcs.set_faults(Faults(kinds=("get",), skip=12, hold="before"))
    process = gcs.start(["sync", gcs.url, tmp_path / "x", "num_workers=2"])
    gcs.wait_until_held()
    process.kill()
    process.communicate()
    done = [name for name in files_of(tmp_path / "x") if not name.rpartition("/")[2].startswith(".")]
    assert 0 < len(done) < 40
    gcs.set_faults(Faults())
    gcs.clear_requests()
    ended = gcs.run(["sync", gcs.url, tmp_path / "x"])
    assert ended.returncode == 0, ended.stderr
    assert f", {len(done)} unchanged: {tmp_path}/x\n" in ended.stdout
    assert files_of(tmp_path / "x") == files_of(tree)  # and no temporary file


@pytest.mark.parametrize(
    ("number", "exit_code", "line"),
    [(signal.SIGTERM, 75, "stopped by SIGTERM"), (signal.SIGINT, 130, "stopped by Ctrl-C")],
)
def test_a_signal_ends_it_soon_and_the_same_command_resumes(
    gcs: Gcs, tree: Path, number: int, exit_code: int, line: str
) -> None:
    gcs.set_faults(Faults(kinds=("insert",), name_pattern=r"\.mp3", hold="before"))
    process = gcs.start(["sync", tree, gcs.url, "num_workers=2"])
    gcs.wait_until_held()
    process.send_signal(number)
    _, error = process.communicate(timeout=120)
    assert process.returncode == exit_code, error
    assert error.endswith(f"beamtune sync: {line}; what is finished is kept: the same command resumes\n")
    gcs.set_faults(Faults())
    ended = gcs.run(["sync", tree, gcs.url])  # at once: the lease is given back
    assert ended.returncode == 0, ended.stderr
    assert gcs.contents() == files_of(tree)


def test_a_destination_in_a_bucket_that_another_command_holds_is_refused(gcs: Gcs, tree: Path) -> None:
    gcs.set_faults(Faults(kinds=("insert",), name_pattern=r"long\.wav", hold="before"))
    first = gcs.start(["sync", tree, gcs.url])
    gcs.wait_until_held()
    second = gcs.run(["sync", tree, gcs.url])
    assert second.returncode == 2
    assert (
        f"beamtune sync: destination={gcs.url} is in use by another command: process {first.pid} on " in second.stderr
    )
    gcs.set_faults(Faults())
    _, error = first.communicate(timeout=120)
    assert first.returncode == 0, error
    assert gcs.contents() == files_of(tree)


def test_prepare_reads_from_a_bucket_what_was_copied_to_it(gcs: Gcs, tmp_path: Path) -> None:
    music = tmp_path / "music"
    for genre, frequency_hz in (("rock", 220.0), ("jazz", 440.0)):
        for number in range(3):
            path = music / genre / f"{number}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            times = np.arange(2 * 16_000) / 16_000
            soundfile.write(path, 0.5 * np.sin(2 * np.pi * (frequency_hz + number) * times), 16_000)
    assert gcs.run(["sync", music, f"{gcs.url}/music"]).returncode == 0
    settings = ["dataset=folder", "segment.duration_s=1", "shards.min_shards=1", "split=random"]
    for root, output in ((music, "local"), (f"{gcs.url}/music", "remote")):
        ended = gcs.run(["prepare", *settings, f"dataset.root={root}", f"output_dir={tmp_path / output}"])
        assert ended.returncode == 0, ended.stderr
    local, remote = (
        {name: content for name, content in files_of(tmp_path / output).items() if ".tfrecord-" in name}
        for output in ("local", "remote")
    )
    assert local == remote and len(local) > 0
    assert gcs.run(["sync", tmp_path / "local", f"{gcs.url}/prepared"]).returncode == 0
    assert gcs.contents("prepared") == files_of(tmp_path / "local")


def _take_the_lease_over(gcs: Gcs) -> None:
    """Deletes the lease of a killed command, which is free only after a minute without a heartbeat."""
    if ".beamtune-lease" in gcs.contents():
        gcs.delete(".beamtune-lease")
