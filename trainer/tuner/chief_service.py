"""What the chief answers to workers: each change is on disk before anybody is told of it."""

import re
import threading
import time
from typing import Any

from beam_pipelines.common.errors import RunFailedError, UserError
from trainer.tuner.ledger import History, Ledger, TrialRecord
from trainer.tuner.messages import BadMessage, Handler, Message, epoch_of, metrics_of, text_of
from trainer.tuner.presence import Presence, Welcome
from trainer.tuner.service_config import ServiceConfig
from trainer.tuner.store import Document, Fence, Loaded
from trainer.tuner.trials import TrialOutcome, Verdict
from trainer.tuner.view import RUNNING, history_from_json, history_to_json

_WORKER_NAME = re.compile(r"[\w.-]{1,100}")


class ChiefService:
    """The ledger of a search, its files, and who is there. Its methods are called from many threads.

    Attributes:
        failure: What keeps the chief from going on; nobody is answered any more.
    """

    def __init__(self, search_dir: str, *, ledger: Ledger, service: ServiceConfig) -> None:
        self.failure: Exception | None = None
        self._search_dir = search_dir
        self._ledger = ledger
        self._fence: Fence
        self._service = service
        self._lock = threading.Lock()
        self._started_s = time.monotonic()
        self._presence = Presence(silent_s=3 * service.heartbeat_s, now_s=self._started_s)
        self._document = Document(search_dir, "search")
        self._histories: dict[str, Document] = {}
        self._told_end: set[str] = set()
        self._committed: Any = None
        self._committed_s = self._started_s
        self._logged: dict[str, str] = {}
        self._unsaid: list[str] = []
        self._progressed_s: dict[str, float] = {}
        self._fence_checked_s = self._started_s
        self._warnings: list[str] = []
        self._num_failures_warned_of = 0

    # At the start and from time to time.

    def begin(self, fence: Fence) -> list[str]:
        """Goes on with the state that was kept, as this chief's own. Returns what there is to say.

        The workers of running trials have a lease from now on.

        Args:
            fence: The right to write, which was taken before: what a chief before this one wrote later is not read.

        Raises:
            UserError: The state is damaged, or that of a search with other settings.
        """
        self._fence = fence
        lines: list[str] = []
        with self._lock:
            loaded = self._document.read()
            if loaded is not None:
                lines += [f"{line}: going on with the state before it" for line in loaded.damaged]
                self._restore(loaded, lines)
            for record in self._ledger.running():
                self._presence.call(str(record.worker), str(record.session), now_s=self._started_s)
            self._ledger.close_if_done(now_s=time.time())
            self._commit()
            self._logged = {record.trial_id: record.status for record in self._ledger.records.values()}
        return lines

    def _restore(self, loaded: Loaded, lines: list[str]) -> None:
        histories: dict[str, History] = {}
        for trial in loaded.payload["trials"]:
            trial_id = trial["trial_id"]
            try:
                history = self._history_document(trial_id).read()
            except UserError as error:
                lines.append(f"the epochs of trial {trial_id} are not known any more: {error}")
                continue
            if history is not None:
                lines += history.damaged
                histories[trial_id] = history_from_json(history.payload)
        self._ledger.restore(loaded.payload, histories=histories, is_older=bool(loaded.damaged))

    def tick(self, passed_s: float) -> list[str]:
        """Counts the time, and takes trials from workers that are silent. Returns what there is to say.

        Raises:
            Deposed: Another chief has taken over.
        """
        now_s = time.monotonic()
        if now_s - self._fence_checked_s >= self._service.heartbeat_s:
            self._fence.check()
            self._fence_checked_s = now_s
        with self._lock:
            self._ledger.elapsed_s += passed_s
            lines, self._unsaid = self._unsaid, []
            is_changed = False
            for record in self._ledger.running():
                how = self._how_lost(record, now_s=now_s)
                if how is not None:
                    lines.append(self._lose(record, how))
                    is_changed = True
            # Who watches sees the time and the epochs of trials that are running.
            is_due = now_s - self._committed_s >= self._service.heartbeat_s
            if self._ledger.close_if_done(now_s=time.time()) or is_changed or is_due:
                self._commit()
            warnings, self._warnings = self._warnings, []
            return [*lines, *self._news(), *warnings]

    def _how_lost(self, record: TrialRecord, *, now_s: float) -> str | None:
        """Returns in what way the worker of a running trial is lost; None where it is not."""
        silent_s = self._presence.silent_for_s(str(record.session), now_s=now_s, since_s=self._started_s)
        if silent_s > self._service.lease_s:
            return f"silent for {silent_s:.0f} s"
        limit_s = self._service.epoch_timeout_s
        stuck_s = now_s - self._progressed_s.setdefault(record.trial_id, now_s)
        if limit_s is not None and stuck_s > limit_s:
            return f"no epoch for {stuck_s:.0f} s"
        return None

    def _news(self) -> list[str]:
        """Returns a line for each trial that has begun or ended since the last call."""
        lines = []
        for record in self._ledger.records.values():
            if self._logged.get(record.trial_id) != record.status:
                self._logged[record.trial_id] = record.status
                lines.append(_describe(record))
        return lines

    def _warn_of_failures(self) -> None:
        """Keeps a line for each so many failures in a row. Between two ticks they may come and be over."""
        limit, num_failures = self._service.max_consecutive_failures, self._ledger.failures_in_a_row()
        if num_failures // limit > self._num_failures_warned_of // limit:
            self._warnings.append(f"{num_failures} trials failed in a row: see their reasons")
        self._num_failures_warned_of = num_failures

    def end_reason(self) -> str | None:
        """Returns why the search is over, once that is on disk; None while it is not.

        Raises:
            Exception: What keeps the chief from going on.
        """
        with self._lock:
            if self.failure is not None:
                raise self.failure
            return self._ledger.end_reason

    def nobody_for_s(self) -> float:
        """Returns for how long no worker has said anything."""
        return self._presence.nobody_for_s(now_s=time.monotonic())

    def all_know_the_end(self) -> bool:
        """Returns whether each worker that is there was told that the search is over."""
        return self._presence.sessions(now_s=time.monotonic()) <= self._told_end

    def handlers(self) -> dict[str, Handler]:
        """Returns what answers to each kind of message."""
        methods = {
            "next": self._next,
            "heartbeat": self._heartbeat,
            "report": self._report,
            "end": self._end,
            "leave": self._leave,
        }
        return {"ping": self._ping, **{name: self._guarded(method) for name, method in methods.items()}}

    def _guarded(self, method: Handler) -> Handler:
        """Returns a handler that answers nobody after a failure, and makes each error that is not the worker's one."""

        def handle(request: Message) -> Message:
            if self.failure is not None:
                raise RunFailedError("the chief is ending")
            try:
                return method(request)
            except BadMessage:
                raise
            except Exception as error:  # whatever it is, what is in memory may not be what is on disk
                self.failure = error
                raise

        return handle

    # The messages.

    def _ping(self, request: Message) -> Message:
        return {"owner": self._fence.term.owner}

    def _next(self, request: Message) -> Message:
        worker, session = _sender_of(request)
        welcome = self._presence.call(worker, session, now_s=time.monotonic())
        if welcome is Welcome.REFUSED:
            return {"do": "refuse"}
        with self._lock:
            if welcome is Welcome.WAIT and self._ledger.end_reason is None:
                return {"do": "wait", "for_name": True}
            for record in self._ledger.running():
                if record.worker == worker and record.session != session:
                    self._unsaid.append(self._lose(record, "replaced by another one of its name"))
            record_or_none = self._ledger.next_trial(worker, session, now_s=time.time())
            self._commit_if_changed()
            if record_or_none is not None:
                self._progressed_s[record_or_none.trial_id] = time.monotonic()
                return self._order_of(record_or_none)
            if self._ledger.end_reason is None:
                return {"do": "wait", "for_name": False}
            self._told_end.add(session)
            return {"do": "stop", "reason": self._ledger.end_reason}

    def _order_of(self, record: TrialRecord) -> Message:
        return {
            "do": "train",
            "owner": self._fence.term.owner,
            "trial_id": record.trial_id,
            "values": dict(record.values),
            "until_epoch": record.until_epoch,
            "parent_id": record.parent_id,
        }

    def _heartbeat(self, request: Message) -> Message:
        worker, session = _sender_of(request)
        self._presence.call(worker, session, now_s=time.monotonic())
        # Without the lock, which a search for the next point may hold for long.
        return {"has_lease": self._ledger.is_held_by(text_of(request, "trial_id"), session)}

    def _report(self, request: Message) -> Message:
        worker, session = _sender_of(request)
        trial_id, epoch, metrics = (
            text_of(request, "trial_id"),
            epoch_of(request, "epoch"),
            metrics_of(request, "metrics"),
        )
        self._presence.call(worker, session, now_s=time.monotonic())
        with self._lock:
            if not self._ledger.is_held_by(trial_id, session):
                return {"has_lease": False}
            self._progressed_s[trial_id] = time.monotonic()
            before = self._ledger.records[trial_id]
            verdict = self._ledger.report(trial_id, epoch, metrics)
            document = self._history_document(trial_id)
            document.write(history_to_json(self._ledger.histories[trial_id]), fence=self._fence)
            if self._ledger.records[trial_id] != before:
                self._commit()
        return {"has_lease": True, "go_on": verdict is Verdict.GO_ON}

    def _end(self, request: Message) -> Message:
        worker, session = _sender_of(request)
        trial_id = text_of(request, "trial_id")
        reason = text_of(request, "reason") if "reason" in request else None
        outcome = None if reason is not None else _outcome_of(request)
        self._presence.call(worker, session, now_s=time.monotonic())
        with self._lock:
            if not self._ledger.is_held_by(trial_id, session):
                # It is told again what it was told before, if that has not arrived.
                return {"has_lease": self._ledger.has_ended_in(trial_id, session)}
            if outcome is not None:
                self._ledger.complete(trial_id, outcome, now_s=time.time())
            else:
                self._ledger.fail(trial_id, str(reason), now_s=time.time())
            self._ledger.close_if_done(now_s=time.time())
            self._commit()
        return {"has_lease": True}

    def _leave(self, request: Message) -> Message:
        worker, session = _sender_of(request)
        with self._lock:
            held = [record.trial_id for record in self._ledger.running() if record.session == session]
            for trial_id in held:
                self._ledger.hand_back(trial_id)
            if held:
                self._commit()
        self._presence.leave(worker, session)
        return {}

    # The files.

    def _lose(self, record: TrialRecord, how: str) -> str:
        self._ledger.lose(record.trial_id, now_s=time.time())
        after = self._ledger.records[record.trial_id]
        fate = f"has failed: {after.reason}" if after.reason else "waits for another worker"
        return f"worker {record.worker} is lost ({how}): trial {record.trial_id} {fate}"

    def _commit(self) -> None:
        self._warn_of_failures()
        self._document.write(self._ledger.to_state(), fence=self._fence)
        self._committed = self._fingerprint()
        self._committed_s = time.monotonic()

    def _commit_if_changed(self) -> None:
        if self._fingerprint() != self._committed:
            self._commit()

    def _fingerprint(self) -> Any:
        return list(self._ledger.records.values()), self._ledger.end_reason

    def _history_document(self, trial_id: str) -> Document:
        return self._histories.setdefault(trial_id, Document(self._search_dir, "trials", trial_id))


def _describe(record: TrialRecord) -> str:
    line = f"trial {record.trial_id} {record.status}"
    if record.status == RUNNING:
        return f"{line} at {record.worker}"
    if record.score is not None:
        pruned = "" if record.stopped_by is None else f", ended early by {record.stopped_by}"
        return f"{line}: {record.score:.4g} at epoch {record.best_epoch}{pruned}"
    return line if record.reason is None else f"{line}: {record.reason}"


def _sender_of(request: Message) -> tuple[str, str]:
    worker, session = text_of(request, "worker"), text_of(request, "session")
    if not _WORKER_NAME.fullmatch(worker):
        raise BadMessage("worker: expected up to 100 letters, digits, dots, dashes and underscores")
    return worker, session


def _outcome_of(request: Message) -> TrialOutcome:
    note = text_of(request, "note") if request.get("note") is not None else None
    return TrialOutcome(metrics_of(request, "metrics"), epoch_of(request, "best_epoch"), note)
