"""The process that runs the trials of a search, one after the other.

It stands where KerasTuner has `Tuner.search` and its client, which ask without a pause while there is no trial, take
every exception for a failed trial, that of SIGTERM too, cannot hand a trial back, and wait for ever for a chief that is
gone.
"""

import os
import random
import re
import secrets
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import tensorflow as tf

from beam_pipelines.common.errors import RunAgainError, RunFailedError, UserError
from trainer.common.stop_on_sigterm import StopRequest, stop_on_sigterm
from trainer.devices.strategy import CLUSTER_VARIABLE
from trainer.tuner.messages import Line, Message, NoAnswer
from trainer.tuner.service_config import ServiceConfig
from trainer.tuner.store import Document, find_chief, has_had_chief
from trainer.tuner.trials import LeaseLost, Trial, TrialFailed, TrialOutcome, TrialRunner, Verdict
from trainer.tuner.view import trial_directory

_CALL_S = 60.0
_GOODBYE_S = 3.0
_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 10.0
_LONGEST_NAP_S = 0.25
_SHARED_DIR_S = 10.0
_MAX_REASON_LENGTH = 1000
_NAME = re.compile(r"[\w.-]{1,100}")


class _SearchOver(Exception):  # noqa: N818 - the good end
    """The chief has gone because the search is over."""


def run_worker(
    search_dir: str, *, tuner_id: str, chief_address: str | None, runner: TrialRunner, service: ServiceConfig
) -> int:
    """Runs trials until the search is over.

    Args:
        search_dir: Where the search is, local or gs://; the same that the chief has.
        tuner_id: The name of this worker; no two of a search may have the same.
        chief_address: Where the chief is, host:port; where None, it is looked up in search_dir, again and again.
        runner: Trains and scores.
        service: How chief and workers keep in touch; the same that the chief has.

    Returns:
        0: the search is over.

    Raises:
        UserError: Another worker has this name, or the chief runs another search.
        RunFailedError: No chief has answered for `wait_for_chief_s`.
        RunAgainError: The process was asked to end; its trial was handed back.
    """
    if not _NAME.fullmatch(tuner_id):
        raise UserError(f"tuner_id={tuner_id}: expected up to 100 letters, digits, dots, dashes and underscores")
    # A worker trains by itself; TensorFlow would wait for the others of the cluster.
    os.environ.pop(CLUSTER_VARIABLE, None)
    with stop_on_sigterm() as stop_request:
        chief = _ChiefLink(
            search_dir, tuner_id=tuner_id, address=chief_address, service=service, stop_request=stop_request
        )
        try:
            _Worker(search_dir, chief=chief, runner=runner, service=service, stop_request=stop_request).work()
        except _SearchOver:
            chief.say("the search is over")
        finally:
            chief.leave()
    return 0


