"""A Beam runner with its options."""

from collections.abc import Callable
from typing import Any, NamedTuple

from apache_beam.metrics.metric import MetricResults
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.runner import PipelineResult


class Backend(NamedTuple):
    """A runner.

    Attributes:
        runner: An argument of `beam.Pipeline`, as is the next.
        options: The options.
        metrics_of: Returns the metrics of a running pipeline; None if the runner does not report them while it runs.
    """

    runner: Any
    options: PipelineOptions
    metrics_of: Callable[[PipelineResult], MetricResults] | None = None
