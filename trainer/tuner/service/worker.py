"""The process that trains the trials of a search, one after the other.

It replaces KerasTuner's `Tuner.search` and `OracleClient`, which poll without a pause while there is no trial, treat
every exception as a failed trial (also that of SIGTERM), cannot return a trial, and wait forever for a chief that has
exited.
"""

import os
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from beam_pipelines.common.errors import RunAgainError, RunFailedError, UserError
from trainer.common.stop_on_sigterm import stop_on_sigterm
from trainer.devices.cluster_config import CLUSTER_VARIABLE
from trainer.tuner.service.chief_client import ChiefClient, SearchEndedError
from trainer.tuner.service.config import ServiceConfig
from trainer.tuner.service.leader_lease import was_leader
from trainer.tuner.service.rpc import ChiefUnavailableError
from trainer.tuner.trial import (
    Metrics,
    ReportEpoch,
    Trial,
    TrialFailedError,
    TrialLeaseLostError,
    TrialRunner,
    trial_from_json,
)

# How long a shared disk may take to show the files of the chief.
_SHARED_DIR_TIMEOUT_S = 10.0
_MAX_REASON_LENGTH = 1000


def run_worker(
    search_dir: str, *, worker_name: str, chief_address: str | None, runner: TrialRunner, service: ServiceConfig
) -> None:
    """Trains trials until the search has ended.

    Args:
        search_dir: The directory of the chief, local or gs://.
        worker_name: Unique in the search.
        chief_address: host:port of the chief; None reads it from search_dir whenever that is necessary.
        runner: Trains and scores.
        service: The settings of the chief.

    Raises:
        UserError: Another worker has this name, or the chief has another search_dir.
        RunFailedError: The chief did not reply for `wait_for_chief_s`.
        RunAgainError: SIGTERM came; the trial was returned to the queue.
    """
    # A worker trains alone; TensorFlow would wait for the other machines of the cluster.
    os.environ.pop(CLUSTER_VARIABLE, None)
    with stop_on_sigterm("the state of the trial is saved") as stop_request:
        chief = ChiefClient(
            search_dir, worker=worker_name, address=chief_address, service=service, stop_request=stop_request
        )
        try:
            _Worker(chief, runner).run()
        except SearchEndedError:
            chief.log("the search has ended")
        finally:
            chief.close()


class _Worker:
    def __init__(self, chief: ChiefClient, runner: TrialRunner) -> None:
        self._chief = chief
        self._runner = runner
        self._verified_chief: str | None = None
        self._lease_lost = threading.Event()
        # Why this worker must exit during a trial. It is kept here, because a runner may replace the exception.
        self._exit_error: Exception | None = None

    def run(self) -> None:
        """Trains trials until there are no more."""
        is_name_in_use = False
        while True:
            self._check_stop_request()
            reply = self._chief.call("next")
            action = reply["action"]
            if action == "stop":
                self._chief.log(f"the search has ended: {reply['reason']}")
                return
            if action == "refuse":
                raise UserError("another worker of this name is running: give each its own (KERASTUNER_TUNER_ID)")
            if action == "train":
                self._check_shared_dir(reply["chief"])
                content, history = reply["trial"], reply["history"]
                self._run_trial(trial_from_json(content, search_dir=self._chief.search_dir, history=history))
                continue
            if reply["for_name"] and not is_name_in_use:
                self._chief.log(
                    "another worker of this name is registered at the chief: waiting until its heartbeats stop"
                )
                is_name_in_use = True
            self._chief.sleep(self._chief.service.poll_s)

    def _check_stop_request(self) -> None:
        if self._chief.stop_request.is_set:
            raise self._chief.stop_request.error("; the trial was returned: the same command resumes")

    def _check_shared_dir(self, chief: str) -> None:
        """Raises a UserError unless the lease of the chief is in this worker's search_dir."""
        deadline_s = time.monotonic() + _SHARED_DIR_TIMEOUT_S
        while chief != self._verified_chief:
            if was_leader(self._chief.search_dir, chief):
                self._verified_chief = chief
            elif time.monotonic() > deadline_s:
                raise UserError(
                    f"search_dir={self._chief.search_dir} is not that of the chief: all machines need the "
                    "same directory, on a shared disk or gs://"
                )
            else:
                time.sleep(0.25)

    def _run_trial(self, trial: Trial) -> None:
        """Trains a trial and sends the chief its result, or the reason of its failure."""
        self._chief.log(f"training trial {trial.trial_id}")
        ending: dict[str, Any] | None
        try:
            with self._heartbeats(trial):
                result = self._runner.run(
                    trial, report=self._reporter(trial), check_lease=lambda: self._check_lease(trial)
                )
        except TrialLeaseLostError:
            ending = None
        except RunAgainError:
            raise
        except TrialFailedError as failure:
            ending = {"reason": str(failure)[:_MAX_REASON_LENGTH] or "unknown"}
        except Exception as error:  # the search must survive any bug in a trial
            traceback.print_exc()
            ending = {"reason": f"{type(error).__name__}: {error}"[:_MAX_REASON_LENGTH]}
        else:
            ending = {"metrics": dict(result.metrics), "epoch": result.best_epoch, "note": result.note}
        if self._exit_error is not None:
            raise self._exit_error
        if ending is None:
            self._chief.log(f"trial {trial.trial_id} was given to another worker")
        else:
            self._chief.call("end", trial_id=trial.trial_id, **ending)

    @contextmanager
    def _heartbeats(self, trial: Trial) -> Iterator[None]:
        """Sends heartbeats while the body runs."""
        self._lease_lost.clear()
        is_done = threading.Event()
        interval_s = self._chief.service.heartbeat_s

        def beat() -> None:
            while not is_done.wait(interval_s):
                try:
                    reply = self._chief.call_once("heartbeat", timeout_s=interval_s, trial_id=trial.trial_id)
                except (ChiefUnavailableError, RunFailedError):
                    continue
                except Exception as error:  # this thread must not end: the chief would give the trial away
                    self._chief.log(f"a heartbeat failed, the next one follows: {' '.join(repr(error).split())}")
                    continue
                if not reply["has_lease"]:
                    self._lease_lost.set()

        thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            is_done.set()
            thread.join()

    def _check_lease(self, trial: Trial) -> None:
        """Raises a TrialLeaseLostError if the trial was given to another worker, which writes to its directory now.

        A worker that was suspended checks this before its next heartbeat.
        """
        lease_lost = TrialLeaseLostError(f"trial {trial.trial_id}")
        if self._lease_lost.is_set():
            raise lease_lost
        try:
            reply = self._chief.call("heartbeat", trial_id=trial.trial_id)
        except (SearchEndedError, RunFailedError) as error:
            self._exit_error = error
            raise lease_lost from error
        if not reply["has_lease"]:
            self._lease_lost.set()
            raise lease_lost

    def _reporter(self, trial: Trial) -> ReportEpoch:
        lease_lost = TrialLeaseLostError(f"trial {trial.trial_id}")

        def report(epoch: int, metrics: Metrics, *, duration_s: float) -> bool:
            if self._lease_lost.is_set():
                raise lease_lost
            fields = {"trial_id": trial.trial_id, "epoch": epoch, "metrics": dict(metrics), "duration_s": duration_s}
            try:
                reply = self._chief.call("report", **fields)
            except (SearchEndedError, RunFailedError) as error:
                self._exit_error = error
                raise lease_lost from error
            if not reply["has_lease"]:
                raise lease_lost
            if reply["should_continue"]:
                self._check_stop_request()
            return bool(reply["should_continue"])

        return report
