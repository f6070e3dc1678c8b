"""Runs a command of beamtune, and writes its seconds and the libraries that it has imported as JSON.

python scripts/benchmarks/subjects/start.py RESULT.json WORD…

`train` ends after its first step, and `tensorboard` when it listens.
"""

import dataclasses
import json
import os
import sys
import time
from collections.abc import Callable
from importlib import import_module
from typing import Any, NoReturn

from configs import cli
from configs.command import Invocation
from configs.commands import COMMANDS

HEAVY = (
    *("apache_beam", "google.auth", "grpc", "h5py", "jinja2", "keras", "keras_tuner", "librosa", "matplotlib", "numba"),
    *("pandas", "pyarrow", "scipy.signal", "scipy.stats", "sklearn", "tensorboard", "tensorflow", "tensorflow_io"),
)
# The function after whose first call a command ends: its module, its class if any, its name.
LAST_CALLS = {
    "train": ("trainer.training.loop", "TrainLoop", "run_steps"),
    "tensorboard": ("trainer.board.tensorboard_server", "", "start"),
}


def main() -> None:
    """Runs the command; its output is that of the command."""
    result_path, *words = sys.argv[1:]
    started_s = time.perf_counter()

    def finish(exit_code: int) -> NoReturn:
        result = {
            "exit_code": exit_code,
            "wall_s": time.perf_counter() - started_s,
            # Of all threads, and from the start of Python.
            "cpu_s": time.process_time(),
            "heavy": [name for name in HEAVY if name in sys.modules],
        }
        with open(result_path, "w", encoding="utf-8") as sink:
            json.dump(result, sink)
        sys.stdout.flush()
        os._exit(exit_code)

    if words and words[0] in LAST_CALLS:
        command = COMMANDS[words[0]]
        run = ending_after(LAST_CALLS[words[0]], command.run, finish)
        COMMANDS[words[0]] = dataclasses.replace(command, run=run)
    sys.argv[1:] = words
    try:
        cli.run()
    except SystemExit as end:
        finish(int(end.code or 0))


def ending_after(
    last_call: tuple[str, str, str], run: Callable[[Invocation], int], finish: Callable[[int], NoReturn]
) -> Callable[[Invocation], int]:
    """Returns `run`, which ends the process after the first call of a function that it imports itself."""
    module_name, class_name, name = last_call

    def run_until(invocation: Invocation) -> int:
        owner = import_module(module_name)
        owner = getattr(owner, class_name) if class_name else owner
        real = getattr(owner, name)

        def call(*arguments: Any, **options: Any) -> NoReturn:
            real(*arguments, **options)
            finish(0)

        setattr(owner, name, call)
        return run(invocation)

    return run_until


if __name__ == "__main__":
    main()
