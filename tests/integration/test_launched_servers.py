"""Servers, from the launch to the answer: the recorded containers are started as the platforms would start them."""

import base64
import json
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
from cloud_run_server import CloudRunServer
from endpoints_server import EndpointsServer
from forked_command import ForkedCommand
from gcs.fixture import Gcs

from configs.cli import main

pytestmark = pytest.mark.slow

IMAGE = "us-central1-docker.pkg.dev/my-project/images/serve:0.1.0"
NETWORK = (
    *("model.filters=[4,4]", "model.time_pools=[4,4]", "model.band_pools=[4,4]", "model.hidden_units=4", "epochs=1"),
    *("board.confusion_matrix=false", "board.num_spectrograms=0", "board.num_mistakes=0", "board.num_embeddings=0"),
)


@pytest.fixture(scope="module")
def run_dir(write_tune_folder: Callable[[Path, str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run."""
    folder = write_tune_folder(tmp_path_factory.mktemp("launched_servers"), "")
    assert main(["train", f"data_dir={folder}/data", f"run_dir={folder}/run", *NETWORK]) == 0
    return folder / "run"


@contextmanager
def started(container: Mapping[str, Any], platform: Mapping[str, str], gcs: Gcs, folder: Path) -> Iterator[None]:
    """Starts the process of a container, and ends it as a platform does."""
    words = [*container["command"], *container["args"]]
    assert words[:2] == ["beamtune", "serve"]
    own = {one["name"]: one["value"] for one in container.get("env", [])}
    process = ForkedCommand(words[1:], cwd=folder, environment={**gcs.environment, **own, **platform})
    try:
        yield
        process.send_signal(15)
        _, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
    finally:
        process.kill()


def wait_until_ready(url: str, probe: Mapping[str, Any]) -> None:
    """Waits as long as a startup probe says, and as long again, because this machine may be busy."""
    deadline_s = time.monotonic() + 2 * probe["periodSeconds"] * probe["failureThreshold"]
    while time.monotonic() < deadline_s:
        try:
            if requests.get(f"{url}{probe['httpGet']['path']}", timeout=30).status_code == 200:
                return
        except requests.ConnectionError:
            pass
        time.sleep(0.2)
    raise TimeoutError(f"{url} is not ready")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def launch(server: Any, target: str, words: Sequence[str]) -> None:
    place = ("launch.project=my-project", f"launch.image={IMAGE}", f"launch.api_endpoint={server.endpoint}")
    assert main(["launch", target, "serve", *words, *place, "--yes"]) == 0


def test_what_was_launched_answers_as_predict_does(
    gcs_here: Gcs,
    run_dir: Path,
    tmp_path: Path,
    write_audio: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("BEAMTUNE_CACHE", str(tmp_path / "cache"))
    song = write_audio(tmp_path / "song.flac", sample_rate_hz=22_050, duration_s=7.0)
    model = gcs_here.upload(run_dir, "run")
    uri = f"{gcs_here.upload(song.parent, 'music')}/{song.name}"
    assert main(["predict", str(run_dir), str(song), "top_k=5", "--json"]) == 0
    [predicted] = json.loads(capsys.readouterr().out)
    expected = {one["genre"]: one["probability"] for one in predicted["genres"]}

    with EndpointsServer() as vertex:
        launch(vertex, "vertex", [model, f"allowed_buckets=[{gcs_here.bucket}]"])
        [upload], [deploy] = vertex.of_kind("upload_model"), vertex.of_kind("deploy")
    container, port = upload["model"]["containerSpec"], free_port()
    # Google's copy of the files, as the documentation of custom containers says.
    copy = gcs_here.upload(run_dir, "copied-by-google")
    platform = {
        "AIP_HTTP_PORT": str(port),
        "AIP_HEALTH_ROUTE": container["healthRoute"],
        "AIP_PREDICT_ROUTE": container["predictRoute"],
        "AIP_STORAGE_URI": copy,
        "AIP_MODE": "PREDICTION",
        "AIP_DEPLOYED_MODEL_ID": deploy["deployedModel"]["id"],
    }
    url = f"http://127.0.0.1:{port}"
    with started(container, platform, gcs_here, tmp_path):
        wait_until_ready(url, container["startupProbe"])
        assert requests.get(f"{url}{container['livenessProbe']['httpGet']['path']}", timeout=60).status_code == 200
        encoded = base64.b64encode(song.read_bytes()).decode()
        content = {"instances": [{"audio_b64": encoded}, {"uri": uri}]}
        answer = requests.post(f"{url}{container['predictRoute']}", json=content, timeout=300)
        assert answer.status_code == 200, answer.text
        for prediction in answer.json()["predictions"]:
            assert {one["genre"]: one["probability"] for one in prediction["genres"]} == expected

    with CloudRunServer() as service:
        launch(service, "cloudrun", [model])
        [created] = service.of_kind("create")
    [container] = created["template"]["containers"]
    port = free_port()
    # https://cloud.google.com/run/docs/container-contract
    platform = {"PORT": str(port), "K_SERVICE": "beamtune", "K_REVISION": "beamtune-00001"}
    url = f"http://127.0.0.1:{port}"
    with started(container, platform, gcs_here, tmp_path):
        wait_until_ready(url, container["startupProbe"])
        with song.open("rb") as file:
            answer = requests.post(f"{url}/v1/predict", files={"file": file}, timeout=300)
        assert answer.status_code == 200, answer.text
        assert {one["genre"]: one["probability"] for one in answer.json()["genres"]} == expected
