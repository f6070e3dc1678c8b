"""What Beam needs to run a pipeline somewhere."""

from typing import Any, NamedTuple

from apache_beam.options.pipeline_options import PipelineOptions


class Backend(NamedTuple):
    """A runner of Beam, and the options to run a pipeline with."""

    runner: Any
    options: PipelineOptions