class _ChiefLink:
    """How a worker speaks with the chief, wherever that is now."""

    def __init__(
        self, search_dir: str, *, tuner_id: str, address: str | None, service: ServiceConfig, stop_request: StopRequest
    ) -> None:
        self._search_dir = search_dir
        self._tuner_id = tuner_id
        self._session = secrets.token_hex(8)
        self._fixed_address = address
        self._service = service
        self._stop_request = stop_request
        self._line: Line | None = None
        self._line_lock = threading.Lock()
        self._has_met = False

    def say(self, line: str) -> None:
        """Tells whoever watches the worker."""
        print(f"{time.strftime('%H:%M:%S')} {self._tuner_id}: {line}", file=sys.stderr, flush=True)

    def ask(self, method: str, **fields: Any) -> Message:
        """Asks until there is an answer.

        Raises:
            _SearchOver: There is none, because the search is over.
            RunFailedError: There was none for too long.
            RunAgainError: The process was asked to end meanwhile.
        """
        began_s, pause_s = time.monotonic(), _FIRST_PAUSE_S
        while True:
            waited_s = time.monotonic() - began_s
            left_s = self._service.wait_for_chief_s - waited_s
            try:
                reply = self.ask_once(method, timeout_s=min(_CALL_S, max(left_s, 1.0)), **fields)
            except NoAnswer:
                if pause_s == _FIRST_PAUSE_S:
                    self.say(f"no chief answers at {self._where()}: waiting for one for {left_s:.0f} s")
                self._check_hope(waited_s=time.monotonic() - began_s)
                # Not all workers at the same time.
                self.rest(pause_s * random.SystemRandom().uniform(0.5, 1.0))
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
            else:
                self._has_met = True
                return reply

    def _check_hope(self, *, waited_s: float) -> None:
        """Raises what there is to raise when no chief answers and none is to come."""
        if self._stop_request.is_made:
            raise RunAgainError("stopped by SIGTERM while no chief answered; all is saved: the same command goes on")
        # A search that is over may just be begun again, by a chief that comes up as slowly as this worker.
        is_patient = not self._has_met and waited_s < min(self._service.lease_s, self._service.wait_for_chief_s)
        if not is_patient and self._is_over():
            raise _SearchOver
        if waited_s >= self._service.wait_for_chief_s:
            raise RunFailedError(
                f"no chief has answered at {self._where()} for {waited_s:.0f} s (service.wait_for_chief_s): start the "
                "chief, and this worker again"
            )

    def _is_over(self) -> bool:
        with suppress(UserError, tf.errors.OpError):
            loaded = Document(self._search_dir, "search").read()
            return loaded is not None and loaded.payload["end_reason"] is not None
        return False

    def ask_once(self, method: str, *, timeout_s: float, **fields: Any) -> Message:
        """Asks once. Safe for threads.

        Raises:
            NoAnswer: There was none.
            RunFailedError: The chief cannot make sense of it.
        """
        line = self._connected()
        return line.call(method, {"worker": self._tuner_id, "session": self._session, **fields}, timeout_s=timeout_s)

    def _connected(self) -> Line:
        with self._line_lock:
            address = self._fixed_address or self._found_address()
            if self._line is None or self._line.address != address:
                # The line before is left to itself: the other thread may be speaking.
                self._line = Line(address)
            return self._line

    def _found_address(self) -> str:
        found = find_chief(self._search_dir)
        if found is None:
            raise NoAnswer("there is no chief yet")
        return found[1]

    def _where(self) -> str:
        return self._fixed_address or f"the address in {self._search_dir}"

    def rest(self, duration_s: float) -> None:
        """Sleeps, but not on when the process is asked to end."""
        until_s = time.monotonic() + duration_s
        while not self._stop_request.is_made and (left_s := until_s - time.monotonic()) > 0:
            time.sleep(min(left_s, _LONGEST_NAP_S))

    def leave(self) -> None:
        """Hands back what this worker has, if the chief is there."""
        with suppress(NoAnswer, RunFailedError):
            self.ask_once("leave", timeout_s=_GOODBYE_S)
        if self._line is not None:
            self._line.close()


