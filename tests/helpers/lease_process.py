"""Other commands that hold the lease of a directory, or were faster."""

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from python_script import script_command

from beam_pipelines.common import storage
from beam_pipelines.common.lease import LEASE_FILE
from beam_pipelines.common.lease_holder import Holder

_REPOSITORY = Path(__file__).resolve().parents[2]
_HOLD = """
import sys, time
from beam_pipelines.common.lease import holding
with holding(sys.argv[1], key="output_dir", name=sys.argv[2]):
    print("held", flush=True)
    time.sleep(600)
"""


@contextmanager
def another_command(directory: Path, *, name: str = LEASE_FILE) -> Iterator["subprocess.Popen[str]"]:
    """Runs another process that holds the lease, until the body ends or kills it."""
    process = subprocess.Popen(
        [*script_command(_HOLD), str(directory), name], stdout=subprocess.PIPE, text=True, cwd=_REPOSITORY
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def let_another_take_over(directory: Path, *, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets another command take the lease over as soon as a worker, a thread of this process, opens an audio file."""
    holder = Holder("another", "elsewhere", 7, started_s=0.0, heartbeat_s=time.time())
    real = storage.open_local

    def open_local(path: str) -> BinaryIO:
        (directory / LEASE_FILE).write_bytes(holder.to_json())
        return real(path)

    monkeypatch.setattr(storage, "open_local", open_local)


def let_another_be_faster(module: Any, work: Callable[[], None], *, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets another command work after the next one has looked at its directory and before that one has the lease.

    Args:
        module: The module that calls `holding`.
        work: What the other command does.
        monkeypatch: Undoes it.
    """
    real = module.holding

    def holding(*args: Any, **settings: Any) -> Any:
        monkeypatch.setattr(module, "holding", real)
        work()
        return real(*args, **settings)

    monkeypatch.setattr(module, "holding", holding)
