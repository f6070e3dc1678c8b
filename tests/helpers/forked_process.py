"""Processes that are forked from one that has imported TensorFlow once, which takes seconds of each new process.

They are for tests of what a process does after its start; tests of the start itself use `python_process`.
"""

import ctypes
import multiprocessing
import os
import sys
from collections.abc import Callable, Mapping
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(
    [
        "command_process",
        "tuner_processes",
        "trainer.crossval.crossval",
        "trainer.tuner.service.chief",
        "trainer.tuner.service.worker",
        "sklearn.gaussian_process",
        "uncollected_preload",
    ]
)


def start_forked(
    function: Callable[..., None], *arguments: Any, log: Path, environment: Mapping[str, str] | None = None
) -> ForkServerProcess:
    """Starts a process that calls a function of an importable module, and ends as `python` does.

    Args:
        function: The function.
        arguments: Its arguments, which are pickled.
        log: The file that the standard output and the standard error are appended to.
        environment: The variables of the process; None for those of this one.
    """
    variables = dict(os.environ if environment is None else environment)
    process = CONTEXT.Process(target=_main, args=(function, arguments, str(log), variables))
    process.start()
    return process


def log_to(path: str) -> None:
    """Appends the standard output and the standard error of this process to a file."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)


def _main(function: Callable[..., None], arguments: tuple[Any, ...], log: str, variables: dict[str, str]) -> None:
    log_to(log)
    os.environ.clear()
    os.environ.update(variables)
    code = 0
    try:
        function(*arguments)
    except SystemExit as end:
        code = int(end.code or 0)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        code = 1
    # multiprocessing would skip the finalization of Python and of the libraries, which may crash or wait for ever.
    ctypes.pythonapi.Py_Exit(code)
