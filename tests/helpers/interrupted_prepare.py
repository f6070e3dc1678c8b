"""Ctrl-C in a run of `beamtune prepare` that builds shards."""

import signal
import subprocess
import time
from pathlib import Path


def interrupt_prepare(process: "subprocess.Popen[bytes]", output_dir: Path) -> None:
    """Interrupts a run when it has written progress, and checks its exit status and its last line."""
    deadline_s = time.monotonic() + 600
    progress = output_dir / ".build" / "progress"
    while not (progress.is_dir() and list(progress.iterdir())):
        assert process.poll() is None, "the run ended before it could be interrupted"
        assert time.monotonic() < deadline_s
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=600)
    assert process.returncode == 130
    expected = "beamtune prepare: stopped by Ctrl-C; what is finished is kept: the same command resumes"
    assert stderr.decode().splitlines()[-1] == expected
