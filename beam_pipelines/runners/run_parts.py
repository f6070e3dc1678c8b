"""Work that is cut into parts which write their own results, on the runner that the settings name."""

from collections.abc import Callable, Iterator, Sequence
from typing import Generic, TypeVar

import apache_beam as beam

from beam_pipelines.runners.code_version import code_version, require_same_code
from beam_pipelines.runners.config import RunnerConfig
from beam_pipelines.runners.run_pipeline import run_pipeline

Part = TypeVar("Part")


def run_parts(parts: Sequence[Part], work: Callable[[Part], str], *, config: RunnerConfig, job_name: str) -> None:
    """Runs a function on each part, and ends when all are done. Raises as `run_pipeline`.

    Args:
        parts: What the workers get.
        work: Called on the workers, each time with one part, in several threads; it and the parts are pickled. It
            returns the name of the part, and may be called again for a part whose worker was lost.
        config: Where to run.
        job_name: The name of the job on a service such as Dataflow.
    """
    run_pipeline(lambda pipeline: build_pipeline(pipeline, parts, work), config, job_name=job_name)


def build_pipeline(pipeline: beam.Pipeline, parts: Sequence[Part], work: Callable[[Part], str]) -> beam.PCollection:
    """Adds the steps to a pipeline; returns the names of the finished parts."""
    return (
        pipeline
        | "Parts" >> beam.Create(parts)
        | "SpreadOverWorkers" >> beam.Reshuffle()
        | "WorkOnPart" >> beam.ParDo(WorkOnPart(work))
    )


class WorkOnPart(beam.DoFn, Generic[Part]):  # type: ignore[misc]  # Beam ships no types
    """Calls the function."""

    def __init__(self, work: Callable[[Part], str]) -> None:
        self._work = work
        # Of the process that starts the pipeline: workers compare.
        self._code_version = code_version()

    def setup(self) -> None:
        require_same_code(self._code_version)

    def process(self, part: Part) -> Iterator[str]:
        yield self._work(part)
