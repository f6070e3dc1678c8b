"""Running a pipeline where the configuration says."""

import os
from collections.abc import Callable

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from beam_pipelines.config import RunnerConfig
from beam_pipelines.errors import RunFailedError


def run_pipeline(build: Callable[[beam.Pipeline], object], config: RunnerConfig, *, job_name: str) -> None:
    """Builds a pipeline and runs it to its end.

    The runner is named outright: what Beam calls DirectRunner first tries to download another one, so that a run on a
    machine with a network is not the same as one without.

    Args:
        build: Adds the steps.
        config: Where to run.
        job_name: What a service that runs pipelines calls it, e.g. "beamtune-prepare".

    Raises:
        RunFailedError: A step failed.
    """
    options = PipelineOptions(
        [],
        direct_num_workers=num_workers(config),
        direct_running_mode=config.mode,
        job_name=job_name,
    )
    try:
        with beam.Pipeline(runner=FnApiRunner(), options=options) as pipeline:
            build(pipeline)
    except RuntimeError as error:  # with the traceback of the worker as its message, in which the last line says why
        [*_, why] = str(error).strip().splitlines() or [type(error).__name__]
        raise RunFailedError(f"a step of the pipeline failed: {why}") from error


def num_workers(config: RunnerConfig) -> int:
    """Returns how many shards are built, or files converted, at the same time."""
    if config.num_workers is not None:
        return config.num_workers
    return os.cpu_count() or 1
