"""Commands that save nothing, or after each file: SIGTERM ends them and the processes that they have started."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
import soundfile

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).resolve().parents[2]
WAIT_S = 600  # only ends a test that hangs
KEPT = "what is finished is kept: the same command resumes"


@contextmanager
def command(words: Sequence[str], log: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """Starts a command in a process group of its own, which is killed at the end."""
    with log.open("wb") as sink:
        process = subprocess.Popen(
            [sys.executable, "-m", "configs.cli", *words],
            stdout=subprocess.PIPE,
            stderr=sink,
            cwd=REPOSITORY,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        if has_processes(process.pid):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def has_processes(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def wait_until(condition: Callable[[], bool], log: Path) -> None:
    deadline_s = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline_s, log.read_text()
        time.sleep(0.02)


def test_no_worker_of_synthesize_is_left(tmp_path: Path) -> None:
    root, log = tmp_path / "music", tmp_path / "log.txt"
    words = ["synthesize", f"dataset.root={root}", "dataset.artists_per_genre=200", "num_workers=2"]
    with command(words, log) as process:
        wait_until(lambda: any(root.rglob("*.mp3")) or process.poll() is not None, log)
        process.send_signal(signal.SIGTERM)
        assert process.wait(WAIT_S) == 75
        wait_until(lambda: not has_processes(process.pid), log)  # the last ones could still print
        assert log.read_text().splitlines()[-1] == f"beamtune synthesize: stopped by SIGTERM; {KEPT}"


@pytest.mark.parametrize("mode", ["multi_threading", "multi_processing"])
def test_no_worker_of_convert_is_left(write_audio: Callable[..., Path], tmp_path: Path, mode: str) -> None:
    for index in range(40):
        write_audio(tmp_path / "music" / f"{index}.wav", frequency_hz=200.0 + index, duration_s=60.0)
    output, log = tmp_path / "converted", tmp_path / "log.txt"
    words = ["convert", f"source={tmp_path / 'music'}", f"output_dir={output}", f"runner.mode={mode}"]
    with command([*words, "format=flac", "runner.num_workers=2"], log) as process:
        wait_until(lambda: any(output.rglob("*.flac")) or process.poll() is not None, log)
        process.send_signal(signal.SIGTERM)
        assert process.wait(WAIT_S) == 75
        wait_until(lambda: not has_processes(process.pid), log)  # the last ones could still print
        assert log.read_text().splitlines()[-1] == f"beamtune convert: stopped by SIGTERM; {KEPT}"
    for path in output.rglob("*.flac"):
        assert soundfile.info(path).duration == pytest.approx(60.0, abs=0.01)
