"""How many requests a search in a bucket makes, on a clock of the test: at most 30 of class A a minute and worker."""

import fnmatch
from types import SimpleNamespace

import pytest
from tuner_processes import OBJECTIVE, SPACE, search_config

from beam_pipelines.common.lease import HEARTBEAT_S
from trainer.common import files
from trainer.tuner.local import SHOW_INTERVAL_IN_BUCKET_S
from trainer.tuner.service.config import BudgetConfig, ServiceConfig
from trainer.tuner.service.leader_lease import LeaderLease
from trainer.tuner.service.search_state import read_search
from trainer.tuner.service.servicer import ChiefServicer

MINUTES = 4
TICK_S = 0.25
# The shortest for which the budget is: each epoch is saved before the worker is answered.
EPOCH_S = 4.0
EPOCHS = 15
BUDGET = 30


class Bucket:
    """The objects of a bucket in memory.

    Attributes:
        num_class_a: Writes and listings.
    """

    def __init__(self) -> None:
        self.num_class_a = 0
        self._texts: dict[str, str] = {}

    def write_text(self, path: str, text: str) -> None:
        self.num_class_a += 1
        self._texts[path] = text

    def list_if_exists(self, directory: str) -> list[str]:
        self.num_class_a += 1
        return sorted(path.rpartition("/")[2] for path in fnmatch.filter(self._texts, f"{directory}/*"))

    def read_text(self, path: str) -> str:
        return self._texts[path]

    def remove(self, path: str) -> None:
        del self._texts[path]


@pytest.mark.parametrize("num_workers", [1, 2, 8])
def test_a_search_makes_few_requests(num_workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    now_s, bucket = 0.0, Bucket()
    clock = SimpleNamespace(monotonic=lambda: now_s, time=lambda: now_s)
    monkeypatch.setattr("trainer.tuner.service.servicer.time", clock)
    for name in ("write_text", "list_if_exists", "read_text", "remove"):
        monkeypatch.setattr(files, name, getattr(bucket, name))
    config = search_config(
        search_dir="gs://bucket/search",
        budget=BudgetConfig(max_trials=1_000),
        service=ServiceConfig(),
        epochs=EPOCHS,
    )
    lease = LeaderLease.acquire(config.search_dir, address="127.0.0.1:1")
    chief = ChiefServicer(config, SPACE, lease=lease, log=lambda line: None)
    handlers = chief.handlers()
    workers = [{"worker": f"tuner-{number}", "instance": str(number)} for number in range(num_workers)]
    trials = [str(handlers["next"](worker)["trial"]["trial_id"]) for worker in workers]
    epochs, bucket.num_class_a = [0] * num_workers, 0

    for tick in range(1, round(60 * MINUTES / TICK_S) + 1):
        now_s = tick * TICK_S
        chief.tick(TICK_S)
        if now_s % SHOW_INTERVAL_IN_BUCKET_S == 0:
            read_search(config.search_dir, with_all_histories=False)
        if now_s % HEARTBEAT_S == 0:
            bucket.num_class_a += 1  # the lease of the command
        for number, worker in enumerate(workers):
            if now_s % config.service.heartbeat_s == 0:
                assert handlers["heartbeat"]({**worker, "trial_id": trials[number]}) == {"has_lease": True}
            if (now_s + number) % EPOCH_S == 0:
                epochs[number] += 1
                progress = {"trial_id": trials[number], "epoch": epochs[number], "metrics": {OBJECTIVE: 0.5}}
                handlers["report"]({**worker, **progress, "duration_s": EPOCH_S})
                if epochs[number] == EPOCHS:
                    handlers["end"]({**worker, **progress})
                    trials[number], epochs[number] = str(handlers["next"](worker)["trial"]["trial_id"]), 0

    assert len(chief.ledger.trials) > MINUTES * num_workers * 0.9
    assert bucket.num_class_a <= BUDGET * MINUTES * num_workers
    # Saved are the epochs, which most of the budget is for.
    assert bucket.num_class_a > MINUTES * num_workers * 60 / EPOCH_S
