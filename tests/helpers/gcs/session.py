"""Several commands in one process, which imports TensorFlow and Beam once: for tests that are not about processes."""

import contextlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

_HELPERS = Path(__file__).resolve().parents[1]


class CommandSession:
    """A process that runs commands of beamtune, one after the other; a context manager that ends it."""

    def __init__(self, environment: Mapping[str, str], *, cwd: Path) -> None:
        """Starts it.

        Args:
            environment: All its variables.
            cwd: Its working folder.
        """
        packages = f"{environment['PYTHONPATH']}{os.pathsep}{_HELPERS}"
        self._process = subprocess.Popen(
            [sys.executable, "-m", "gcs.session"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=cwd,
            env={**environment, "PYTHONPATH": packages},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()  # its end takes long: TensorFlow's threads are joined
        self._process.communicate()

    def run(self, words: Sequence[object]) -> "subprocess.CompletedProcess[str]":
        """Runs a command; returns its returncode, stdout and stderr, without what its libraries write past Python."""
        assert self._process.stdin is not None and self._process.stdout is not None
        print(json.dumps(list(map(str, words))), file=self._process.stdin, flush=True)
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"beamtune {words} ended the process: exit status {self._process.wait()}")
        return subprocess.CompletedProcess(words, *json.loads(line))


def _main() -> None:
    from configs.cli import main

    answers = os.fdopen(os.dup(1), "w")  # what commands write to the standard output does not get between the answers
    os.dup2(2, 1)
    for line in sys.stdin:
        with (
            contextlib.redirect_stdout(io.StringIO()) as stdout,
            contextlib.redirect_stderr(io.StringIO()) as stderr,
        ):
            code = main(json.loads(line))
        print(json.dumps([code, stdout.getvalue(), stderr.getvalue()]), file=answers, flush=True)


if __name__ == "__main__":
    _main()
