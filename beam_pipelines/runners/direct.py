"""Beam's runner on this machine."""

import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from apache_beam.options.pipeline_options import DirectOptions, PipelineOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.transforms.environments import SubprocessSDKEnvironment

from beam_pipelines.runners.backend import Backend
from beam_pipelines.runners.config import DirectRunnerConfig


@contextmanager
def open_direct(config: DirectRunnerConfig, *, job_name: str) -> Iterator[Backend]:
    """Yields the runner on this machine.

    `FnApiRunner` is named here because Beam's "DirectRunner" first tries to download another runner: a run on a machine
    with a network would differ from one without.
    """
    options = PipelineOptions(
        [],
        direct_num_workers=config.num_slots(),
        direct_running_mode=config.mode,
        job_name=job_name,
    )
    environment = None
    if config.mode == "multi_processing":
        # In this mode Beam would start workers with a command of its own, see `_worker_command`.
        options.view_as(DirectOptions).direct_running_mode = None
        environment = SubprocessSDKEnvironment.from_command_string(_worker_command())
    yield Backend(FnApiRunner(default_environment=environment), options)


def _worker_command() -> str:
    """Returns the shell command of a worker process, which imports from the same folders as this process.

    Beam's own command is `python -m …`, which puts the working folder first: a `configs/` or a `queue.py` there would
    be imported in place of the installed one.
    """
    path = [folder or os.getcwd() for folder in sys.path]
    script = (
        f"import sys; sys.path[:] = {path!r}; "
        "from apache_beam.runners.worker import sdk_worker_main; sdk_worker_main.main(sys.argv)"
    )
    return shlex.join([sys.executable, "-c", script])
