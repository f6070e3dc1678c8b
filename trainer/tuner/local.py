"""A search on this machine: the chief and the workers as processes, watched until the search is over."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import BinaryIO

import tensorflow as tf

from beam_pipelines.common.errors import RunAgainError, RunFailedError, UserError
from trainer.common import files
from trainer.common.stop_on_sigterm import StopRequest, stop_on_sigterm
from trainer.tuner.config import SearchConfig
from trainer.tuner.live import LiveSearch
from trainer.tuner.search_dir import SearchDir
from trainer.tuner.view import read_search

# Which part of a local search a process has: LOCAL_CHIEF, or the name of a worker.
LOCAL_ROLE_VARIABLE = "BEAMTUNE_SEARCH_ROLE"
LOCAL_CHIEF = "chief"

# What would tell a process of another role.
_ROLE_VARIABLES = ("KERASTUNER_TUNER_ID", "KERASTUNER_ORACLE_IP", "KERASTUNER_ORACLE_PORT", "CLUSTER_SPEC", "TF_CONFIG")

_SUCCESS, _FAILED, _USER_ERROR = 0, 1, 2
_POLL_S = 0.25
_SHOW_S = 1.0
# How long workers have to notice that the chief is done; to save where they are and hand their trials back; and the
# chief to write its state after that.
_LEAVE_S = 15.0
_SAVE_S = 120.0
_END_S = 30.0
_RESTART_PAUSE_S = 1.0
_TAIL_BYTES = 16_384


@dataclass
class _Process:
    """A process of the search.

    Attributes:
        role: LOCAL_CHIEF, or the name of a worker.
        environment: What it finds in its environment.
        log_path: Where it writes.
        num_restarts: How often it was started again.
        restart_s: When it is to be started again, by the monotonic clock.
    """

    role: str
    environment: Mapping[str, str]
    log_path: str
    num_restarts: int = 0
    restart_s: float | None = None
    process: "subprocess.Popen[bytes] | None" = field(default=None, repr=False)

    def start(self, command: Sequence[str]) -> None:
        self.restart_s = None
        with open(self.log_path, "ab") as log:
            # A session of its own: Ctrl-C is for the one who watches, who lets the others save what they have.
            self.process = subprocess.Popen(  # noqa: S603 - this very program
                list(command),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env=dict(self.environment),
            )

    @property
    def exit_code(self) -> int | None:
        return None if self.process is None else self.process.poll()

    @property
    def is_up(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def ask_to_end(self) -> None:
        if self.process is not None and self.is_up:
            self.process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        if self.process is not None and self.is_up:
            self.process.kill()
            self.process.wait()

    def last_line(self) -> str:
        """Returns the last line of its log that says something."""
        with open(self.log_path, "rb") as log:
            text = _tail(log)
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return lines[-1] if lines else "it said nothing"


def run_local(config: SearchConfig, *, command: Sequence[str]) -> int:
    """Runs a search with `config.workers` workers on this machine, and shows it until it is over.

    Args:
        config: The search.
        command: What starts this very command once more; a process reads its role from LOCAL_ROLE_VARIABLE.

    Returns:
        0: the search is over.

    Raises:
        UserError: A process says that the user must mend something.
        RunFailedError: The search cannot succeed, or its processes die again and again.
        RunAgainError: SIGTERM came; the same command goes on.
        KeyboardInterrupt: Ctrl-C; the same command goes on.
    """
    logs_dir = _local_logs_dir(config)
    os.makedirs(logs_dir, exist_ok=True)
    with stop_on_sigterm() as stop_request, LiveSearch() as live:
        live.log(f"search_dir={config.search_dir}; each process writes a log in {logs_dir}")
        search = _LocalSearch(config, command=command, logs_dir=logs_dir, live=live)
        try:
            search.start()
            search.watch(stop_request)
        except (KeyboardInterrupt, RunAgainError):
            live.log("ending: workers save what they have")
            raise
        finally:
            search.end()
            search.show()
    return _SUCCESS


class _LocalSearch:
    def __init__(self, config: SearchConfig, *, command: Sequence[str], logs_dir: str, live: LiveSearch) -> None:
        self._config = config
        self._command = command
        self._live = live
        self._shown_s = -_SHOW_S
        roles = [LOCAL_CHIEF, *(f"tuner-{index}" for index in range(config.workers))]
        shares = [{"CUDA_VISIBLE_DEVICES": "-1"}, *device_shares(config.workers, num_gpus=_num_gpus())]
        self._processes = [
            _Process(role, _environment(role, share), log_path=os.path.join(logs_dir, f"{role}.log"))
            for role, share in zip(roles, shares, strict=True)
        ]
        self._chief, *self._workers = self._processes

    def start(self) -> None:
        for process in self._processes:
            process.start(self._command)

    def watch(self, stop_request: StopRequest) -> None:
        """Waits until the chief says that the search is over, and starts again what has died."""
        while True:
            if stop_request.is_made:
                raise RunAgainError("stopped by SIGTERM; all is saved: the same command goes on with the search")
            code = self._chief.exit_code
            if code == _SUCCESS:
                return
            if code == _FAILED:
                raise RunFailedError(_bare(self._chief.last_line()))
            for process in self._processes:
                self._look_after(process)
            if time.monotonic() - self._shown_s >= _SHOW_S:
                self.show()
            time.sleep(_POLL_S)

    def _look_after(self, process: _Process) -> None:
        """Starts a process again that has died, after a pause.

        Raises:
            UserError: It says that the user must mend something.
            RunFailedError: It was started too often.
        """
        if process.is_up:
            return
        if process.restart_s is not None:
            if time.monotonic() >= process.restart_s:
                process.start(self._command)
            return
        code = process.exit_code
        if code == _SUCCESS:
            # A worker that knows that the search is over, of which the chief will tell.
            return
        if code == _USER_ERROR:
            raise UserError(_bare(process.last_line()))
        if process.num_restarts >= self._config.max_restarts:
            raise RunFailedError(
                f"{process.role} has died {process.num_restarts + 1} times (max_restarts={self._config.max_restarts}), "
                f"the last time with {_describe_code(code)}: {_bare(process.last_line())}; all is in {process.log_path}"
            )
        process.num_restarts += 1
        process.restart_s = time.monotonic() + _RESTART_PAUSE_S
        self._live.log(
            f"{process.role} has died with {_describe_code(code)}: starting it again "
            f"({process.num_restarts} of {self._config.max_restarts} times)"
        )

    def show(self) -> None:
        """Shows the search as its files have it."""
        self._shown_s = time.monotonic()
        # The chief may not have written anything yet, or just be replacing it.
        with suppress(UserError, tf.errors.OpError):
            self._live.show(read_search(self._config.search_dir, with_all_histories=False))

    def end(self) -> None:
        """Ends all processes: at once where the search is over, and otherwise when they have saved what they have."""
        if self._chief.exit_code == _SUCCESS:
            _wait(self._workers, duration_s=_LEAVE_S)
        for processes, duration_s in ((self._workers, _SAVE_S), ([self._chief], _END_S)):
            for process in processes:
                process.ask_to_end()
            _wait(processes, duration_s=duration_s)
            for process in processes:
                process.kill()


def device_shares(num_workers: int, *, num_gpus: int) -> list[dict[str, str]]:
    """Returns for each worker the variables that give it its devices: GPUs of its own, or its share of the cores.

    Where there are fewer GPUs than workers, some share one, and take its memory as they need it.
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


