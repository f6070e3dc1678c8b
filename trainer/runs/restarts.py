"""The bound on starts of a cluster that make no progress.

The loss of a worker ends the other processes with "start again" (exit code 75). If it is lost because of a failure that
every start repeats, they would be started again for ever. The chief therefore counts the starts since the last
checkpoint in `starts.json`, in the run directory. SIGTERM, Ctrl-C and a wrong setting are no such failures: they end
the count.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager

from beam_pipelines.common.errors import RunAgainError, RunFailedError, UserError
from trainer.common import files
from trainer.devices.cluster import Cluster, LostWorkerError
from trainer.runs.checkpoint_index import LAST, find_checkpoint
from trainer.runs.checkpoints import read_progress
from trainer.runs.run_dir import STARTS_FILE, RunDir

MAX_STARTS_WITHOUT_CHECKPOINT = 3


@contextmanager
def bounded_restarts(run: RunDir, cluster: Cluster) -> Iterator[None]:
    """Counts this start of a run, and decides whether the loss of a worker in the body is a failure of the run.

    All processes of a cluster call this at the same time, and come to the same decision: the chief tells the others its
    count. Only the chief writes, so it must hold the lease of the run directory.

    Raises:
        LostWorkerError: A worker was lost, and the run may be started again.
        RunFailedError: A worker was lost in this start, the last of `MAX_STARTS_WITHOUT_CHECKPOINT` in a row from the
            same checkpoint.
    """
    if not cluster.has_several_processes:
        yield
        return
    first_checkpoint = find_checkpoint(run.checkpoint_dir, LAST)
    reached = read_progress(run.checkpoint_dir).describe()
    num_starts = _count_start(run, first_checkpoint) if cluster.is_chief else 0
    try:
        with cluster.lost_worker_errors():
            num_starts = cluster.broadcast_from_chief(num_starts)
            yield
    except LostWorkerError as error:
        if num_starts < MAX_STARTS_WITHOUT_CHECKPOINT or find_checkpoint(run.checkpoint_dir, LAST) != first_checkpoint:
            raise
        _forget_starts(run, cluster)
        raise RunFailedError(
            f"{num_starts} starts in a row have ended without a new checkpoint after {reached}, this one because "
            f"another worker was lost ({error.cause}): look for the cause in the output of the other workers; if "
            "machines are only preempted often, lower checkpoint_interval_s"
        ) from error
    except (RunAgainError, UserError, KeyboardInterrupt):  # SIGTERM may be a KeyboardInterrupt, too
        _forget_starts(run, cluster)
        raise
    _forget_starts(run, cluster)


def _count_start(run: RunDir, checkpoint: str | None) -> int:
    """Returns how many starts of the run in a row have begun with this checkpoint, including this one."""
    path = files.join(run.path, STARTS_FILE)
    name = checkpoint and checkpoint.rpartition("/")[2]
    num_starts = 1
    if files.exists(path):
        before = json.loads(files.read_text(path))
        num_starts += before["starts"] if before["checkpoint"] == name else 0
    files.write_text(path, json.dumps({"checkpoint": name, "starts": num_starts}) + "\n")
    return num_starts


def _forget_starts(run: RunDir, cluster: Cluster) -> None:
    path = files.join(run.path, STARTS_FILE)
    if cluster.is_chief and files.exists(path):
        files.remove(path)
