"""Servers on Vertex AI, up to the service, which is a recording stand-in on this machine."""

import io
import json
import sys
from collections.abc import Callable

import pytest
import yaml
from endpoints_server import EndpointsServer
from recording_server import LOST

from beam_pipelines.common.errors import UserError
from configs.cli import main
from configs.launch.history import find_job
from configs.launch.serving import endpoints, serve

IMAGE = "us-central1-docker.pkg.dev/my-project/images/serve:0.1.0"
PLACE = ("launch.project=my-project", f"launch.image={IMAGE}")
SERVE = ("vertex", "serve", "gs://bucket/exports/mine", *PLACE)
PARENT = "projects/my-project/locations/us-central1"
ENDPOINT = f"{PARENT}/endpoints/beamtune"
MADE = ("upload_model", "create_endpoint", "deploy", "update_endpoint")

Launch = Callable[..., int]
Capture = pytest.CaptureFixture[str]


def made(vertex: EndpointsServer) -> list[str]:
    """Returns the requests that make or change something."""
    return [kind for kind in vertex.kinds() if kind in MADE]


def second(vertex: EndpointsServer, on_vertex: Launch, *words: str) -> int:
    """Serves another model at the same endpoint."""
    return on_vertex("vertex", "serve", "gs://bucket/exports/other", *PLACE, *words, "--yes")


def test_a_model_is_served_once(on_vertex: Launch, vertex: EndpointsServer, capsys: Capture) -> None:
    vertex.num_requests = 2
    assert on_vertex(*SERVE, "allowed_buckets=[music]", "--yes") == 0
    captured = capsys.readouterr()
    name, *example = captured.out.splitlines()
    url = "https://beamtune.us-central1-77.prediction.vertexai.goog/v1/" + f"{ENDPOINT}:predict"
    assert name == ENDPOINT and url in example[1] and "gs://music/song.mp3" in example[3]
    assert made(vertex) == ["upload_model", "create_endpoint", "deploy"]
    [deployed] = vertex.endpoints[ENDPOINT]["deployedModels"]
    assert vertex.endpoints[ENDPOINT]["trafficSplit"] == {deployed["id"]: 100}
    assert deployed["model"] in vertex.models
    progress = f"the deployment to {ENDPOINT}: preparing model, 0 s"
    assert progress in captured.err.splitlines()
    assert find_job("last", project=None, region=None).name == ENDPOINT
    # No credentials are sent to http://.
    assert not any("authorization" in map(str.lower, headers) for headers in vertex.headers)
    vertex.requests.clear()
    assert on_vertex(*SERVE, "allowed_buckets=[music]", "--json") == 0  # nobody is asked
    shown = json.loads(capsys.readouterr().out)
    assert (shown["url"], shown["is_new"], shown["deployed_id"]) == (url, False, deployed["id"])
    assert made(vertex) == []


def test_the_requests_are_those_of_the_dry_run(on_vertex: Launch, vertex: EndpointsServer, capsys: Capture) -> None:
    assert on_vertex(*SERVE, "--dry-run") == 0
    shown = yaml.safe_load(capsys.readouterr().out)
    assert vertex.requests == []
    assert on_vertex(*SERVE, "--yes") == 0
    [upload], [create], [deploy] = map(vertex.of_kind, MADE[:3])
    # The files of the model are not looked at in a dry run, so that it has another key.
    known = {"modelId": upload["modelId"], "parent": PARENT}
    assert upload["model"]["containerSpec"] == shown["uploadModel"]["model"]["containerSpec"]
    assert upload["model"]["artifactUri"] == "gs://bucket/exports/mine"
    assert {**shown["uploadModel"], **known, "model": upload["model"]} == {**upload, **known}
    assert create == shown["createEndpoint"]["endpoint"]
    expected = shown["deployModel"]["deployedModel"]
    assert deploy["deployedModel"]["dedicatedResources"] == expected["dedicatedResources"]
    assert deploy["trafficSplit"] == shown["deployModel"]["trafficSplit"] == {"0": 100}


