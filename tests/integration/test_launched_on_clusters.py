"""Manifests and batch scripts, from the bucket to the machines: what they say is started here, as clusters would."""

import json
import os
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from forked_command import ForkedCommand
from gcs.fixture import Gcs
from kubernetes_pods import Pod, pods_of
from slurm_job import SlurmJob

from configs.cli import main
from trainer.tuner.service.checked_json import load_checked

pytestmark = pytest.mark.slow

SPACE = "search: {optimizer.learning_rate: {log: [0.003, 0.1]}}"
NETWORK = (
    *("model.filters=[4,4]", "model.time_pools=[4,4]", "model.band_pools=[4,4]", "model.hidden_units=4"),
    *("board.confusion_matrix=false", "board.num_spectrograms=0", "board.num_mistakes=0", "board.num_embeddings=0"),
)
SEARCH = ("tuner=random", "budget.max_trials=2", "epochs=1", "service.wait_for_chief_s=300")
RUN_AGAIN = 75
WAIT_S = 300


@pytest.fixture(scope="module")
def folder(write_tune_folder: Callable[[Path, str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """data/, which is prepared, and space.yaml."""
    return write_tune_folder(tmp_path_factory.mktemp("clusters"), SPACE)


@pytest.fixture(scope="module")
def run(folder: Path) -> Path:
    """A run."""
    words = ["train", f"data_dir={folder}/data", f"run_dir={folder}/runs/first", "epochs=1", *NETWORK]
    with ForkedCommand(words, cwd=folder) as process:
        _, err = process.communicate(2 * WAIT_S)
    assert process.returncode == 0, err
    return folder / "runs" / "first"


def rendered(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    """Returns what a launch prints with --dry-run."""
    capsys.readouterr()
    assert main(["launch", *map(str, words), "--dry-run"]) == 0, capsys.readouterr().err
    return capsys.readouterr().out


def pods(capsys: pytest.CaptureFixture[str], *words: object) -> list[Pod]:
    image = "launch.image=registry.example/beamtune:1"
    return pods_of(list(yaml.safe_load_all(rendered(capsys, "kubernetes", *words, image))))


class Cluster:
    """Pods on this machine: a port for each name in DNS, and folders in place of volumes.

    Attributes:
        processes: The processes of the pods, in their order; None for pods that were not started.
    """

    def __init__(self, pods: Sequence[Pod], *, folder: Path, environment: Mapping[str, str]) -> None:
        self._pods = pods
        self._folder = folder
        self._environment = environment
        self._ports = {pod.domain_name: free_port() for pod in pods if pod.domain_name is not None}
        self.processes: list[ForkedCommand | None] = [None] * len(pods)

    def start(self, index: int) -> ForkedCommand:
        """Starts a pod, as its Job does, too, after it has failed."""
        pod = self._pods[index]
        variables = dict(pod.environment)
        for name, port in self._ports.items():
            for key, value in variables.items():
                variables[key] = value.replace(f"{name}:2222", f"127.0.0.1:{port}")
        assert ".svc" not in str(variables)
        variables |= {key: str(self._folder) for key, value in variables.items() if value == "/tmp"}  # noqa: S108
        assert pod.words[0] == "beamtune"
        words = [word.replace("=/data/", f"={self._folder}/") for word in pod.words[1:]]
        found = ForkedCommand(words, cwd=self._folder, environment={**self._environment, **variables})
        self.processes[index] = found
        return found

    def finish(self) -> list[str]:
        """Starts pods again that were interrupted, until all have succeeded; returns what they printed."""
        outputs = [""] * len(self._pods)
        deadline_s = time.monotonic() + 2 * WAIT_S
        while any(one is not None for one in self.processes):
            assert time.monotonic() < deadline_s
            for index, one in enumerate(self.processes):
                if one is None or one.poll() is None:
                    continue
                out, err = one.communicate()
                outputs[index] += out
                self.processes[index] = None
                if one.returncode == RUN_AGAIN or one.returncode < 0:
                    self.start(index)
                else:
                    assert one.returncode == 0, err
            time.sleep(0.1)
        return outputs

    def kill(self) -> None:
        """Ends all pods at once."""
        for one in self.processes:
            if one is not None:
                one.kill()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def trials_of(state: Mapping[str, bytes]) -> list[dict[str, Any]]:
    trials: list[dict[str, Any]] = load_checked(state[max(state)].decode())["trials"]
    return trials


def test_a_search_runs_on_the_chief_and_the_workers_of_two_jobs(
    gcs: Gcs, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gcs.upload(folder / "data", "prepared")
    gcs.write("space.yaml", SPACE.encode())
    paths = (f"data_dir={gcs.url}/prepared", f"search_dir={gcs.url}/search", f"space={gcs.url}/space.yaml")
    found = pods(capsys, "tune", *paths, *SEARCH, *NETWORK, "launch.replicas=2")
    assert [(pod.job.rpartition("-")[2], pod.index) for pod in found] == [("chief", 0), ("workers", 0), ("workers", 1)]
    cluster = Cluster(found, folder=tmp_path, environment=gcs.environment)
    try:
        for index in range(len(found)):
            cluster.start(index)
        chief, *_ = cluster.finish()
    finally:
        cluster.kill()
    assert "2 of 2 trials ended" in chief
    trials = trials_of(gcs.contents("search/state/search"))
    assert [trial["status"] for trial in trials] == ["COMPLETED", "COMPLETED"]


# tests/trainer/training/test_distributed.py kills a worker that no launch has started.
@pytest.mark.exhaustive
def test_workers_that_train_together_go_on_when_one_is_killed(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """All pods of the Job end with it, with a code that does not count, and the new ones resume."""
    (tmp_path / "prepared").symlink_to(folder / "data")
    paths = ("data_dir=/data/prepared", "run_dir=/data/run", "launch.volumes={/data: music}")
    longer = ("epochs=20", "early_stopping_patience_epochs=null", "steps_per_call=1", "checkpoint_interval_s=1")
    found = pods(capsys, "train", *paths, *longer, *NETWORK, "launch.replicas=2")
    cluster = Cluster(found, folder=tmp_path, environment=os.environ)
    try:
        first, second = cluster.start(0), cluster.start(1)
        checkpoints, deadline_s = tmp_path / "run" / "checkpoints" / "checkpoints.json", time.monotonic() + WAIT_S
        while not checkpoints.exists():
            assert time.monotonic() < deadline_s and first.poll() is None, first.communicate(10)
            time.sleep(0.05)
        second.kill()
        first_out, _ = first.communicate(WAIT_S)
        # The failure policy of the Job has the same codes.
        assert first.returncode in (RUN_AGAIN, -6), first_out
        cluster.finish()
    finally:
        cluster.kill()
    assert (tmp_path / "run" / "_SUCCESS").exists()
    assert len(json.loads((tmp_path / "run" / "metrics.json").read_text())) > 0


def test_the_probes_of_a_service_see_when_it_is_ready(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    port = free_port()
    words = (f"launch.port={port}", "launch.token_secret=token", "launch.cpu=500m", "launch.volumes={/data: music}")
    [pod] = pods(capsys, "serve", "/data/run", *words)
    (tmp_path / "token").write_text("0123456789abcdef")
    [mount] = [one["mountPath"] for one in pod.container["volumeMounts"] if one["name"] == "token"]
    own = {"/data/run": str(run), f"token_file={mount}/token": f"token_file={tmp_path}/token"}
    arguments = [own.get(word, word) for word in pod.words[1:]]
    assert set(own.values()) <= set(arguments) and "num_threads=1" in arguments
    variables = {key: str(tmp_path) for key, value in pod.environment.items() if value == "/tmp"}  # noqa: S108
    service = ForkedCommand(arguments, environment={**os.environ, **variables})

    def status(probe: str) -> int:
        get = pod.container[probe]["httpGet"]
        [number] = [one["containerPort"] for one in pod.container["ports"] if one["name"] == get["port"]]
        # As the kubelet asks: by the address of the pod.
        headers = {"Host": f"10.1.2.3:{number}", "User-Agent": "kube-probe/1.37"}
        try:
            return httpx.get(f"http://127.0.0.1:{number}{get['path']}", headers=headers).status_code
        except httpx.TransportError:
            return 0

    try:
        deadline_s, seen = time.monotonic() + WAIT_S, set()
        while (code := status("startupProbe")) != 200:
            seen.add(code)
            assert time.monotonic() < deadline_s and service.poll() is None, service.stderr_so_far()
            time.sleep(0.05)
        assert seen <= {0, 503}
        assert (status("readinessProbe"), status("livenessProbe")) == (200, 200)
        address = f"http://127.0.0.1:{port}/v1/model"
        assert httpx.get(address).status_code == 401
        assert httpx.get(address, headers={"Authorization": "Bearer 0123456789abcdef"}).status_code == 200
        service.send_signal(15)
        service.communicate(WAIT_S)
        assert service.returncode == 0
    finally:
        service.kill()


@pytest.mark.parametrize("name", [pytest.param("train", marks=pytest.mark.exhaustive), "tune"])
def test_a_batch_script_runs_on_two_nodes(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    words = {
        "train": (f"run_dir={tmp_path}/out", "epochs=1"),
        "tune": (f"search_dir={tmp_path}/out", f"space={folder}/space.yaml", *SEARCH),
    }[name]
    script = rendered(capsys, "slurm", name, f"data_dir={folder}/data", *words, *NETWORK, "launch.nodes=2")
    job = SlurmJob(script, tmp_path / "job", hosts=["127.0.0.1", "localhost"], environment=os.environ)
    code, out = job.finish(2 * WAIT_S)
    assert code == 0, out
    steps = [json.loads(line) for line in job.srun_log.read_text().splitlines()]
    assert len(steps) == (2 if name == "train" else 3)
    assert not job.requests.exists()
    if name == "train":
        assert (tmp_path / "out" / "_SUCCESS").exists()
    else:
        state = {path.name: path.read_bytes() for path in (tmp_path / "out" / "state" / "search").iterdir()}
        assert [trial["status"] for trial in trials_of(state)] == ["COMPLETED", "COMPLETED"]


def test_a_batch_job_that_is_interrupted_is_queued_again(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = (
        f"data_dir={folder}/data",
        f"run_dir={tmp_path}/run",
        "epochs=100000",
        "early_stopping_patience_epochs=null",
    )
    script = rendered(capsys, "slurm", "train", *words, *NETWORK)
    job = SlurmJob(script, tmp_path / "job", hosts=["node1"], environment=os.environ)
    deadline_s = time.monotonic() + WAIT_S
    while not (tmp_path / "run" / "config.yaml").exists():
        assert time.monotonic() < deadline_s and job.process.poll() is None, job.finish(10)
        time.sleep(0.1)
    # The line --signal=TERM@120 has Slurm send it to the steps.
    [step] = [json.loads(line) for line in job.srun_log.read_text().splitlines()]
    os.kill(step["pid"], 15)
    code, out = job.finish(WAIT_S)
    assert code == RUN_AGAIN, out
    assert job.requests.read_text() == f"requeue {os.getpid()}\n"
    assert list((tmp_path / "run" / "checkpoints").iterdir())
