"""Beam's runner on this machine."""

from collections.abc import Iterator
from contextlib import contextmanager

from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from beam_pipelines.runners.backend import Backend
from beam_pipelines.runners.config import DirectRunnerConfig


@contextmanager
def open_direct(config: DirectRunnerConfig, *, job_name: str) -> Iterator[Backend]:
    """Gives the runner on this machine.

    It is named outright: what Beam calls DirectRunner first tries to download another one, so that a run on a machine
    with a network is not the same as one without.
    """
    options = PipelineOptions(
        [],
        direct_num_workers=config.num_slots(),
        direct_running_mode=config.mode,
        job_name=job_name,
    )
    yield Backend(FnApiRunner(), options)
