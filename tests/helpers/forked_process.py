"""Processes that are forked from one that has imported TensorFlow and Beam, which takes seconds of each new process.

They are for tests of what a process does after its start; tests of the start itself use `python_process`.
"""

import ctypes
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Callable, Mapping
from multiprocessing import forkserver
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    [
        "command_process",
        "tuner_processes",
        "beam_pipelines.convert.pipeline",
        "beam_pipelines.prepare.pipeline",
        "configs.compose",
        "configs.override_file",
        "google.cloud.storage",
        "trainer.crossval.crossval",
        "trainer.evaluation.evaluate",
        "trainer.training.train",
        "trainer.tuner.service.chief",
        "trainer.tuner.service.worker",
        "sklearn.gaussian_process",
        "uncollected_preload",
    ]
)
_HELPERS = Path(__file__).resolve().parent
_REPOSITORY = _HELPERS.parents[1]


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
    process = forked_process(_main, function, arguments, str(log), variables)
    process.start()
    return process


def forked_process(function: Callable[..., None], *arguments: Any) -> ForkServerProcess:
    """Returns a process that will call a function of an importable module. The first call imports the libraries."""
    before = os.environ.get("PYTHONPATH")
    # The server ignores the path of this process, and what it cannot import.
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(_HELPERS), str(_REPOSITORY), before]))
    try:
        forkserver.ensure_running()
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before
    return _CONTEXT.Process(target=function, args=arguments)


def log_to(path: str) -> None:
    """Appends the standard output and the standard error of this process to a file."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)


def _main(function: Callable[..., None], arguments: tuple[Any, ...], log: str, variables: dict[str, str]) -> None:
    log_to(log)
    tempfile.tempdir = None  # by TMPDIR of the server
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
