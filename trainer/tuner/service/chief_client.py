"""How a worker sends requests to the chief, wherever that runs now."""

import random
import secrets
import threading
import time
from contextlib import suppress
from typing import Any

from beam_pipelines.common.bucket_errors import BucketOutageError
from beam_pipelines.common.errors import RunFailedError, UserError
from beam_pipelines.common.retries import without_retries
from trainer.common import files
from trainer.common.stop_on_sigterm import StopRequest
from trainer.tuner.service.config import ServiceConfig
from trainer.tuner.service.leader_lease import find_leader
from trainer.tuner.service.process_log import make_log
from trainer.tuner.service.rpc import Channel, ChiefUnavailableError, Message
from trainer.tuner.service.state_files import StateFile

_REQUEST_TIMEOUT_S = 60.0
_DEREGISTER_TIMEOUT_S = 3.0
_FIRST_PAUSE_S = 0.2
_MAX_PAUSE_S = 10.0
_SLEEP_STEP_S = 0.25


class SearchEndedError(Exception):
    """The chief has exited because the search has ended."""


class ChiefClient:
    """Sends requests, and retries while the chief restarts."""

    def __init__(
        self, search_dir: str, *, worker: str, address: str | None, service: ServiceConfig, stop_request: StopRequest
    ) -> None:
        """Connects with the first request.

        Without the address of the chief, host:port, it is read from search_dir, and again after each request without a
        reply. stop_request interrupts retries and pauses.
        """
        self.search_dir = search_dir
        self.service = service
        self.stop_request = stop_request
        self.log = make_log(worker)
        self._worker = worker
        self._instance = secrets.token_hex(8)
        self._address = address
        self._channel: Channel | None = None
        self._must_find_chief = True
        self._channel_lock = threading.Lock()
        self._was_connected = False

    def call(self, method: str, **fields: Any) -> Message:
        """Sends a request until there is a reply.

        Raises:
            SearchEndedError: There is none, because the search has ended.
            RunFailedError: There was none for `service.wait_for_chief_s`.
            RunAgainError: SIGTERM came meanwhile.
        """
        started_s, pause_s = time.monotonic(), _FIRST_PAUSE_S
        while True:
            left_s = self.service.wait_for_chief_s - (time.monotonic() - started_s)
            try:
                reply = self.call_once(method, timeout_s=min(_REQUEST_TIMEOUT_S, max(left_s, 1.0)), **fields)
            except ChiefUnavailableError:
                if pause_s == _FIRST_PAUSE_S:
                    self.log(f"no reply from the chief at {self._where()}: waiting for it for {left_s:.0f} s")
                self._check_should_retry(waited_s=time.monotonic() - started_s)
                # With jitter, so that not all workers retry at the same time.
                self.sleep(pause_s * random.SystemRandom().uniform(0.5, 1.0))
                pause_s = min(2 * pause_s, _MAX_PAUSE_S)
            else:
                self._was_connected = True
                return reply

    def _check_should_retry(self, *, waited_s: float) -> None:
        if self.stop_request.is_set:
            raise self.stop_request.error(" while the chief did not reply; the same command resumes the search")
        # At first, a search that has ended may be one that a chief is about to resume.
        may_be_resumed = not self._was_connected and waited_s < min(self.service.lease_s, self.service.wait_for_chief_s)
        if not may_be_resumed and self._has_search_ended():
            raise SearchEndedError
        if waited_s >= self.service.wait_for_chief_s:
            raise RunFailedError(
                f"no reply from the chief at {self._where()} for {waited_s:.0f} s (service.wait_for_chief_s): "
                "start the chief, then this worker again"
            )

    def _has_search_ended(self) -> bool:
        with suppress(UserError, files.FileError, BucketOutageError), without_retries():
            saved = StateFile(self.search_dir, "search").read()
            return saved is not None and saved["end_reason"] is not None
        return False

    def call_once(self, method: str, *, timeout_s: float, **fields: Any) -> Message:
        """Sends a request once. Safe for threads.

        Raises:
            ChiefUnavailableError: There is no reply.
            RunFailedError: The chief refuses the request.
        """
        request = {"worker": self._worker, "instance": self._instance, **fields}
        try:
            return self._connect().call(method, request, timeout_s=timeout_s)
        except ChiefUnavailableError:
            self._must_find_chief = True
            raise

    def _connect(self) -> Channel:
        with self._channel_lock:
            if self._channel is None or self._must_find_chief:
                address = self._address or self._find_chief()
                if self._channel is None or self._channel.address != address:
                    # The old channel stays open: another thread may be using it.
                    self._channel = Channel(address)
                self._must_find_chief = False
            return self._channel

    def _find_chief(self) -> str:
        try:
            with without_retries():  # who calls tries again, and a heartbeat must not wait
                found = find_leader(self.search_dir)
        except (files.FileError, BucketOutageError) as error:
            raise ChiefUnavailableError(f"{self.search_dir} cannot be listed: {error}") from error
        if found is None:
            raise ChiefUnavailableError("no chief has started yet")
        return found[1]

    def _where(self) -> str:
        return self._address or f"the address in {self.search_dir}"

    def sleep(self, duration_s: float) -> None:
        """Sleeps until SIGTERM comes, at most for the given time."""
        deadline_s = time.monotonic() + duration_s
        while not self.stop_request.is_set and (left_s := deadline_s - time.monotonic()) > 0:
            time.sleep(min(left_s, _SLEEP_STEP_S))

    def close(self) -> None:
        """Returns the worker's trial to the queue if the chief replies, and disconnects."""
        with suppress(ChiefUnavailableError, RunFailedError):
            self.call_once("deregister", timeout_s=_DEREGISTER_TIMEOUT_S)
        if self._channel is not None:
            self._channel.close()
