"""Any runner of Beam by its name, with the options that the user gives."""

from collections.abc import Iterator
from contextlib import contextmanager

from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.runner import create_runner

from beam_pipelines.common.errors import UserError
from beam_pipelines.runners.backend import Backend
from beam_pipelines.runners.config import PortableRunnerConfig


@contextmanager
def open_portable(config: PortableRunnerConfig, *, job_name: str) -> Iterator[Backend]:
    """Yields the runner of a name.

    Raises:
        UserError: No runner has that name.
    """
    try:
        runner = create_runner(config.name)
    except (ValueError, ImportError, AttributeError) as error:
        raise UserError(f"runner.name={config.name}: there is no such runner ({error})") from error
    yield Backend(runner, PipelineOptions(config.options, job_name=job_name))