def test_a_dry_run_needs_no_network_and_no_large_library(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("the network was used"))
    monkeypatch.setattr(serve, "files_key", lambda _: pytest.fail("a bucket was read"))
    monkeypatch.setitem(sys.modules, "google.cloud.aiplatform_v1", None)
    assert main(["launch", *SERVE, "--dry-run", "--json"]) == 0
    assert list(json.loads(capsys.readouterr().out)) == ["uploadModel", "createEndpoint", "deployModel"]


@pytest.mark.parametrize("kind", ["upload_model", "create_endpoint", "deploy"])
@pytest.mark.parametrize("num_requests", [0, 3])
def test_an_answer_that_was_lost_is_looked_for(
    on_vertex: Launch, vertex: EndpointsServer, kind: str, num_requests: int
) -> None:
    vertex.num_requests = num_requests
    vertex.fail(kind, LOST)
    assert on_vertex(*SERVE, "--yes") == 0
    assert len(vertex.models) == 1 and list(vertex.shares("beamtune").values()) == [100]
    assert len(vertex.of_kind("deploy")) == 1


@pytest.mark.parametrize("kind", ["get_endpoint", "upload_model", "create_endpoint", "deploy", "get_operation"])
def test_faults_that_pass_are_repeated(on_vertex: Launch, vertex: EndpointsServer, kind: str) -> None:
    vertex.fail(kind, 503, 429, message="Try again later.")
    assert on_vertex(*SERVE, "--yes") == 0
    assert list(vertex.shares("beamtune").values()) == [100]


@pytest.mark.parametrize(
    ("kind", "status", "message", "line"),
    [
        (
            "upload_model",
            403,
            "Permission 'aiplatform.models.upload' denied on resource '//aiplatform.googleapis.com/projects/p'.",
            "the permission aiplatform.models.upload is missing",
        ),
        (
            "deploy",
            403,
            "You do not have permission to act as service_account: server@p.iam.gserviceaccount.com.",
            "add-iam-policy-binding server@p.iam.gserviceaccount.com --project=my-project",
        ),
        ("create_endpoint", 404, "Project my-project is not found.", "something that it names does not: Project "),
        ("deploy", 400, "Image is not found.", "Vertex AI does not accept the request: Image is not found."),
        ("deploy", 409, "The resource exists.", "it exists already, or is being changed: The resource exists."),
        (
            "deploy",
            429,
            "Quota exceeded: aiplatform.googleapis.com/custom_model_serving_nvidia_l4_gpus",
            "the quota aiplatform.googleapis.com/custom_model_serving_nvidia_l4_gpus is too small",
        ),
    ],
)
def test_errors_of_the_service_are_one_line(
    on_vertex: Launch, vertex: EndpointsServer, capsys: Capture, kind: str, status: int, message: str, line: str
) -> None:
    vertex.fail(kind, status, message=message)
    assert on_vertex(*SERVE, "--yes") == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("beamtune launch: ") and line in last
    # The same command goes on where this one has ended.
    assert on_vertex(*SERVE, "--yes") == 0
    assert len(vertex.models) == 1 and list(vertex.shares("beamtune").values()) == [100]


def test_a_longer_outage_ends_the_command_and_the_same_one_goes_on(
    on_vertex: Launch, vertex: EndpointsServer, capsys: Capture
) -> None:
    vertex.fail("deploy", 503, message="the service is away")
    here = (f"launch.api_endpoint={vertex.endpoint}", "launch.retry_deadline_s=0")
    assert main(["launch", *SERVE, *here, "--yes"]) == 75
    assert capsys.readouterr().err.splitlines()[-1] == (
        "beamtune launch: Vertex AI cannot be reached (the service is away): run the same command again, which looks "
        "first whether the deployment was started"
    )
    assert on_vertex(*SERVE, "--yes") == 0
    assert made(vertex) == ["upload_model", "create_endpoint", "deploy", "deploy"]


