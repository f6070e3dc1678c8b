"""The images, built on stand-ins for their bases, and run without rights, with a read-only root and only a loopback."""

import base64
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from container_engine import PYTHON, Engine
from locks import locked
from packaging.utils import canonicalize_name
from served_requests import noise_wav

pytestmark = pytest.mark.slow

INSPECT = """
import importlib.metadata, importlib.util, json, os, sys
try:
    open("/opt/beamtune/new", "w")
except OSError as error:
    refused = error.strerror
print(json.dumps({
    "uid": os.getuid(),
    "refused": refused,
    "python": "%d.%d" % sys.version_info[:2],
    "packages": {one.name: one.version for one in importlib.metadata.distributions()},
    "sbom": json.load(open("/usr/share/beamtune/sbom.cdx.json")),
    "compiled": os.path.exists(importlib.util.cache_from_source(importlib.util.find_spec("configs.cli").origin)),
}))
"""
CONNECT = """
import socket, time
for _ in range(600):
    try:
        socket.create_connection(("localhost", 50000)).close()
        break
    except OSError:
        time.sleep(0.5)
else:
    raise TimeoutError("nothing listens")
"""
ASK = """
import json, sys, urllib.error, urllib.request
method, url, path, headers = sys.argv[1:]
body = open(path, "rb").read() if path else None
request = urllib.request.Request(url, body, json.loads(headers), method=method)
try:
    with urllib.request.urlopen(request, timeout=120) as response:
        print(json.dumps([response.status, json.loads(response.read())]))
except urllib.error.HTTPError as error:
    print(json.dumps([error.code, json.loads(error.read())]))
"""


@pytest.mark.parametrize("image", ["worker", "trainer", "serve"])
def test_an_image_holds_its_lock_and_runs_without_rights(
    engine: Engine, image: str, request: pytest.FixtureRequest
) -> None:
    name = request.getfixturevalue(image)
    done = engine.run(name, "-c", INSPECT, entrypoint="python")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["uid"], found["refused"], found["python"]) == (10001, "Read-only file system", PYTHON)
    assert found["compiled"]
    lock = locked(image, python=PYTHON)
    packages = {canonicalize_name(one): version for one, version in found["packages"].items()}
    version = packages.pop("beamtune")
    assert packages == lock
    listed = {canonicalize_name(one["name"]): one["version"] for one in found["sbom"]["components"]}
    assert found["sbom"]["bomFormat"] == "CycloneDX"
    assert {**lock, "beamtune": version} == listed
    described = engine.description(name)
    labels = described["Labels"]
    assert labels["org.opencontainers.image.version"] == version
    assert re.fullmatch(r"[0-9a-f]{40}(-changed)?", labels["org.opencontainers.image.revision"])
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"
    assert described["User"] == "10001:10001"


@pytest.mark.parametrize("image", ["worker", "trainer"])
def test_beam_starts_the_boot_program_as_a_worker(engine: Engine, image: str, request: pytest.FixtureRequest) -> None:
    words = ("--id=1-1", "--provision_endpoint=localhost:1")
    done = engine.run(request.getfixturevalue(image), *words)
    beam = locked("worker")["apache-beam"]
    assert (done.returncode, done.stdout) == (0, f"Name: apache-beam\nVersion: {beam}\nboot: {' '.join(words)}\n")


def test_a_pipeline_whose_workers_are_the_image_writes_the_same_shards(
    engine: Engine, worker: str, work: Path, prepare_words: list[str], prepared: Path
) -> None:
    """Beam's job service in one container, and in another one on the same loopback its pool of workers."""
    output = work / "portable"
    pool_words = ("-m", "apache_beam.runners.worker.worker_pool_main", "--service_port=50000")
    options = ("--job_endpoint=embed", "--environment_type=EXTERNAL", "--environment_config=localhost:50000")
    runner = ("runner=portable", "runner.name=PortableRunner", f"runner.options={json.dumps(options)}")
    mounts = {work: str(work)}
    with engine.running(worker, *pool_words, entrypoint="python", mounts=mounts) as pool:
        pool.execute("python", "-c", CONNECT)
        network = f"container:{pool.identifier}"
        words = (*prepare_words, f"output_dir={output}", *runner)
        done = engine.run(worker, *words, entrypoint="beamtune", mounts=mounts, network=network)
        assert done.returncode == 0, done.stderr
    shards = {path.name: path.read_bytes() for path in prepared.glob("*.tfrecord-*")}
    assert len(shards) == 9
    assert {path.name: path.read_bytes() for path in output.glob("*.tfrecord-*")} == shards


