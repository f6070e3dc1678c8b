"""Launched jobs, from the bucket to the machines: the recorded job is started here as Vertex AI would start it."""

import socket
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from forked_command import ForkedCommand
from gcs.fixture import Gcs
from vertex_replicas import Replica, replicas_of
from vertex_server import VertexServer

from configs.cli import main
from trainer.tuner.service.checked_json import load_checked

pytestmark = pytest.mark.slow

IMAGE = "us-central1-docker.pkg.dev/my-project/images/beamtune:0.1.0"
SPACE = "search: {optimizer.learning_rate: {log: [0.003, 0.1]}}"
NETWORK = (
    *("model.filters=[4,4]", "model.time_pools=[4,4]", "model.band_pools=[4,4]", "model.hidden_units=4", "epochs=1"),
    *("board.confusion_matrix=false", "board.num_spectrograms=0", "board.num_mistakes=0", "board.num_embeddings=0"),
)


@pytest.fixture(scope="module")
def folder(write_tune_folder: Callable[[Path, str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """data/, which is prepared, and space.yaml."""
    return write_tune_folder(tmp_path_factory.mktemp("launched"), SPACE)


@pytest.fixture
def bucket(gcs_here: Gcs, folder: Path) -> Gcs:
    """A bucket with prepared data and a search space."""
    gcs_here.upload(folder / "data", "prepared")
    gcs_here.write("space.yaml", SPACE.encode())
    return gcs_here


@pytest.fixture
def vertex(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[VertexServer]:
    monkeypatch.setenv("BEAMTUNE_CACHE", str(tmp_path / "cache"))
    with VertexServer() as server:
        yield server


def launch(vertex: VertexServer, *words: str) -> int:
    place = ("launch.project=my-project", f"launch.image={IMAGE}", f"launch.api_endpoint={vertex.endpoint}")
    return main(["launch", "vertex", *words, *place, "--yes"])


def free_addresses(count: int) -> list[str]:
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    addresses = [f"127.0.0.1:{one.getsockname()[1]}" for one in listeners]
    for one in listeners:
        one.close()
    return addresses


def run_job(job: dict[str, Any], pools: Sequence[int], gcs: Gcs, folder: Path) -> list[str]:
    """Runs all replicas of a job to their end; returns what they printed."""
    replicas = replicas_of(job, addresses=[free_addresses(count) for count in pools])
    running = [start(replica, gcs, folder) for replica in replicas]
    try:
        outputs = [one.communicate(timeout=900) for one in running]
    finally:
        for one in running:
            one.kill()
    for one, (_, err) in zip(running, outputs, strict=True):
        assert one.returncode == 0, err
    return [out for out, _ in outputs]


def start(replica: Replica, gcs: Gcs, folder: Path) -> ForkedCommand:
    assert replica.words[0] == "beamtune"
    return ForkedCommand(replica.words[1:], cwd=folder, environment={**gcs.environment, **replica.environment})


def test_a_launched_training_runs_as_a_job(
    bucket: Gcs, vertex: VertexServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("train", f"data_dir={bucket.url}/prepared", f"run_dir={bucket.url}/run", *NETWORK)
    assert launch(vertex, *words, f"launch.base_output_dir={bucket.url}/base") == 0
    [job] = vertex.of_kind("create")
    assert len(job["labels"]["beamtune-launch"]) == 32
    run_job(job, [1], bucket, tmp_path)
    assert {"config.yaml", "metrics.json", "_SUCCESS"} <= set(bucket.contents("run"))
    vertex.set_state("SUCCEEDED")
    capsys.readouterr()
    assert launch(vertex, *words) == 0
    assert "(SUCCEEDED, created" in capsys.readouterr().out
    for changed, line in (
        (
            ("epochs=2",),
            f"{bucket.url}/run is a run with other settings (epochs was 1 and is 2): choose ",
        ),
        (("launch.machine=l4", "launch.accelerators=2"), "other settings (strategy.kind was none and is mirrored): "),
    ):
        assert launch(vertex, *words, *changed) == 2
        assert line in capsys.readouterr().err
    # The run is what evaluate reads, and it does not start without.
    assert launch(vertex, "evaluate", f"run_dir={bucket.url}/run") == 0
    assert len(vertex.of_kind("create")) == 2
    config = yaml.safe_load(bucket.read("run/config.yaml"))
    bucket.write("local/config.yaml", yaml.safe_dump({**config, "data_dir": "prepared/mine"}).encode())
    capsys.readouterr()
    assert launch(vertex, "evaluate", f"run_dir={bucket.url}/local") == 2
    assert "/local was trained on prepared/mine, which the job does not reach: " in capsys.readouterr().err


def test_a_launched_search_runs_on_a_chief_and_a_worker(bucket: Gcs, vertex: VertexServer, tmp_path: Path) -> None:
    words = (
        "tune",
        f"data_dir={bucket.url}/prepared",
        f"search_dir={bucket.url}/search",
        f"space={bucket.url}/space.yaml",
    )
    search = ("tuner=random", "budget.max_trials=1", "service.wait_for_chief_s=300", "service.wait_for_workers_s=300")
    assert launch(vertex, *words, *search, *NETWORK, "launch.machine=l4") == 0
    [job] = vertex.of_kind("create")
    chief, _ = run_job(job, [1, 1], bucket, tmp_path)
    assert "0000" in chief
    states = bucket.contents("search/state/search")
    state = load_checked(states[max(states)].decode())
    assert [trial["status"] for trial in state["trials"]] == ["COMPLETED"]


def test_what_is_missing_is_said_before_a_job_is_started(
    bucket: Gcs, vertex: VertexServer, capsys: pytest.CaptureFixture[str]
) -> None:
    url, data = bucket.url, f"data_dir={bucket.url}/prepared"
    missing = "gs://nowhere-of-beamtune/x"
    for words, line in (
        (
            ("train", f"data_dir={url}/absent", f"run_dir={url}/run"),
            f"{url}/absent does not exist: prepare a data set ",
        ),
        (("train", f"data_dir={missing}", f"run_dir={url}/run"), "the bucket gs://nowhere-of-beamtune does not exist"),
        (("evaluate", f"run_dir={url}/absent", data), f"run_dir={url}/absent: there is nothing: "),
        (("evaluate", f"run_dir={url}/prepared", data), f"run_dir={url}/prepared and data_dir={url}/prepared are one "),
        (
            ("export", f"{url}/prepared", f"output_dir={url}/export"),
            f"{url}/prepared is no run: expected what beamtune ",
        ),
        (("predict", f"{url}/prepared", f"{url}/*.mp3", f"output={url}/a.csv"), f"{url}/*.mp3 matches nothing: "),
        (("predict", f"{url}/run", f"{url}/a.mp3", f"output={url}/a.csv"), f"{url}/a.mp3: there is no such file or "),
        (
            ("prepare", "dataset=folder", f"dataset.root={url}/absent", f"output_dir={url}/new"),
            f"dataset.root={url}/absent: there is nothing: beamtune sync copies files there",
        ),
        (
            ("tune", data, f"search_dir={url}/search", f"space={url}/absent.yaml"),
            f"space={url}/absent.yaml: there is nothing: ",
        ),
    ):
        assert launch(vertex, *words) == 2
        assert line in capsys.readouterr().err.splitlines()[-1]
    bucket.delete("prepared/_SUCCESS")
    assert launch(vertex, "train", data, f"run_dir={url}/run") == 2
    assert "prepared has no _SUCCESS and is not a finished data set" in capsys.readouterr().err
    assert vertex.requests == []
