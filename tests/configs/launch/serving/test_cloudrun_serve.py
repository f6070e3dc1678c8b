"""Servers on Cloud Run, up to the service, which is a recording stand-in on this machine."""

import json
from collections.abc import Callable

import pytest
import yaml
from cloud_run_server import CloudRunServer
from recording_server import LOST

from configs.launch.history import find_job
from configs.launch.serving import cloud_run

IMAGE = "us-central1-docker.pkg.dev/my-project/images/serve:0.1.0"
SERVE = (
    *("cloudrun", "serve", "gs://bucket/exports/mine", "launch.project=my-project", f"launch.image={IMAGE}"),
    "--yes",
)
SERVICE = "projects/my-project/locations/us-central1/services/beamtune"

Launch = Callable[..., int]
Capture = pytest.CaptureFixture[str]


def test_a_model_is_served_once(on_cloud_run: Launch, run_service: CloudRunServer, capsys: Capture) -> None:
    run_service.num_polls = 2
    assert on_cloud_run(*SERVE) == 0
    captured = capsys.readouterr()
    assert captured.out.splitlines()[0] == SERVICE
    assert "-F file=@song.mp3 https://beamtune-77.us-central1.run.app/v1/predict" in captured.out
    assert "access: callers need roles/run.invoker, and no one has it from here; launch.ingress=all" in captured.err
    assert run_service.kinds() == ["get", "get", "create", "get", "get", "get"]
    assert find_job("last", project=None, region=None).name == SERVICE
    run_service.requests.clear()
    assert on_cloud_run(*SERVE, "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["is_new"], shown["url"]) == (False, "https://beamtune-77.us-central1.run.app")
    assert set(run_service.kinds()) == {"get"}


def test_the_request_is_that_of_the_dry_run(on_cloud_run: Launch, run_service: CloudRunServer, capsys: Capture) -> None:
    assert on_cloud_run(*SERVE, "--dry-run") == 0
    printed = capsys.readouterr().out
    assert "&" not in printed, "an anchor of YAML, in place of labels that are written twice"
    shown = yaml.safe_load(printed)["createService"]["service"]
    assert run_service.requests == []
    assert on_cloud_run(*SERVE) == 0
    [sent] = run_service.of_kind("create")
    assert sent["template"]["containers"] == shown["template"]["containers"]
    assert sent["ingress"] == shown["ingress"] == "INGRESS_TRAFFIC_ALL"
    # Only those whom IAM names may call it.
    assert "invokerIamDisabled" not in sent


def test_other_settings_make_a_new_revision(on_cloud_run: Launch, run_service: CloudRunServer) -> None:
    assert on_cloud_run(*SERVE) == 0
    assert on_cloud_run(*SERVE, "launch.cpu=4") == 0
    [changed] = run_service.of_kind("update")
    assert changed["template"]["containers"][0]["resources"]["limits"] == {"cpu": "4", "memory": "4Gi"}
    assert run_service.services[SERVICE]["latestReadyRevision"].endswith("/beamtune-00002")


@pytest.mark.parametrize("status", [LOST, 503, 429])
def test_faults_that_pass_are_repeated(on_cloud_run: Launch, run_service: CloudRunServer, status: int) -> None:
    run_service.fail("create", status, message="Try again later.")
    assert on_cloud_run(*SERVE) == 0
    assert len(run_service.of_kind("create")) == (1 if status == LOST else 2)
    run_service.fail("update", status, message="Try again later.")
    assert on_cloud_run(*SERVE, "launch.cpu=4") == 0
    assert len(run_service.of_kind("update")) == (1 if status == LOST else 2)


@pytest.mark.parametrize(
    ("status", "message", "line"),
    [
        (403, "Permission 'run.services.create' denied on resource 'x'.", "--role=roles/run.developer"),
        (
            403,
            "Cloud Run Admin API has not been used in project 77 before or it is disabled.",
            "Cloud Run is not enabled in the project: gcloud services enable run.googleapis.com --project=my-project",
        ),
        (400, "memory is too small.", "Cloud Run does not accept the request: memory is too small."),
        (409, "The resource exists.", "it exists already, or is being changed: The resource exists."),
    ],
)
def test_errors_of_the_service_are_one_line(
    on_cloud_run: Launch, run_service: CloudRunServer, capsys: Capture, status: int, message: str, line: str
) -> None:
    run_service.fail("create", status, message=message)
    assert on_cloud_run(*SERVE) == 2
    assert line in capsys.readouterr().err.splitlines()[-1]


def test_a_revision_that_does_not_start_is_said_and_made_anew(
    on_cloud_run: Launch, run_service: CloudRunServer, capsys: Capture
) -> None:
    run_service.failure = "The user-provided container failed\nto start."
    assert on_cloud_run(*SERVE) == 2
    line = f"the service {SERVICE} did not become ready: The user-provided container failed to start."
    assert capsys.readouterr().err.splitlines()[-1] == f"beamtune launch: {line}"
    assert on_cloud_run("status", "last") == 1
    assert "FAILED" in capsys.readouterr().out
    run_service.failure = ""
    assert on_cloud_run(*SERVE) == 0
    assert run_service.kinds().count("update") == 1


def test_after_an_interruption_the_same_command_waits_again(
    on_cloud_run: Launch, run_service: CloudRunServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_service.num_polls = 3

    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(cloud_run.time, "sleep", interrupt)
        assert on_cloud_run(*SERVE) == 130
    assert on_cloud_run(*SERVE) == 0
    assert [run_service.kinds().count(kind) for kind in ("create", "update")] == [1, 0]


def test_a_service_of_others_is_left_as_it_is(
    on_cloud_run: Launch, run_service: CloudRunServer, capsys: Capture
) -> None:
    run_service.services[SERVICE] = {"name": SERVICE, "labels": {"team": "other"}, "reconciling": False}
    assert on_cloud_run(*SERVE) == 2
    assert "was not made by beamtune, and is left as it is: choose another launch.service" in capsys.readouterr().err
    assert on_cloud_run("remove", SERVICE, "--yes") == 2
    assert set(run_service.kinds()) == {"get"}


def test_servers_are_shown_listed_and_removed(
    on_cloud_run: Launch, run_service: CloudRunServer, capsys: Capture
) -> None:
    assert on_cloud_run(*SERVE) == 0
    capsys.readouterr()
    assert on_cloud_run("status", "last", "--json") == 0
    assert json.loads(capsys.readouterr().out)["state"] == "READY"
    assert on_cloud_run("list", "launch=cloudrun", "launch.project=my-project", "--json") == 0
    assert [one["name"] for one in json.loads(capsys.readouterr().out)] == [SERVICE]
    assert on_cloud_run("logs", "last") == 0
    assert 'resource.labels.service_name="beamtune"' in capsys.readouterr().out
    assert on_cloud_run("remove", "last", "--dry-run") == 0
    assert capsys.readouterr().out == f"delete the service {SERVICE}\n"
    run_service.fail("delete", LOST)
    assert on_cloud_run("remove", "last", "--yes") == 0
    assert run_service.services == {}
    assert on_cloud_run("remove", "last", "--yes") == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"{SERVICE} does not exist, and nothing is left of it"


def test_only_servers_run_there(on_cloud_run: Launch, capsys: Capture) -> None:
    assert on_cloud_run("cloudrun", "train", *SERVE[3:]) == 2
    assert capsys.readouterr().err == "beamtune launch: COMMAND=train: expected serve\n"