def test_the_trainer_is_the_command(engine: Engine, trainer: str, run: Path, export: Path) -> None:
    done = engine.run(trainer, "--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(r"beamtune \d+\.\d+\.\d+\n", done.stdout)
    assert (run / "_SUCCESS").exists() and (export / "saved_model").is_dir()
    done = engine.run(trainer, "train", "data_dir=/none")
    assert done.returncode == 2 and done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("environment", "place", "port", "ready", "predict"),
    [
        ({}, "/model", 8080, "/readyz", "/v1/predict"),
        ({"K_SERVICE": "genres", "PORT": "9000"}, "/model", 9000, "/readyz", "/v1/predict"),
        (
            {
                "AIP_HTTP_PORT": "8081",
                "AIP_HEALTH_ROUTE": "/v1/endpoints/1/deployedModels/2",
                "AIP_PREDICT_ROUTE": "/v1/endpoints/1/deployedModels/2:predict",
                "AIP_STORAGE_URI": "/copied",
            },
            "/copied",
            8081,
            "/v1/endpoints/1/deployedModels/2",
            "/v1/endpoints/1/deployedModels/2:predict",
        ),
    ],
    ids=["docker", "cloud-run", "vertex"],
)
def test_the_service_answers_by_an_export_until_sigterm(
    engine: Engine,
    serve: str,
    work: Path,
    export: Path,
    beamtune: Callable[..., Any],
    environment: dict[str, str],
    place: str,
    port: int,
    ready: str,
    predict: str,
) -> None:
    song = work / "song.wav"
    song.write_bytes(noise_wav(2.0))
    instances = work / "instances.json"
    instances.write_text(json.dumps({"instances": [{"audio_b64": base64.b64encode(song.read_bytes()).decode()}]}))
    [expected] = json.loads(beamtune("predict", export, song, "top_k=3", "--json").stdout)
    mounts = {export: f"{place}:ro", work: "/work:ro"}
    with engine.running(serve, mounts=mounts, environment=environment) as service:
        service.wait_for('"event": "ready"')
        assert f'"url": "http://0.0.0.0:{port}/"' in service.logs()[1]

        def ask(method: str, path: str, body: str = "", **headers: str) -> Any:
            words = (method, f"http://127.0.0.1:{port}{path}", body, json.dumps(headers))
            return json.loads(service.execute("python", "-c", ASK, *words))

        assert ask("GET", ready)[0] == 200
        if place == "/copied":
            status, answer = ask("POST", predict, "/work/instances.json", **{"Content-Type": "application/json"})
            [answer] = answer["predictions"]
        else:
            status, answer = ask("POST", predict, "/work/song.wav", **{"Content-Type": "audio/wav"})
        assert status == 200
        assert answer["genres"] == [
            {"genre": one["genre"], "probability": pytest.approx(one["probability"], abs=1e-5)}
            for one in expected["genres"]
        ]
        assert ask("GET", "/readyz", Host="any.example")[0] == (200 if environment else 421)
        service.execute("python", "/usr/share/beamtune/healthcheck.py")
        done = service.stop()
    assert done.returncode == 0
    assert '"event": "stopped"' in done.stderr


def test_the_image_of_the_service_has_a_health_check(engine: Engine, serve: str) -> None:
    assert engine.description(serve)["Healthcheck"]["Test"] == ["CMD", "python", "/usr/share/beamtune/healthcheck.py"]
    done = engine.run(serve, "/usr/share/beamtune/healthcheck.py", entrypoint="python")  # nothing listens
    assert done.returncode == 1
    done = engine.run(serve)  # there is no model
    assert (done.returncode, done.stderr) == (
        2,
        "beamtune serve: /model is no folder: expected the folder of a run or an export\n",
    )
