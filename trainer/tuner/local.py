"""A search on this machine: starts the chief and the workers as processes, and restarts them until it has ended."""

import math
import os
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import tensorflow as tf

from beam_pipelines.common.bucket_errors import BucketOutageError
from beam_pipelines.common.errors import RunAgainError, RunFailedError, UserError
from beam_pipelines.common.paths import is_in_bucket
from beam_pipelines.common.retries import without_retries
from beam_pipelines.common.signals import RUN_AGAIN
from trainer.common import files
from trainer.common.stop_on_sigterm import StopRequest, stop_on_sigterm
from trainer.tuner.config import SearchConfig
from trainer.tuner.live import LiveSearch
from trainer.tuner.process_logs import ProcessLogs, process_logs
from trainer.tuner.search_dir import SearchDir
from trainer.tuner.service.cluster_role import ROLE_VARIABLES
from trainer.tuner.service.search_state import read_search

# The role of a process in a local search: LOCAL_CHIEF, or the name of a worker.
LOCAL_ROLE_VARIABLE = "BEAMTUNE_SEARCH_ROLE"
LOCAL_CHIEF = "chief"

_SUCCESS, _FAILED, _USER_ERROR = 0, 1, 2
_POLL_S = 0.25
_SHOW_INTERVAL_S = 1.0
# Each time, the state and the epochs of the running trials are listed and read.
SHOW_INTERVAL_IN_BUCKET_S = 30.0
_RESTART_PAUSE_S = 1.0
# How long workers have to exit by themselves after the end of the search, to save their trial after SIGTERM, and how
# long the chief has to save its state after SIGTERM.
_WORKER_EXIT_S = 15.0
_WORKER_SAVE_S = 120.0
_CHIEF_SAVE_S = 30.0


@dataclass
class _Process:
    """A process of the search; its role is LOCAL_CHIEF or the name of a worker."""

    role: str
    environment: Mapping[str, str]
    log_path: str
    num_restarts: int = 0
    process: "subprocess.Popen[bytes]" = field(init=False, repr=False)

    def start(self, command: Sequence[str]) -> None:
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(  # noqa: S603 - this program
                list(command),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C must reach only this process, which lets the others save their state
                env=dict(self.environment),
            )

    def last_line(self) -> str:
        """Returns the last line of its log, without the name of the command, which is printed again."""
        with open(self.log_path, errors="replace") as log:
            lines = deque((line.strip() for line in log if line.strip()), maxlen=1)
        return lines[0].removeprefix("beamtune tune: ") if lines else "its log is empty"


def run_local(config: SearchConfig, *, command: Sequence[str]) -> None:
    """Runs a search with `config.workers` workers on this machine, and shows it until it has ended.

    Args:
        config: The search.
        command: Starts this command again; a process reads its role from LOCAL_ROLE_VARIABLE.

    Raises:
        UserError: A process reports an error that the user must fix.
        RunFailedError: The search cannot succeed, or a process crashed too often.
        RunAgainError: SIGTERM or Ctrl-C came, or the storage failed for too long; the same command resumes the search.
    """
    with (
        process_logs(SearchDir(config.search_dir).logs_dir) as logs,
        stop_on_sigterm("the workers have saved their trials") as stop_request,
        LiveSearch() as live,
    ):
        live.log(f"search_dir={config.search_dir}; {logs.describe()}")
        search = _LocalSearch(config, command=command, logs=logs, live=live)
        try:
            search.run(stop_request)
        finally:
            search.stop()
            search.show()


