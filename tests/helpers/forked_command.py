"""Commands of beamtune in forked processes, with what tests use of the interface of `subprocess.Popen`."""

import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from command_process import run_command_apart
from forked_process import start_forked


class ForkedCommand:
    """A running command; a context manager that waits for its end.

    Attributes:
        args: The words after `beamtune`.
        pid: The id of its process.
    """

    def __init__(
        self, words: Sequence[object], *, cwd: Path | None = None, environment: Mapping[str, str] | None = None
    ) -> None:
        """Starts it.

        Args:
            words: The words after `beamtune`.
            cwd: Its working folder; None for that of this process.
            environment: All its variables; None for those of this process.
        """
        self.args = list(map(str, words))
        self._folder = tempfile.TemporaryDirectory(prefix="forked-command-")
        self._outputs = [Path(self._folder.name) / name for name in ("stdout", "stderr")]
        stdout, stderr = self._outputs
        self._process = start_forked(
            run_command_apart, str(stderr), str(cwd or Path.cwd()), *self.args, log=stdout, environment=environment
        )
        assert self._process.pid is not None
        self.pid = self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.join()

    @property
    def returncode(self) -> int | None:
        """The exit code, or minus the number of the signal that ended it; None while it runs."""
        return self._process.exitcode

    def stderr_so_far(self) -> str:
        """Returns what it has written to the standard error."""
        path = self._outputs[1]
        return path.read_text() if path.exists() else ""

    def poll(self) -> int | None:
        """Returns `returncode`."""
        return self._process.exitcode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Waits for its end; returns what it wrote to the standard output and to the standard error.

        Raises:
            subprocess.TimeoutExpired: It has not ended after `timeout` seconds.
        """
        self._process.join(timeout)
        if self._process.exitcode is None:
            assert timeout is not None
            raise subprocess.TimeoutExpired(self.args, timeout)
        out, err = (path.read_text() if path.exists() else "" for path in self._outputs)
        return out, err

    def send_signal(self, number: int) -> None:
        """Sends a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Ends it at once."""
        self._process.kill()


def run_forked(
    words: Sequence[object],
    *,
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
    timeout_s: float = 600.0,
) -> "subprocess.CompletedProcess[str]":
    """Runs a command to its end, with the arguments of ForkedCommand; returns its returncode, stdout and stderr."""
    process = ForkedCommand(words, cwd=cwd, environment=environment)
    try:
        stdout, stderr = process.communicate(timeout_s)
    except BaseException:
        process.kill()
        raise
    assert process.returncode is not None
    return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)
