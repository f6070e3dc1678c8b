"""The process that assigns the trials of a search to workers and keeps its state."""

import socket
import time
from contextlib import closing, suppress

from beam_pipelines.common.errors import RunFailedError, UserError
from trainer.common.stop_on_sigterm import StopRequest, stop_on_sigterm
from trainer.tuner.config import SearchConfig
from trainer.tuner.service.config import ServiceConfig
from trainer.tuner.service.leader_lease import LeaderLease, find_leader
from trainer.tuner.service.process_log import Log, make_log
from trainer.tuner.service.rpc import Channel, ChiefUnavailableError, add_handlers, make_server
from trainer.tuner.service.search_state import SearchState, read_search
from trainer.tuner.service.servicer import ChiefServicer
from trainer.tuner.space.space import Space

_TICK_S = 0.25
_PING_TIMEOUT_S = 3.0
# How long workers have to learn from the chief that the search has ended; later they read it in the search_dir.
_SHUTDOWN_S = 5.0
_FIRST_REMINDER_S = 30.0
_ALL_INTERFACES = ("0.0.0.0", "[::]")  # noqa: S104 - the chief of a cluster listens there


def run_chief(config: SearchConfig, *, space: Space, host: str = "127.0.0.1") -> SearchState:
    """Runs a search, or resumes one, until all its trials have ended.

    Args:
        config: The search. When it is resumed, what decides about its trials must be the same; its budget, its pruning
            and its service may differ.
        space: What is searched.
        host: The address to listen on; 127.0.0.1 for workers on this machine only.

    Returns:
        The search at its end.

    Raises:
        UserError: search_dir has another search or a running chief, its state is damaged, or the port cannot be used.
        RunFailedError: No trial has succeeded, too many failed in a row, there were no workers, the state cannot be
            written, or another chief has taken over.
        RunAgainError: SIGTERM came; the same call resumes the search.
    """
    log = make_log("chief")
    with stop_on_sigterm("the state of the search is saved") as stop_request:
        _check_no_other_chief(config.search_dir)
        server, port = make_server(host, config.service.port)
        try:
            address = f"{socket.gethostname() if host in _ALL_INTERFACES else host}:{port}"
            lease = LeaderLease.acquire(config.search_dir, address=address)
            servicer = ChiefServicer(config, space, lease=lease, log=log)
            add_handlers(server, servicer.handlers())
            server.start()
            log(f"waiting for workers at {address}")
            reason = _serve(servicer, config.service, stop_request=stop_request, log=log)
            log(f"the search has ended: {reason}")
            deadline_s = time.monotonic() + _SHUTDOWN_S
            while servicer.registry.alive(now_s=time.monotonic()) and time.monotonic() < deadline_s:
                time.sleep(_TICK_S / 2)
        finally:
            server.stop(grace=1.0).wait()
    if servicer.ledger.has_failed:
        raise RunFailedError(reason)
    return read_search(config.search_dir)


def _check_no_other_chief(search_dir: str) -> None:
    found = find_leader(search_dir)
    if found is None:
        return
    lease, address = found
    with closing(Channel(address)) as channel, suppress(ChiefUnavailableError, RunFailedError):
        if channel.call("ping", {}, timeout_s=_PING_TIMEOUT_S).get("chief") == lease.owner:
            raise UserError(f"search_dir={search_dir} is in use by the chief at {address}: stop that one first")


def _serve(servicer: ChiefServicer, service: ServiceConfig, *, stop_request: StopRequest, log: Log) -> str:
    """Waits until the search has ended, and returns why it has."""
    tick_s = time.monotonic()
    reminder_s = _FIRST_REMINDER_S
    while True:
        reason = servicer.end_reason()
        if reason is not None:
            return reason
        if stop_request.is_set:
            raise stop_request.error("; everything is saved: the same command resumes the search")
        time.sleep(_TICK_S)
        last_tick_s, tick_s = tick_s, time.monotonic()
        servicer.tick(tick_s - last_tick_s)
        idle_s = servicer.registry.no_worker_for_s(now_s=tick_s)
        if idle_s >= service.wait_for_workers_s:
            raise RunFailedError(
                f"no worker was connected for {idle_s:.0f} s (service.wait_for_workers_s); everything is saved: start "
                "the same command and workers again"
            )
        if idle_s < _FIRST_REMINDER_S:
            reminder_s = min(_FIRST_REMINDER_S, service.lease_s)
        if idle_s >= reminder_s:
            reminder_s = 2 * idle_s
            left_s = service.wait_for_workers_s - idle_s
            log(f"no worker has been connected for {idle_s:.0f} s: waiting {left_s:.0f} s more")
