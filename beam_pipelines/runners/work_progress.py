"""The progress of the workers of a pipeline, shown by the command that started it."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from beam_pipelines.common.progress import ProgressReporter, polling
from beam_pipelines.common.terminal import counted


@dataclass(frozen=True)
class WorkProgress:
    """What one worker has done, or several together.

    Attributes:
        num_done: Tracks or files, rejected ones included.
        num_rejects: Those of them that are rejected.
        audio_s: Seconds of audio in the others.
    """

    num_done: int = 0
    num_rejects: int = 0
    audio_s: float = 0.0

    def __add__(self, other: "WorkProgress") -> "WorkProgress":
        return WorkProgress(
            num_done=self.num_done + other.num_done,
            num_rejects=self.num_rejects + other.num_rejects,
            audio_s=self.audio_s + other.audio_s,
        )


@contextmanager
def watching_progress(
    read: Callable[[], WorkProgress],
    *,
    step: str,
    unit: str,
    total: int,
    kept: WorkProgress,
    note: str | None,
    interval_s: float,
) -> Iterator[None]:
    """Shows the progress of the workers, at an interval, while the pipeline runs in the calling thread.

    Args:
        read: Returns the progress of all workers.
        step: What they do, e.g. "preparing".
        unit: What is counted, e.g. "tracks".
        total: The number of these.
        kept: What an earlier run has done.
        note: A line about it, if there is any.
        interval_s: How often to read, in seconds.
    """
    started_s = time.monotonic()
    with ProgressReporter(step, total=total, unit=unit) as reporter:
        if note is not None:
            reporter.log(note)

        def show() -> None:
            work = read()
            rate = work.audio_s / max(time.monotonic() - started_s, 1e-3)
            reporter.update(
                # A service counts a track again where it has repeated the work of a failed machine.
                completed=min(kept.num_done + work.num_done, total),
                details=f"{rate:.0f} s of audio per second, {counted(kept.num_rejects + work.num_rejects, 'reject')}",
            )

        with polling(show, interval_s=interval_s):
            yield
