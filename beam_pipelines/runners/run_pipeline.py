"""Running a pipeline on the runner that the settings name."""

import importlib
import os
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import apache_beam as beam

from beam_pipelines.common.bucket_errors import translate
from beam_pipelines.common.errors import RunFailedError, UserError
from beam_pipelines.runners.backend import Backend
from beam_pipelines.runners.config import (
    DaskRunnerConfig,
    DirectRunnerConfig,
    PortableRunnerConfig,
    RunnerConfig,
)
from beam_pipelines.runners.dataflow_config import DataflowRunnerConfig
from beam_pipelines.runners.direct import open_direct
from beam_pipelines.runners.live_counters import LiveCounters
from beam_pipelines.runners.portable import open_portable


def run_pipeline(
    build: Callable[[beam.Pipeline], object],
    config: RunnerConfig,
    *,
    job_name: str,
    counters: LiveCounters | None = None,
) -> None:
    """Builds a pipeline and runs it until it has finished.

    Args:
        build: Adds the steps.
        config: Where to run.
        job_name: The name of the job on a service such as Dataflow, e.g. "beamtune-prepare".
        counters: Follows the counters of the pipeline, if the runner reports them while it runs.

    Raises:
        UserError: The runner is not installed, cannot be reached or refuses its options.
        RunFailedError: A step failed.
        RunAgainError: A bucket cannot be reached.
    """
    with _safe_path_for_child_processes(), _open(config, job_name=job_name) as backend:
        try:
            pipeline = beam.Pipeline(runner=backend.runner, options=backend.options)
        except ValueError as error:  # of several lines, if options are wrong
            raise UserError(f"the runner refuses its options: {' '.join(str(error).split())}") from error
        if counters is not None and (metrics_of := backend.metrics_of) is not None:
            counters.follow(lambda: metrics_of(pipeline.result) if hasattr(pipeline, "result") else None)
        try:
            with pipeline:
                build(pipeline)
        except KeyboardInterrupt:
            # A service would continue the job, and charge for it.
            if (result := getattr(pipeline, "result", None)) is not None:
                result.cancel()
            raise
        except Exception as error:  # each runner raises another type for a failed step
            if (translated := translate(error)) is not None:
                raise translated from error
            raise RunFailedError(f"a step of the pipeline failed: {_last_line(error)}") from error


@contextmanager
def _safe_path_for_child_processes() -> Iterator[None]:
    """Keeps the working folder off the import path of the Python processes that a runner starts.

    Otherwise Dask's workers import some modules of the standard library, such as `socket`, from the working folder if
    it has files of these names, before they get the import path of this process.
    """
    name = "PYTHONSAFEPATH"
    value = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        if value is None:
            del os.environ[name]
        else:
            os.environ[name] = value


def _open(config: RunnerConfig, *, job_name: str) -> AbstractContextManager[Backend]:
    """Returns a context manager that yields the runner."""
    if isinstance(config, DirectRunnerConfig):
        return open_direct(config, job_name=job_name)
    if isinstance(config, PortableRunnerConfig):
        return open_portable(config, job_name=job_name)
    # These imports need an extra and take seconds.
    if isinstance(config, DaskRunnerConfig):
        _require("distributed", runner="dask", extra="dask")
        from beam_pipelines.runners.dask_cluster import open_dask

        return open_dask(config)
    if isinstance(config, DataflowRunnerConfig):
        module = "apache_beam.runners.dataflow.internal.apiclient"
        _require(module, runner="dataflow", extra="gcp", package="apache-beam[gcp]")
        from beam_pipelines.runners.dataflow import open_dataflow

        return open_dataflow(config, job_name=job_name)
    raise TypeError(type(config).__name__)


def _require(module: str, *, runner: str, extra: str, package: str | None = None) -> None:
    """Imports the module that a runner needs.

    Args:
        module: The module.
        runner: The runner, for the message.
        extra: The extra that installs the module.
        package: What the message says is missing; None is the package that cannot be imported.

    Raises:
        UserError: It is not installed; the message names the extra that installs it.
    """
    try:
        importlib.import_module(module)
    except ImportError as error:
        package = package or (error.name or module).partition(".")[0]
        raise UserError(
            f"runner={runner} needs {package}, which is not installed: pip install 'beamtune[{extra}]'"
        ) from error


def _last_line(error: Exception) -> str:
    """Returns the last line of an error: its message may be the traceback of a worker, which ends with the reason."""
    return "".join(traceback.format_exception_only(error)).strip().splitlines()[-1].strip()
