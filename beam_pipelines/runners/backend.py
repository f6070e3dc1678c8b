"""A Beam runner with its options."""

from typing import Any, NamedTuple

from apache_beam.options.pipeline_options import PipelineOptions


class Backend(NamedTuple):
    """The arguments of `beam.Pipeline`."""

    runner: Any
    options: PipelineOptions
