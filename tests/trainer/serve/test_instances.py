"""The requests of Vertex AI's predictions."""

import base64
import json
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from served_requests import RAW, error_of, noise_wav
from starlette.testclient import TestClient

from beam_pipelines.common import bucket_objects
from beam_pipelines.common.errors import UserError
from trainer.serve import instances as instances_module
from trainer.serve.platform import Platform, platform_of

if TYPE_CHECKING:
    from gcs.fixture import Gcs

MakeClient = Callable[..., TestClient]
# As the platform sets them.
PLATFORM = Platform(
    http_port=8080,
    health_route="/v1/endpoints/1/deployedModels/2",
    predict_route="/v1/endpoints/1/deployedModels/2:predict",
)
SONG = noise_wav(1.0)


def audio_b64(content: bytes) -> dict[str, str]:
    return {"audio_b64": base64.b64encode(content).decode()}


def post(client: TestClient, body: Any) -> Any:
    # Not with the keyword json, which takes no halves of characters.
    headers = {"Content-Type": "application/json"}
    return client.post(PLATFORM.predict_route or "", content=json.dumps(body), headers=headers)


def test_each_instance_has_the_prediction_of_its_file(make_client: MakeClient) -> None:
    client = make_client(platform=PLATFORM)
    other = noise_wav(2.0, seed=1)
    response = post(client, {"instances": [audio_b64(SONG), audio_b64(b"no audio"), audio_b64(other)]})
    assert response.status_code == 200
    first, failed, second = response.json()["predictions"]
    for found, content in ((first, SONG), (second, other)):
        assert found == client.post("/v1/predict", content=content, headers=RAW).json()
    assert failed["error"]["reason"] == "undecodable"
    assert post(client, {"instances": []}).json() == {"predictions": []}


def test_parameters_have_the_confidence_of_labels(make_client: MakeClient) -> None:
    client = make_client(platform=PLATFORM, min_confidence=1.0)
    labels = [
        post(client, {"instances": [audio_b64(SONG)], "parameters": parameters}).json()["predictions"][0]["label"]
        for parameters in ({}, None, {"min_confidence": 0})
    ]
    assert labels[:2] == ["unknown", "unknown"]
    assert labels[2] in ("blues", "funk", "waltz")


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"no json", b"[]", b"1", b"null", b"{}", b'{"instances": {}}', b'{"instances": 1}', b"\xff\xfe"),
        b"[" * 1_000_000,
        b'{"instances": ' + b"[" * 500_000 + b"]" * 500_000 + b"}",
        b'{"instances": [' + b"9" * 10_000 + b"]}",
        json.dumps({"instances": [{}] * 129}).encode(),
        b'{"x": [' + b"[]," * 100_000 + b'[]], "instances": []}',
        json.dumps({"instances": [], "parameters": {"top_k": 1}}).encode(),
        json.dumps({"instances": [], "parameters": [1]}).encode(),
        json.dumps({"instances": [], "parameters": {"min_confidence": 2}}).encode(),
        json.dumps({"instances": [], "parameters": {"min_confidence": True}}).encode(),
        b'{"instances": [], "parameters": {"min_confidence": NaN}}',
    ],
    ids=lambda body: f"{body[:40]!r}",
)
def test_malformed_requests_are_400(make_client: MakeClient, body: bytes) -> None:
    client = make_client(platform=PLATFORM)
    response = client.post(PLATFORM.predict_route or "", content=body, headers={"Content-Type": "application/json"})
    assert error_of(response) == (400, "malformed_json")


def test_bodies_are_limited_and_typed(make_client: MakeClient) -> None:
    client = make_client(platform=PLATFORM, max_upload_bytes=1000)
    assert error_of(post(client, {"instances": [audio_b64(bytes(1000))]})) == (413, "too_large")
    assert error_of(client.post(PLATFORM.predict_route or "", content=b"{}", headers=RAW)) == (415, "content_type")


@pytest.mark.parametrize(
    ("instance", "reason"),
    [
        *((one, "malformed_instance") for one in (None, 1, "x", [], {}, {"audio_b64": 1}, {"audio_b64": "no base64!"})),
        ({"audio_b64": "", "uri": ""}, "malformed_instance"),
        ({"audio_b64": ""}, "empty_file"),
        ({"uri": "gs://my-bucket/\ud800"}, "malformed_instance"),
        *(
            ({"uri": uri}, "forbidden_uri")
            for uri in ("gs://other/a.mp3", "gs://my-bucket", "gs://my-bucket/", "/etc/passwd", "file:///etc/passwd")
        ),
        *(
            ({"uri": uri}, "forbidden_uri")
            for uri in (
                "gs://my-bucket\ud800/a",
                "http://169.254.169.254/",
                "gs://my-bucket.evil/a",
                "GS://my-bucket/a",
                "gs:///a",
                "",
            )
        ),
    ],
    ids=str,
)
def test_malformed_and_forbidden_instances_have_errors(make_client: MakeClient, instance: Any, reason: str) -> None:
    client = make_client(platform=PLATFORM, allowed_buckets=["my-bucket"])
    response = post(client, {"instances": [instance, audio_b64(SONG)]})
    failed, found = response.json()["predictions"]
    assert failed["error"]["reason"] == reason
    assert found["num_segments"] == 2


