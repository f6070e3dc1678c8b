"""Reading the counters of a running pipeline, on the results of Beam."""

from contextlib import contextmanager

import apache_beam as beam
import pytest
from apache_beam.metrics.cells import DistributionData, DistributionResult
from apache_beam.metrics.execution import MetricKey, MetricResult
from apache_beam.metrics.metric import MetricResults
from apache_beam.metrics.metricbase import MetricName
from apache_beam.runners.runner import PipelineResult, PipelineState

from beam_pipelines.runners import run_pipeline as run_pipeline_module
from beam_pipelines.runners.config import (
    DaskRunnerConfig,
    DirectRunnerConfig,
    PortableRunnerConfig,
)
from beam_pipelines.runners.counters import count
from beam_pipelines.runners.dataflow_config import DataflowRunnerConfig
from beam_pipelines.runners.direct import open_direct
from beam_pipelines.runners.live_counters import LiveCounters
from beam_pipelines.runners.run_pipeline import run_pipeline


class Metrics(MetricResults):
    def __init__(self, results: list[MetricResult]) -> None:
        self._results = results

    def query(self, wanted=None):
        found = [result for result in self._results if self.matches(wanted, result.key)]
        is_distribution = [isinstance(result.attempted, DistributionResult) for result in found]
        return {
            self.COUNTERS: [result for result, is_one in zip(found, is_distribution, strict=True) if not is_one],
            self.DISTRIBUTIONS: [result for result, is_one in zip(found, is_distribution, strict=True) if is_one],
        }


class RunningJob(PipelineResult):
    """A job whose metrics change from one question to the next; an exception is raised."""

    def __init__(self, answers) -> None:
        super().__init__(PipelineState.RUNNING)
        self._answers = iter(answers)

    def metrics(self) -> MetricResults:
        answer = next(self._answers)
        if isinstance(answer, Exception):
            raise answer
        return Metrics(answer)


def metric(name, committed, attempted, *, step="BuildShard", namespace="prepare") -> MetricResult:
    return MetricResult(MetricKey(step, MetricName(namespace, name)), committed=committed, attempted=attempted)


def test_counters_are_those_of_the_namespace_with_what_unfinished_bundles_have_counted():
    decode_ms = DistributionResult(DistributionData(700, 31, 2, 90))
    job = RunningJob(
        [
            [],
            [
                metric("tracks", 10, 31),
                metric("tracks", 5, 5, step="another step"),
                metric("reject_missing", None, 2),
                metric("segments", 40, None),
                metric("decode_ms", decode_ms, decode_ms),
                metric("tracks", 99, 99, namespace="another"),
            ],
        ]
    )
    counters = LiveCounters("prepare")
    assert counters.read() == {}
    counters.follow(job.metrics)
    assert counters.read() == {}
    assert counters.read() == {"tracks": 36, "reject_missing": 2, "segments": 40}


def test_without_an_answer_the_last_one_stays_and_a_note_is_printed_once(capsys):
    job = RunningJob([ValueError("not\nthere yet"), [metric("tracks", 1, 3)], OSError("no network")])
    counters = LiveCounters("prepare")
    counters.follow(job.metrics)
    assert [counters.read(), counters.read(), counters.read()] == [{}, {"tracks": 3}, {"tracks": 3}]
    assert capsys.readouterr().err == (
        "note: the counters of the job cannot be read (ValueError: not there yet): its progress may be late\n"
    )


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (DirectRunnerConfig(), False),
        (DaskRunnerConfig(), False),
        (PortableRunnerConfig(name="FlinkRunner"), False),
        (DataflowRunnerConfig(project="my-project", temp_location="gs://my-bucket/temp"), True),
    ],
)
def test_of_the_runners_dataflow_reports_counters_while_it_runs(config, expected):
    assert config.reports_counters is expected


class _Count(beam.DoFn):
    def process(self, number):
        count("numbers", "seen")
        count("numbers", "sum", number)


def _count_numbers(pipeline):
    return pipeline | beam.Create([1, 2, 3]) | beam.ParDo(_Count())


def test_a_runner_that_reports_nothing_while_it_runs_is_not_asked():
    counters = LiveCounters("numbers")
    run_pipeline(_count_numbers, DirectRunnerConfig(num_workers=1), job_name="count", counters=counters)
    assert counters.read() == {}


def test_counters_of_a_finished_run_of_beam_are_read(monkeypatch):
    @contextmanager
    def open_reporting(config, *, job_name):
        with open_direct(config, job_name=job_name) as backend:
            yield backend._replace(metrics_of=lambda result: result.metrics())

    monkeypatch.setattr(run_pipeline_module, "open_direct", open_reporting)
    counters = LiveCounters("numbers")
    run_pipeline(_count_numbers, DirectRunnerConfig(num_workers=1), job_name="count", counters=counters)
    assert counters.read() == {"seen": 3, "sum": 6}
