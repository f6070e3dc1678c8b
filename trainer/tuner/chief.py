"""The process that hands out the trials of a search and keeps its state."""

import socket
import sys
import time

from beam_pipelines.common.errors import RunAgainError, RunFailedError, UserError
from trainer.common.stop_on_sigterm import StopRequest, stop_on_sigterm
from trainer.tuner.chief_service import ChiefService
from trainer.tuner.ledger import Ledger
from trainer.tuner.messages import Line, NoAnswer, make_server
from trainer.tuner.oracles import OracleSettings
from trainer.tuner.service_config import BudgetConfig, PruningConfig, ServiceConfig
from trainer.tuner.store import Fence, find_chief
from trainer.tuner.view import SearchView, read_search

_TICK_S = 0.25
_PING_S = 3.0
# How long workers are given to ask once more and to hear that the search is over. Others find it in the search_dir.
_FAREWELL_S = 5.0
_FIRST_REMINDER_S = 30.0
_ALL_INTERFACES = ("0.0.0.0", "[::]")  # noqa: S104 - what a cluster's chief is told


def run_chief(
    search_dir: str,
    *,
    oracle_settings: OracleSettings,
    budget: BudgetConfig,
    pruning: PruningConfig,
    service: ServiceConfig,
    host: str = "127.0.0.1",
) -> SearchView:
    """Runs a search, or goes on with one that was broken off, until all its trials have ended.

    Args:
        search_dir: Where the search is, local or gs://; all machines must see it.
        oracle_settings: What decides which trials are made; a search that is gone on with must have the same.
        budget: When it is over; this may differ from what it was.
        pruning: Which trials are ended early.
        service: How chief and workers keep in touch.
        host: The address to listen at; 127.0.0.1 for workers on this machine alone.

    Returns:
        The search, at its end.

    Raises:
        UserError: There is another search in search_dir, another chief runs it, its state is damaged, or the port
            cannot be had.
        RunFailedError: No trial has succeeded, too many failed in a row, there were no workers, the state cannot be
            written, or another chief has taken over.
        RunAgainError: The process was asked to end; the same call goes on.
    """
    with stop_on_sigterm() as stop_request:
        _check_is_alone(search_dir)
        ledger = Ledger(oracle_settings, budget=budget, pruning=pruning, service=service)
        chief = ChiefService(search_dir, ledger=ledger, service=service)
        server, port = make_server(chief.handlers(), host=host, port=service.port)
        try:
            address = f"{socket.gethostname() if host in _ALL_INTERFACES else host}:{port}"
            for line in chief.begin(Fence.take(search_dir, address=address)):
                _say(line)
            server.start()
            _say(f"waiting for workers at {address}")
            reason = _serve(chief, service=service, stop_request=stop_request)
            _say(f"the search is over: {reason}")
            _take_leave(chief)
        finally:
            server.stop(grace=1.0).wait()
    if ledger.has_failed:
        raise RunFailedError(reason)
    return read_search(search_dir)


def _check_is_alone(search_dir: str) -> None:
    """Raises a UserError if another chief runs this search."""
    found = find_chief(search_dir)
    if found is None:
        return
    term, address = found
    line = Line(address)
    try:
        reply = line.call("ping", {}, timeout_s=_PING_S)
    except (NoAnswer, RunFailedError):
        return
    finally:
        line.close()
    if reply.get("owner") == term.owner:
        raise UserError(f"search_dir={search_dir} is being searched by the chief at {address}: end that one first")


def _serve(chief: ChiefService, *, service: ServiceConfig, stop_request: StopRequest) -> str:
    """Waits until the search is over. Returns why it is."""
    ticked_s = time.monotonic()
    reminder_s = _FIRST_REMINDER_S
    while True:
        reason = chief.end_reason()
        if reason is not None:
            return reason
        if stop_request.is_made:
            raise RunAgainError("stopped by SIGTERM; all is saved: the same command goes on with the search")
        time.sleep(_TICK_S)
        now_s = time.monotonic()
        for line in chief.tick(now_s - ticked_s):
            _say(line)
        ticked_s = now_s
        nobody_s = chief.nobody_for_s()
        if nobody_s >= service.wait_for_workers_s:
            raise RunFailedError(
                f"no worker was there for {nobody_s:.0f} s (service.wait_for_workers_s); all is saved: start the same "
                "command again, and workers"
            )
        if nobody_s < _FIRST_REMINDER_S:
            reminder_s = min(_FIRST_REMINDER_S, service.lease_s)
        if nobody_s >= reminder_s:
            reminder_s = 2 * nobody_s
            left_s = service.wait_for_workers_s - nobody_s
            _say(f"no worker has been here for {nobody_s:.0f} s: waiting for one for {left_s:.0f} s more")


def _take_leave(chief: ChiefService) -> None:
    """Waits until the workers know that the search is over, or have had their time."""
    until_s = time.monotonic() + _FAREWELL_S
    while not chief.all_know_the_end() and time.monotonic() < until_s:
        time.sleep(_TICK_S / 2)


def _say(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} chief: {line}", file=sys.stderr, flush=True)