@dataclass
class _LocalSearch:
    """The processes of a search; the chief is the first of them."""

    config: SearchConfig
    command: Sequence[str]
    logs: ProcessLogs
    live: LiveSearch
    processes: list[_Process] = field(default_factory=list)
    shown_s: float = -math.inf

    def run(self, stop_request: StopRequest) -> None:
        """Starts all processes, and restarts those that crash, until the chief exits."""
        roles = [LOCAL_CHIEF, *(f"tuner-{index}" for index in range(self.config.workers))]
        num_gpus = len(tf.config.list_physical_devices("GPU"))
        shares = [{"CUDA_VISIBLE_DEVICES": "-1"}, *device_shares(self.config.workers, num_gpus=num_gpus)]
        own = {name: value for name, value in os.environ.items() if name not in ROLE_VARIABLES}
        for role, share in zip(roles, shares, strict=True):
            # Variables that the user has set override the share.
            environment = {**share, **own, LOCAL_ROLE_VARIABLE: role, "PYTHONUNBUFFERED": "1"}
            process = _Process(role, environment, os.path.join(self.logs.local_dir, f"{role}.log"))
            process.start(self.command)
            self.processes.append(process)
        chief = self.processes[0]
        in_bucket = is_in_bucket(self.config.search_dir)
        show_interval_s = SHOW_INTERVAL_IN_BUCKET_S if in_bucket else _SHOW_INTERVAL_S
        while True:
            if stop_request.is_set:
                raise stop_request.error("; everything is saved: the same command resumes the search")
            exit_code = chief.process.poll()
            if exit_code == _SUCCESS:
                return
            if exit_code == _FAILED:
                raise RunFailedError(chief.last_line())
            crashed = [process for process in self.processes if self._must_restart(process)]
            if crashed:
                self.logs.try_upload()
                time.sleep(_RESTART_PAUSE_S)
                for process in crashed:
                    process.start(self.command)
            if time.monotonic() - self.shown_s >= show_interval_s:
                self.show()
            time.sleep(_POLL_S)

    def _must_restart(self, process: _Process) -> bool:
        exit_code = process.process.poll()
        if exit_code in (None, _SUCCESS):  # a worker exits when the search has ended, shortly before the chief
            return False
        if exit_code == _USER_ERROR:
            raise UserError(process.last_line())
        max_restarts = self.config.max_restarts
        if process.num_restarts >= max_restarts:
            error_type = RunAgainError if exit_code == RUN_AGAIN else RunFailedError
            raise error_type(
                f"{process.role} has exited {process.num_restarts + 1} times (max_restarts={max_restarts}), the last "
                f"time with {_describe(exit_code)}: {process.last_line()}; see "
                f"{files.join(self.logs.directory, os.path.basename(process.log_path))}"
            )
        process.num_restarts += 1
        self.live.log(
            f"{process.role} has exited with {_describe(exit_code)}: restarting it "
            f"({process.num_restarts} of {max_restarts} times)"
        )
        return True

    def show(self) -> None:
        """Shows the search as its files describe it."""
        self.shown_s = time.monotonic()
        # The chief may not have written its state yet, or may be replacing it.
        with suppress(UserError, files.FileError, BucketOutageError), without_retries():
            self.live.show(read_search(self.config.search_dir, with_all_histories=False))

    def stop(self) -> None:
        """Stops all processes: workers first, so that the chief can save what they report."""
        chief, workers = self.processes[:1], self.processes[1:]
        if chief and chief[0].process.poll() == _SUCCESS:
            _wait(workers, timeout_s=_WORKER_EXIT_S)
        for processes, timeout_s in ((workers, _WORKER_SAVE_S), (chief, _CHIEF_SAVE_S)):
            for process in processes:
                process.process.terminate()
            _wait(processes, timeout_s=timeout_s)
            for process in processes:
                process.process.kill()
                process.process.wait()


def device_shares(num_workers: int, *, num_gpus: int) -> list[dict[str, str]]:
    """Returns for each worker the variables that give it its own GPUs, or its share of the cores.

    If there are fewer GPUs than workers, workers share them and allocate GPU memory as they need it.
    """
    threads = str(max(1, (os.cpu_count() or 1) // num_workers))
    cores = {"TF_NUM_INTRAOP_THREADS": threads, "OMP_NUM_THREADS": threads}
    if num_gpus == 0:
        return [cores] * num_workers
    if num_gpus < num_workers:
        return [
            {"CUDA_VISIBLE_DEVICES": str(worker % num_gpus), "TF_FORCE_GPU_ALLOW_GROWTH": "true"}
            for worker in range(num_workers)
        ]
    gpus = [range(num_gpus)[worker::num_workers] for worker in range(num_workers)]
    return [{"CUDA_VISIBLE_DEVICES": ",".join(map(str, own))} for own in gpus]


def exit_with_parent() -> None:
    """Sends SIGTERM to this process when its parent process exits, in whatever way.

    The standard input of a process of a local search is a pipe that its parent keeps open and never writes to.
    """

    def watch() -> None:
        while os.read(0, 1):
            pass
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(_WORKER_SAVE_S)
        os._exit(_FAILED)

    threading.Thread(target=watch, name="parent", daemon=True).start()


def _wait(processes: Sequence[_Process], *, timeout_s: float) -> None:
    deadline_s = time.monotonic() + timeout_s
    while any(process.process.poll() is None for process in processes) and time.monotonic() < deadline_s:
        time.sleep(_POLL_S)


def _describe(exit_code: int | None) -> str:
    if exit_code is not None and exit_code < 0:
        with suppress(ValueError):
            return signal.Signals(-exit_code).name
    return f"exit code {exit_code}"
