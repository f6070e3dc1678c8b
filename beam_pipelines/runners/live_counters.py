"""Beam's counters of a pipeline while it runs, for its progress.

Of the runners of beamtune, only Dataflow reports them with Apache Beam 2.72 to 2.77 (`RunnerConfig.reports_counters`):

- direct: Beam returns the result, and with it the counters, when the pipeline has finished;
- dask: the result has no counters at all;
- portable: Flink, Spark and Beam's own job service report when a batch job has finished. Prism reports earlier, but
  Beam's result keeps the first answer and never asks again.

On these, workers write their progress to files.
"""

from collections import Counter
from collections.abc import Callable, Mapping

from apache_beam.metrics import MetricsFilter
from apache_beam.metrics.metric import MetricResults

from beam_pipelines.common.terminal import stderr


class LiveCounters:
    """The counters of one namespace of a running pipeline."""

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace
        self._metrics: Callable[[], MetricResults | None] = lambda: None
        self._counters: Mapping[str, int] = {}
        self._has_failed = False

    def follow(self, metrics: Callable[[], MetricResults | None]) -> None:
        """Sets the function that asks the runner; it returns None before the runner has taken the pipeline."""
        self._metrics = metrics

    def read(self) -> Mapping[str, int]:
        """Returns the counters by name; those of the last answer if the runner does not answer, after a note."""
        try:
            metrics = self._metrics()
            if metrics is not None:
                self._counters = _counters(metrics, self._namespace)
        except Exception as error:  # each runner raises other types, and the run does not depend on its progress
            if not self._has_failed:
                why = " ".join(f"{type(error).__name__}: {error}".split())
                print(f"note: the counters of the job cannot be read ({why}): its progress may be late", file=stderr())
            self._has_failed = True
        return self._counters


def _counters(metrics: MetricResults, namespace: str) -> Mapping[str, int]:
    """Returns the counters of a namespace, summed over steps, with what unfinished bundles have counted."""
    counters: Counter[str] = Counter()
    for result in metrics.query(MetricsFilter().with_namespace(namespace))[MetricResults.COUNTERS]:
        counters[result.key.metric.name] += result.committed if result.attempted is None else result.attempted
    return counters