def test_objects_of_allowed_buckets_are_read_after_their_size(
    make_client: MakeClient, gcs_here: "Gcs", monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = gcs_here.bucket
    gcs_here.write("song.wav", SONG)
    gcs_here.write("long.wav", noise_wav(5.0))
    client = make_client(platform=PLATFORM, allowed_buckets=[bucket], max_upload_bytes=len(SONG))
    uris = [{"uri": f"{gcs_here.url}/{name}"} for name in ("song.wav", "long.wav", "none.wav")]
    downloaded = []
    real_download = bucket_objects.download_to_file

    def download(path: str, target: str, **options: Any) -> None:
        downloaded.append(path)
        real_download(path, target, **options)

    monkeypatch.setattr(instances_module, "download_to_file", download)
    found, large, missing = post(client, {"instances": uris}).json()["predictions"]
    assert found == client.post("/v1/predict", content=SONG, headers=RAW).json()
    assert large["error"]["reason"] == "too_large"
    assert missing["error"]["reason"] == "not_found"
    assert downloaded == [one["uri"] for one in uris if "long" not in one["uri"]]
    # None is allowed by default.
    closed = make_client(platform=PLATFORM)
    (refused,) = post(closed, {"instances": uris[:1]}).json()["predictions"]
    assert refused["error"]["reason"] == "forbidden_uri"


def test_the_route_exists_where_the_platform_names_it(make_client: MakeClient) -> None:
    assert post(make_client(), {"instances": []}).status_code == 404


def test_the_health_route_is_200_when_the_model_is_loaded(make_client: MakeClient, make_service: Any) -> None:
    service = make_service()
    client = make_client(service=service, platform=PLATFORM)
    assert client.get(PLATFORM.health_route or "").status_code == 200
    service.model = None
    assert error_of(client.get(PLATFORM.health_route or "")) == (503, "loading")


def test_the_platform_may_name_paths_that_the_service_has(make_client: MakeClient, make_service: Any) -> None:
    service = make_service()
    client = make_client(service=service, platform=Platform(health_route="/healthz", predict_route="/v1/predict"))
    headers = {"Content-Type": "application/json"}
    assert client.post("/v1/predict", content='{"instances": []}', headers=headers).json() == {"predictions": []}
    service.model = None
    assert error_of(client.get("/healthz")) == (503, "loading")


def test_variables_of_the_platform() -> None:
    assert platform_of({}) == Platform()
    assert platform_of({"AIP_STORAGE_URI": "", "AIP_HTTP_PORT": ""}) == Platform()
    assert platform_of(
        {
            "AIP_HTTP_PORT": "8080",
            "AIP_HEALTH_ROUTE": PLATFORM.health_route or "",
            "AIP_PREDICT_ROUTE": PLATFORM.predict_route or "",
            "AIP_STORAGE_URI": "gs://bucket/model",
        }
    ) == Platform(8080, PLATFORM.health_route, PLATFORM.predict_route, "gs://bucket/model")
    assert platform_of({"PORT": "3000"}) == Platform()
    assert platform_of({"PORT": "3000", "K_SERVICE": "beamtune"}) == Platform(3000)
    assert platform_of({"PORT": "3000", "K_SERVICE": "beamtune", "AIP_HTTP_PORT": "8080"}) == Platform(8080)


def test_the_port_of_cloud_run_counts_on_cloud_run() -> None:
    assert platform_of({"PORT": "9000"}) == Platform()  # of another program of a laptop
    assert platform_of({"PORT": "9000", "K_SERVICE": "genres"}) == Platform(http_port=9000)
    assert platform_of({"PORT": "9000", "K_SERVICE": "genres", "AIP_HTTP_PORT": "8080"}) == Platform(http_port=8080)


def test_a_container_has_a_port_and_a_model_of_its_own() -> None:
    container = {"BEAMTUNE_CONTAINER": "1"}
    assert platform_of(container) == Platform(container_port=8080, storage_uri="/model")
    assert platform_of({**container, "PORT": "9000"}) == Platform(container_port=9000, storage_uri="/model")
    cloud_run = {**container, "PORT": "9000", "K_SERVICE": "genres"}
    assert platform_of(cloud_run) == Platform(http_port=9000, storage_uri="/model")
    vertex = {**container, "AIP_HTTP_PORT": "8080", "AIP_STORAGE_URI": "gs://bucket/model"}
    assert platform_of(vertex) == Platform(http_port=8080, storage_uri="gs://bucket/model")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("AIP_HTTP_PORT", value) for value in ("x", "0", "65536", "-1", "8 0", "9" * 5000)),
        ("PORT", "x"),
        ("AIP_HEALTH_ROUTE", "health"),
        ("AIP_PREDICT_ROUTE", "/{path:path}"),
    ],
)
def test_wrong_variables_are_errors(key: str, value: str) -> None:
    with pytest.raises(UserError, match=f"^{key}="):
        platform_of({key: value, "K_SERVICE": "genres"})


def test_work_that_nobody_waits_for_ends(make_service: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instances_module, "size_bytes", lambda uri: pytest.fail("an object is read"))
    path = tmp_path / "request"
    path.write_text(json.dumps({"instances": [audio_b64(SONG), {"uri": "gs://my-bucket/a.mp3"}]}))
    stop = threading.Event()
    stop.set()
    found = instances_module.predict_instances(str(path), make_service(allowed_buckets=["my-bucket"]), stop=stop)
    assert [one["error"]["reason"] for one in found] == ["stopped", "stopped"]
