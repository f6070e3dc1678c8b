"""A server of MLflow for all tests here."""

import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

_SERVER = Path(__file__).resolve().parents[2] / "helpers" / "mlflow_server.py"
_START_S = 240.0


@dataclass(frozen=True)
class MlflowServer:
    """A running server, and MLflow's own client of it."""

    uri: str
    client: Any

    def runs(self, experiment: str) -> list[Any]:
        """Returns the runs of an experiment, the oldest first."""
        found = self.client.get_experiment_by_name(experiment)
        runs = [] if found is None else self.client.search_runs([found.experiment_id])
        return sorted(runs, key=lambda run: (run.info.start_time, run.info.run_name))

    def histories(self, run: Any) -> dict[str, list[tuple[int, float]]]:
        """Returns (step, value) of each metric of a run, in the order in which they were written."""
        return {
            name: [(one.step, one.value) for one in self.client.get_metric_history(run.info.run_id, name)]
            for name in run.data.metrics
        }

    def files(self, run: Any, folder: str | None = None) -> list[str]:
        return [one.path for one in self.client.list_artifacts(run.info.run_id, folder)]


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    pytest.importorskip("mlflow", reason="MLflow is not installed")
    pytest.importorskip("flask", reason="the requirements of MLflow's server are not installed")
    folder = tmp_path_factory.mktemp("mlflow")
    with open(folder / "log", "w") as log:
        process = subprocess.Popen([sys.executable, str(_SERVER), str(folder)], stdout=log, stderr=log, cwd=folder)
    try:
        ended_s = time.monotonic() + _START_S
        while not (folder / "port").exists():
            assert process.poll() is None and time.monotonic() < ended_s, (folder / "log").read_text()
            time.sleep(0.1)
        from trainer.tracking.mlflow_session import make_client

        uri = f"http://127.0.0.1:{(folder / 'port').read_text()}"
        yield MlflowServer(uri, make_client(uri))
    finally:
        process.kill()
        process.wait()
