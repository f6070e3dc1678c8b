"""What the chief answers to its workers. Each change is saved before the worker is answered."""

import threading
import time
from collections.abc import Callable

from beam_pipelines.common.errors import RunFailedError, UserError
from beam_pipelines.common.paths import is_in_bucket
from trainer.tuner.config import SearchConfig
from trainer.tuner.service.leader_lease import LeaderLease
from trainer.tuner.service.ledger import Ledger
from trainer.tuner.service.process_log import Log
from trainer.tuner.service.rpc import ChiefUnavailableError, Handler, InvalidRequestError, Message, WorkerRequest
from trainer.tuner.service.search_state import trial_history_file
from trainer.tuner.service.state_files import StateFile
from trainer.tuner.service.worker_registry import Admission, WorkerRegistry
from trainer.tuner.space.space import Space
from trainer.tuner.trial import Trial

# Each save is a new object in a bucket, and its request is billed.
_SAVE_INTERVAL_IN_BUCKET_S = 30.0


class ChiefServicer:
    """The ledger of a search, its files, and its workers. Its methods are called from many threads.

    Attributes:
        failure: The error that stops the chief; no worker is answered any more.
        ledger: The trials.
        registry: The workers.
    """

    def __init__(self, config: SearchConfig, space: Space, *, lease: LeaderLease, log: Log) -> None:
        """Resumes the search from its files. The workers of running trials are expected to be alive.

        Raises:
            UserError: The state is damaged, or belongs to a search with other settings.
        """
        self.failure: Exception | None = None
        self.ledger = Ledger(config, space, log=log)
        self._search_dir = config.search_dir
        self._service = config.service
        self._lease = lease
        self._log = log
        slowest_s = _SAVE_INTERVAL_IN_BUCKET_S if is_in_bucket(config.search_dir) else 0.0
        self._save_interval_s = max(self._service.heartbeat_s, slowest_s)
        self._lock = threading.Lock()
        now_s = time.monotonic()
        self.registry = WorkerRegistry(timeout_s=3 * self._service.heartbeat_s, now_s=now_s)
        self._state_file = StateFile(config.search_dir, "search")
        self._history_files: dict[str, StateFile] = {}
        self._last_progress_s: dict[str, float] = {}
        self._restore()
        for trial in self.ledger.running():
            self.registry.register(str(trial.worker), str(trial.worker_instance), now_s=now_s)
        self._saved_version: int | None = None
        self._saved_s = self._checked_s = now_s
        self._close_and_save()

    def _restore(self) -> None:
        saved = self._state_file.read()
        if saved is None:
            return
        for line in self._state_file.damaged:
            self._log(f"{line}: using the state before it")
        histories = {}
        for trial_id in (trial["trial_id"] for trial in saved["trials"]):
            file = self._history_file(trial_id)
            try:
                histories[trial_id] = file.read()
            except UserError as error:
                self._log(f"the epochs of trial {trial_id} are lost: {error}")
                continue
            for line in file.damaged:
                self._log(line)
        self.ledger.restore(saved, histories=histories, is_older=bool(self._state_file.damaged))

    def tick(self, passed_s: float) -> None:
        """Counts the time of the search, and takes trials from workers that are lost.

        Raises:
            LostLeadershipError: Another chief has taken over.
        """
        now_s = time.monotonic()
        with self._lock:
            self.ledger.elapsed_s += passed_s
            for trial in self.ledger.running():
                cause = self._loss_of_worker(trial, now_s=now_s)
                if cause is not None:
                    self.ledger.lose(trial.trial_id, cause, now_s=time.time())
            # `beamtune tune status` shows the time and the epochs of running trials.
            if now_s - self._saved_s >= self._save_interval_s:
                self._save()
            elif now_s - self._checked_s >= self._service.heartbeat_s:
                self._lease.check()
                self._checked_s = now_s
            self._close_and_save()

    def _loss_of_worker(self, trial: Trial, *, now_s: float) -> str | None:
        """Returns why the worker of a running trial counts as lost; None if it does not."""
        silent_s = self.registry.silent_for_s(trial.worker_instance, now_s=now_s)
        if silent_s > self._service.lease_s:
            return f"silent for {silent_s:.0f} s"
        limit_s = self._service.epoch_timeout_s
        stuck_s = now_s - self._last_progress_s.setdefault(trial.trial_id, now_s)
        return f"no epoch for {stuck_s:.0f} s" if limit_s is not None and stuck_s > limit_s else None

    def end_reason(self) -> str | None:
        """Returns why the search has ended, after that is saved; None until then.

        Raises:
            Exception: The failure of a handler.
        """
        with self._lock:
            if self.failure is not None:
                raise self.failure
            return self.ledger.end_reason

    def handlers(self) -> dict[str, Handler]:
        """Returns the functions that answer requests, by method."""
        methods = {
            "next": self._next,
            "heartbeat": self._heartbeat,
            "report": self._report,
            "end": self._end,
            "deregister": self._deregister,
        }
        return {"ping": self._ping} | {name: self._parsed_and_guarded(method) for name, method in methods.items()}

    def _parsed_and_guarded(self, method: Callable[[WorkerRequest], Message]) -> Handler:
        """Returns a handler of JSON messages. After an unexpected error, no handler answers any more."""

        def handle(message: Message) -> Message:
            request = WorkerRequest.parse(message)
            if self.failure is not None:
                raise RunFailedError("the chief is ending")
            try:
                return method(request)
            except (InvalidRequestError, ChiefUnavailableError):
                raise
            except Exception as error:  # the state in memory may differ from the saved one
                self.failure = error
                raise

        return handle

    def _ping(self, message: Message) -> Message:
        return {"chief": self._lease.owner}

    def _next(self, request: WorkerRequest) -> Message:
        worker, instance = request.worker, request.instance
        admission = self.registry.register(worker, instance, now_s=time.monotonic())
        if admission is Admission.REFUSED:
            return {"action": "refuse"}
        with self._lock:
            if admission is Admission.WAIT and self.ledger.end_reason is None:
                return {"action": "wait", "for_name": True}
            for trial in self.ledger.running():
                if trial.worker == worker and trial.worker_instance != instance:
                    self.ledger.lose(trial.trial_id, "replaced by a new process of its name", now_s=time.time())
            assigned = self.ledger.next_trial(worker, instance, now_s=time.time())
            self._close_and_save()
            if assigned is not None:
                self._last_progress_s[assigned.trial_id] = time.monotonic()
                history = self.ledger.with_parent_history(assigned).history_to_json()
                return {
                    "action": "train",
                    "chief": self._lease.owner,
                    "trial": assigned.to_json(),
                    "history": history,
                }
            if self.ledger.end_reason is None:
                return {"action": "wait", "for_name": False}
            return {"action": "stop", "reason": self.ledger.end_reason}

    def _heartbeat(self, request: WorkerRequest) -> Message:
        self.registry.register(request.worker, request.instance, now_s=time.monotonic())
        # A worker asks another chief only when this one does not reply. One that has taken over gives the trials of
        # silent workers away after lease_s: this one must not confirm them for so long without a check.
        if time.monotonic() - self._checked_s > self._service.lease_s / 2:
            raise ChiefUnavailableError("the lease of the chief could not be checked")
        # Without the lock: the search for the next point may hold it for seconds.
        return {"has_lease": self.ledger.is_held_by(request.trial_id, request.instance)}

    def _report(self, request: WorkerRequest) -> Message:
        trial_id = request.trial_id
        self.registry.register(request.worker, request.instance, now_s=time.monotonic())
        with self._lock:
            if not self.ledger.is_held_by(trial_id, request.instance):
                return {"has_lease": False}
            self._last_progress_s[trial_id] = time.monotonic()
            should_continue = self.ledger.report(
                trial_id, request.epoch, request.metrics, duration_s=request.duration_s
            )
            history = self.ledger.trials[trial_id].history_to_json()
            self._history_file(trial_id).write(history, lease=self._lease)
            self._close_and_save()
        return {"has_lease": True, "should_continue": should_continue}

    def _end(self, request: WorkerRequest) -> Message:
        trial_id = request.trial_id
        self.registry.register(request.worker, request.instance, now_s=time.monotonic())
        with self._lock:
            # A worker repeats a request whose reply it has not received.
            if self.ledger.is_held_by(trial_id, request.instance):
                if request.reason is None:
                    self.ledger.complete(trial_id, request.result, now_s=time.time())
                else:
                    self.ledger.fail(trial_id, request.reason, now_s=time.time())
                self._close_and_save()
            return {"has_lease": self.ledger.was_ended_by(trial_id, request.instance)}

    def _deregister(self, request: WorkerRequest) -> Message:
        with self._lock:
            for trial in self.ledger.running():
                if trial.worker_instance == request.instance:
                    self.ledger.requeue(trial.trial_id)
            self._close_and_save()
        self.registry.deregister(request.worker, request.instance)
        return {}

    def _save(self) -> None:
        started_s = time.monotonic()
        self._state_file.write(self.ledger.to_json(), lease=self._lease)
        self._saved_version = self.ledger.version
        self._saved_s = self._checked_s = started_s

    def _close_and_save(self) -> None:
        """Ends the search if it is done, and saves what has changed."""
        self.ledger.close_if_done(now_s=time.time())
        if self.ledger.version != self._saved_version:
            self._save()

    def _history_file(self, trial_id: str) -> StateFile:
        return self._history_files.setdefault(trial_id, trial_history_file(self._search_dir, trial_id))