@pytest.mark.parametrize(
    ("kind", "code", "message", "line"),
    [
        ("deploy", 9, "Model server exited\nunexpectedly.", "has failed: Model server exited unexpectedly."),
        ("deploy", 13, "Internal error.", "has failed: Internal error."),
        ("deploy", 8, "aiplatform.googleapis.com/custom_model_serving_cpus", "custom_model_serving_cpus is too small"),
        ("upload_model", 7, "Permission 'storage.objects.get' denied on x", "the permission storage.objects.get is"),
    ],
)
def test_an_operation_that_fails_is_one_line(
    on_vertex: Launch, vertex: EndpointsServer, capsys: Capture, kind: str, code: int, message: str, line: str
) -> None:
    vertex.fail_operation(kind, code, message)
    assert on_vertex(*SERVE, "--yes") == 2
    assert line in capsys.readouterr().err.splitlines()[-1]
    assert on_vertex(*SERVE, "--yes") == 0
    assert list(vertex.shares("beamtune").values()) == [100]


def test_after_an_interruption_the_same_command_waits_again(
    on_vertex: Launch, vertex: EndpointsServer, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    vertex.num_requests = 5

    def interrupt(_: float) -> None:
        if vertex.of_kind("deploy"):
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(endpoints.time, "sleep", interrupt)
        assert on_vertex(*SERVE, "--yes") == 130
    err = capsys.readouterr().err
    assert "Ctrl-C ends the waiting and not the server: the same command waits again" in err
    assert on_vertex("status", "last") == 0
    assert "CHANGING" in capsys.readouterr().out
    assert on_vertex(*SERVE, "--yes") == 0
    assert len(vertex.of_kind("deploy")) == 1
    assert list(vertex.shares("beamtune").values()) == [100]


def test_shares_of_the_requests(on_vertex: Launch, vertex: EndpointsServer, capsys: Capture) -> None:
    assert second(vertex, on_vertex, "launch.traffic=10") == 2
    assert "launch.traffic=10: expected 100, because no other deployment of the endpoint" in capsys.readouterr().err
    assert on_vertex(*SERVE, "--yes") == 0
    assert second(vertex, on_vertex, "launch.traffic=10") == 0
    assert list(vertex.shares("beamtune").values()) == [90, 10]
    vertex.requests.clear()
    assert second(vertex, on_vertex, "launch.traffic=40") == 0
    assert made(vertex) == ["update_endpoint"]
    assert list(vertex.shares("beamtune").values()) == [60, 40]
    third = ("vertex", "serve", "gs://bucket/exports/third", *PLACE, "launch.traffic=50", "--yes")
    assert on_vertex(*third) == 0
    assert list(vertex.shares("beamtune").values()) == [30, 20, 50]
    assert second(vertex, on_vertex) == 0
    assert list(vertex.shares("beamtune").values()) == [0, 100, 0]


def test_an_endpoint_that_others_have_made_is_used_and_stays(
    on_vertex: Launch, vertex: EndpointsServer, capsys: Capture
) -> None:
    vertex.endpoints[ENDPOINT] = {"name": ENDPOINT, "displayName": "theirs", "labels": {"team": "other"}}
    assert on_vertex(*SERVE, "--yes") == 0
    captured = capsys.readouterr()
    assert "is a shared one: it takes requests of 1.5 MB" in captured.err
    assert f"https://us-central1-aiplatform.googleapis.com/v1/{ENDPOINT}:predict" in captured.out
    assert on_vertex("remove", "last", "--yes") == 0
    assert "stays: it was not made by beamtune" in capsys.readouterr().err
    assert vertex.models == {} and list(vertex.endpoints) == [ENDPOINT]


def test_nothing_is_made_without_a_yes(
    on_vertex: Launch, vertex: EndpointsServer, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))  # no terminal
    assert on_vertex(*SERVE) == 2
    assert "whether to start a server that costs money until it is removed: add --yes" in capsys.readouterr().err
    assert made(vertex) == []


