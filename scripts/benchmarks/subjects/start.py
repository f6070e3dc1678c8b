"""Runs a command of beamtune, and writes its seconds and the libraries that it has imported as JSON.

python scripts/benchmarks/subjects/start.py RESULT.json WORD…

`train` ends after its first step, and `tensorboard` when it listens.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from beam_pipelines.common.while_importing import while_importing
from configs import cli

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
        end_after(*LAST_CALLS[words[0]], finish)
    sys.argv[1:] = words
    try:
        cli.run()
    except SystemExit as end:
        finish(int(end.code or 0))


def end_after(module_name: str, class_name: str, name: str, finish: Callable[[int], NoReturn]) -> None:
    """Ends the process after the first call of a function, whose module is imported when the command imports it."""

    @contextmanager
    def with_end() -> Iterator[None]:
        yield
        owner = sys.modules[module_name]
        owner = getattr(owner, class_name) if class_name else owner
        real = getattr(owner, name)

        def call(*arguments: Any, **options: Any) -> NoReturn:
            real(*arguments, **options)
            finish(0)

        setattr(owner, name, call)

    while_importing(module_name, with_end)


if __name__ == "__main__":
    main()