class _Worker:
    """What a worker does with the answers of the chief."""

    def __init__(
        self,
        search_dir: str,
        *,
        chief: _ChiefLink,
        runner: TrialRunner,
        service: ServiceConfig,
        stop_request: StopRequest,
    ) -> None:
        self._search_dir = search_dir
        self._chief = chief
        self._runner = runner
        self._service = service
        self._stop_request = stop_request
        self._known_owner: str | None = None
        self._lease_lost = threading.Event()
        # Why this worker must leave in the midst of a trial; it outlives whatever a runner makes of LeaseLost.
        self._way_out: Exception | None = None

    def work(self) -> None:
        """Asks for trials and runs them until there are no more."""
        was_told_of_name = False
        while True:
            self._heed_stop_request()
            reply = self._chief.ask("next")
            if reply["do"] == "stop":
                self._chief.say(f"the search is over: {reply['reason']}")
                return
            if reply["do"] == "refuse":
                raise UserError("another worker of this name is running: give each its own (KERASTUNER_TUNER_ID)")
            if reply["do"] == "train":
                self._check_shared_dir(reply["owner"])
                self._run_trial(_trial_of(reply, self._search_dir))
                continue
            if reply["for_name"] and not was_told_of_name:
                self._chief.say("the chief knows another worker of this name: waiting until that has been silent")
                was_told_of_name = True
            self._chief.rest(self._service.poll_s)

    def _heed_stop_request(self) -> None:
        if self._stop_request.is_made:
            raise RunAgainError("stopped by SIGTERM; the trial was handed back: the same command goes on")

    def _check_shared_dir(self, owner: str) -> None:
        """Makes sure that this worker and the chief mean the same directory.

        Raises:
            UserError: They do not.
        """
        until_s = time.monotonic() + _SHARED_DIR_S
        while self._known_owner != owner:
            if has_had_chief(self._search_dir, owner):
                self._known_owner = owner
            elif time.monotonic() > until_s:
                raise UserError(
                    f"search_dir={self._search_dir} is not where the chief keeps its search: all machines need the "
                    "same directory, on a shared disk or gs://"
                )
            else:
                time.sleep(_LONGEST_NAP_S)

    def _run_trial(self, trial: Trial) -> None:
        """Runs a trial and tells the chief what became of it."""
        self._chief.say(f"trial {trial.trial_id} begins or goes on")
        try:
            with self._beating(trial):
                outcome = self._runner.run(trial, report=self._reporter(trial))
        except LeaseLost:
            ending = None
        except RunAgainError:
            raise
        except TrialFailed as failure:
            ending = {"reason": _reason_of(str(failure))}
        except Exception as error:  # a trial that breaks must not break the search
            traceback.print_exc()
            ending = {"reason": _reason_of(f"{type(error).__name__}: {error}")}
        else:
            ending = _ending_of(outcome)
        if self._way_out is not None:
            raise self._way_out
        if ending is None:
            self._chief.say(f"trial {trial.trial_id} was given to another worker")
        else:
            self._chief.ask("end", trial_id=trial.trial_id, **ending)

    @contextmanager
    def _beating(self, trial: Trial) -> Iterator[None]:
        """Tells the chief now and then that this worker is there, while the body runs."""
        self._lease_lost.clear()
        done = threading.Event()

        def beat() -> None:
            while not done.wait(self._service.heartbeat_s):
                with suppress(NoAnswer, RunFailedError):
                    reply = self._chief.ask_once(
                        "heartbeat", timeout_s=self._service.heartbeat_s, trial_id=trial.trial_id
                    )
                    if not reply["has_lease"]:
                        self._lease_lost.set()

        thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def _reporter(self, trial: Trial) -> Any:
        def report(epoch: int, metrics: Mapping[str, float]) -> Verdict:
            if self._lease_lost.is_set():
                raise LeaseLost(f"trial {trial.trial_id}")
            numbers = {name: float(value) for name, value in metrics.items()}
            try:
                reply = self._chief.ask("report", trial_id=trial.trial_id, epoch=int(epoch), metrics=numbers)
            except (_SearchOver, RunFailedError) as error:
                self._way_out = error
                raise LeaseLost(f"trial {trial.trial_id}") from error
            if not reply["has_lease"]:
                raise LeaseLost(f"trial {trial.trial_id}")
            if not reply["go_on"]:
                return Verdict.STOP
            self._heed_stop_request()
            return Verdict.GO_ON

        return report


def _trial_of(order: Message, search_dir: str) -> Trial:
    return Trial(
        trial_id=order["trial_id"],
        values=order["values"],
        directory=trial_directory(search_dir, order["trial_id"]),
        until_epoch=order["until_epoch"],
        parent_id=order["parent_id"],
    )


def _ending_of(outcome: TrialOutcome) -> dict[str, Any]:
    note = None if outcome.note is None else _reason_of(outcome.note)
    metrics = {name: float(value) for name, value in outcome.metrics.items()}
    return {"metrics": metrics, "best_epoch": int(outcome.best_epoch), "note": note}


def _reason_of(text: str) -> str:
    return " ".join(text.split())[:_MAX_REASON_LENGTH] or "unknown"
