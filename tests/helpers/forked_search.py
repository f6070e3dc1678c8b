"""The chief and the workers of `beamtune tune` as forked processes: new ones would import TensorFlow each."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from multiprocessing import Pipe, forkserver
from multiprocessing.connection import Connection
from types import SimpleNamespace
from typing import Any, BinaryIO

from forked_process import start_forked

from configs import cli
from trainer.tuner import local

_ENTRY_POINT = "configs.cli:run"


def fork_roles() -> None:
    """Makes the search of this process, which is itself a forked one, fork its chief and its workers."""
    # In Python 3.11 a process does not know that its parent's server serves it too, and would start one of its own.
    forkserver.ensure_running = forkserver._forkserver.ensure_running = lambda: None
    local.subprocess = SimpleNamespace(Popen=_ForkedRole, PIPE=subprocess.PIPE, STDOUT=subprocess.STDOUT)


def role_name(role: str, words: Sequence[str]) -> str:
    """Returns a name for the process of a role, which `/proc` shows among its files."""
    [search_dir] = [word for word in words if word.startswith("search_dir=")]
    return f"{role} {search_dir}"


class _ForkedRole:
    """What `local` uses of `subprocess.Popen`."""

    def __init__(self, command: Sequence[str], *, stdout: BinaryIO, env: Mapping[str, str], **_: Any) -> None:
        words = command[command.index(_ENTRY_POINT) + 1 :]
        reader, self._writer = Pipe(duplex=False)
        self._process = start_forked(_run_role, reader, *words, log=stdout.name, environment=env)
        reader.close()

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self) -> int | None:
        self._process.join()
        return self._process.exitcode

    def terminate(self) -> None:
        self._process.terminate()

    def kill(self) -> None:
        self._process.kill()


def _run_role(stdin: Connection, *words: str) -> None:
    os.setsid()
    os.dup2(stdin.fileno(), 0)
    os.memfd_create(role_name(os.environ[local.LOCAL_ROLE_VARIABLE], words))  # open until the process ends
    sys.argv = ["beamtune", *words]
    cli.run()
