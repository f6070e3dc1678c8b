"""`beamtune tensorboard` shows a run in a bucket."""

import re
import time
from pathlib import Path
from typing import Any

import pytest
import requests
from gcs.fixture import Gcs

from trainer.common.event_files import EventFile

pytestmark = pytest.mark.slow

WAIT_S = 300  # only ends a test that hangs


def ask(address: str, route: str) -> Any:
    return requests.get(f"{address}data/{route}", timeout=60).json()


def test_scalars_of_a_run_in_a_bucket(gcs: Gcs, tmp_path: Path) -> None:
    with EventFile(str(tmp_path / "first" / "train"), suffix=".v2") as events:
        for step, value in enumerate([0.5, 0.25]):
            events.scalar("loss", value, step=step)
    gcs.upload(tmp_path, "runs")
    with gcs.start(["tensorboard", f"{gcs.url}/runs", "port=0"]) as process:
        try:
            line = process.stdout.readline()
            address = re.search(r"http://\S+", line)
            assert address is not None, line
            deadline_s = time.monotonic() + WAIT_S
            while not (runs := ask(address[0], "runs")):
                assert time.monotonic() < deadline_s
                time.sleep(0.2)
            assert runs == ["first/train"]
            found = ask(address[0], "plugin/scalars/scalars?tag=loss&run=first/train")
            assert [(step, value) for _, step, value in found] == [(0, 0.5), (1, 0.25)]
        finally:
            process.kill()
    gcs.check_network("tensorflow", "python")