def test_a_model_that_is_not_finished_is_not_served(
    on_vertex: Launch, vertex: EndpointsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: object) -> str:
        raise UserError("it is not finished")

    monkeypatch.setattr(serve, "files_key", refuse)
    assert on_vertex(*SERVE, "--yes") == 2
    assert vertex.requests == []


def test_servers_are_shown_listed_and_removed(on_vertex: Launch, vertex: EndpointsServer, capsys: Capture) -> None:
    assert on_vertex(*SERVE, "--yes") == 0
    assert second(vertex, on_vertex, "launch.traffic=10") == 0
    capsys.readouterr()
    assert on_vertex("status", "beamtune", "--json") == 0
    status = json.loads(capsys.readouterr().out)
    assert (status["name"], status["state"]) == (ENDPOINT, "READY")
    assert [(one["machine"], one["replicas"], one["traffic"]) for one in status["deployments"]] == [
        ("n2-standard-4", "1 to 1", 90),
        ("n2-standard-4", "1 to 1", 10),
    ]
    assert on_vertex("list", "launch=vertex_serve", "launch.project=my-project", "--json") == 0
    assert [one["name"] for one in json.loads(capsys.readouterr().out)] == [ENDPOINT]
    assert on_vertex("logs", "last") == 0
    assert 'resource.labels.endpoint_id="beamtune"' in capsys.readouterr().out
    assert on_vertex("cancel", "last") == 2
    assert "is a server: beamtune launch remove last ends it" in capsys.readouterr().err
    assert on_vertex("remove", "last", "--dry-run") == 0
    steps = capsys.readouterr().out.splitlines()
    assert [step.split()[0] for step in steps] == ["undeploy", "undeploy", "delete", "delete", "delete"]
    assert len(vertex.models) == 2
    assert on_vertex("remove", "last", "--yes") == 0
    assert capsys.readouterr().out.splitlines() == [f"done: {step}" for step in steps]
    assert (vertex.models, vertex.endpoints) == ({}, {})
    assert on_vertex("remove", ENDPOINT, "--yes") == 0
    assert capsys.readouterr().out == f"{ENDPOINT} does not exist, and nothing is left of it\n"
    assert on_vertex("status", "last") == 1
    assert f"{ENDPOINT} does not exist" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("kind", "status"),
    [("undeploy", 403), ("delete_model", 403), ("delete_endpoint", 403), ("undeploy", LOST), ("delete_model", LOST)],
)
def test_half_a_removal_is_finished_by_the_next_one(
    on_vertex: Launch, vertex: EndpointsServer, kind: str, status: int
) -> None:
    assert on_vertex(*SERVE, "--yes") == 0
    assert second(vertex, on_vertex, "launch.traffic=50") == 0
    vertex.fail(kind, status)
    assert on_vertex("remove", "last", "--yes") == (0 if status == LOST else 2)
    assert on_vertex("remove", "last", "--yes") == 0
    assert (vertex.models, vertex.endpoints) == ({}, {})


def test_a_model_without_an_endpoint_is_removed(on_vertex: Launch, vertex: EndpointsServer) -> None:
    vertex.fail("create_endpoint", 403)
    assert on_vertex(*SERVE, "--yes") == 2
    assert len(vertex.models) == 1
    assert on_vertex("remove", "last", "--yes") == 0
    assert vertex.models == {}


def test_deployments_of_others_stay(on_vertex: Launch, vertex: EndpointsServer, capsys: Capture) -> None:
    assert on_vertex(*SERVE, "--yes") == 0
    endpoint = vertex.endpoints[ENDPOINT]
    [ours] = endpoint["deployedModels"]
    endpoint["deployedModels"].append({"id": "7", "model": f"{PARENT}/models/theirs", "displayName": "theirs"})
    endpoint["trafficSplit"] = {ours["id"]: 70, "7": 30}
    assert on_vertex("remove", "last", "--yes") == 0
    assert vertex.shares("beamtune") == {"theirs": 100}
    assert "stays: deployments that were not made by beamtune are on it" in capsys.readouterr().err
