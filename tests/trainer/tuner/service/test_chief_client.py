"""How a worker finds the chief: servers that say who they are, and leases that name their addresses."""

from pathlib import Path

import pytest
from tuner_processes import QUICK

from trainer.common.stop_on_sigterm import StopRequest
from trainer.tuner.service import chief_client
from trainer.tuner.service.chief_client import ChiefClient
from trainer.tuner.service.leader_lease import LeaderLease
from trainer.tuner.service.rpc import ChiefUnavailableError, add_handlers, make_server


def start_chief(search_dir: str, name: str):
    server, port = make_server("127.0.0.1", None)
    add_handlers(server, {"ping": lambda message: {"chief": name}})
    server.start()
    LeaderLease.acquire(search_dir, address=f"127.0.0.1:{port}")
    return server


def test_the_chief_is_looked_up_again_only_when_it_does_not_reply(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    search_dir, looked_up = str(tmp_path), []
    find_leader = chief_client.find_leader

    def find(search_dir: str):
        looked_up.append(search_dir)
        return find_leader(search_dir)

    monkeypatch.setattr(chief_client, "find_leader", find)
    client = ChiefClient(search_dir, worker="a", address=None, service=QUICK, stop_request=StopRequest())
    with pytest.raises(ChiefUnavailableError, match="no chief has started yet"):
        client.call_once("ping", timeout_s=60)
    first = start_chief(search_dir, "first")
    assert [client.call("ping")["chief"] for _ in range(3)] == ["first"] * 3
    assert len(looked_up) == 2
    first.stop(grace=None).wait()
    second = start_chief(search_dir, "second")
    with pytest.raises(ChiefUnavailableError):
        client.call_once("ping", timeout_s=60)
    assert [client.call("ping")["chief"] for _ in range(3)] == ["second"] * 3
    assert len(looked_up) == 3
    client.close()
    second.stop(grace=None).wait()