def end_with_parent() -> None:
    """Ends this process as SIGTERM does when the one that started it is gone, however that ended.

    The standard input of a process of a local search is a pipe that its parent holds open and writes nothing to.
    """

    def watch() -> None:
        while os.read(0, 1):
            pass
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(_SAVE_S)
        os._exit(_FAILED)

    threading.Thread(target=watch, name="parent", daemon=True).start()


def _environment(role: str, share: Mapping[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in _ROLE_VARIABLES}
    # What the user has set counts.
    return {**share, **kept, LOCAL_ROLE_VARIABLE: role, "PYTHONUNBUFFERED": "1"}


def _num_gpus() -> int:
    return len(tf.config.list_physical_devices("GPU"))


def _local_logs_dir(config: SearchConfig) -> str:
    """Returns where the logs of processes are: in the search, or beside the user where that is not on this machine."""
    logs_dir = SearchDir(config.search_dir).logs_dir
    return logs_dir if "://" not in logs_dir else files.join(os.getcwd(), "logs", os.path.basename(config.search_dir))


def _wait(processes: Sequence[_Process], *, duration_s: float) -> None:
    until_s = time.monotonic() + duration_s
    while any(process.is_up for process in processes) and time.monotonic() < until_s:
        time.sleep(_POLL_S)


def _tail(log: BinaryIO) -> str:
    log.seek(0, os.SEEK_END)
    log.seek(max(0, log.tell() - _TAIL_BYTES))
    return log.read().decode(errors="replace")


def _bare(line: str) -> str:
    """Returns a line of a process without the name of the command, which is said again."""
    return line.removeprefix("beamtune tune: ")


def _describe_code(code: int | None) -> str:
    if code is not None and code < 0:
        with suppress(ValueError):
            return signal.Signals(-code).name
    return f"exit code {code}"
