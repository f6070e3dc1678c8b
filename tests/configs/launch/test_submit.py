"""Jobs that are submitted to a recording stand-in for the service."""

import io
from collections.abc import Callable
from dataclasses import replace

import pytest
from recording_server import LOST
from vertex_server import VertexServer

from beam_pipelines.common.errors import UserError
from configs.launch.config import VertexLaunchConfig
from configs.launch.identity import JobIdentity
from configs.launch.launch import submit
from configs.launch.plan import Plan, make_plan
from configs.launch.service import JobService
from configs.launch.service_errors import ServiceOutageError

FIRST = "projects/my-project/locations/us-central1/customJobs/1000"
SECOND = f"{FIRST[:-1]}1"

Submit = Callable[..., str]


@pytest.fixture(scope="module")
def plan() -> Plan:
    config = VertexLaunchConfig(project="my-project", image="us-central1-docker.pkg.dev/p/i/beamtune:0.1.0")
    return make_plan(config, "train", [], ["data_dir=gs://bucket/data", "run_dir=gs://bucket/run"])


@pytest.fixture
def send(plan: Plan, vertex: VertexServer) -> Submit:
    """Submits the job; returns what is printed."""

    def run(*, data_key: str = "data-1", again: bool = False, retry_deadline_s: float = 5.0) -> str:
        config = replace(plan.config, api_endpoint=vertex.endpoint, again=again, retry_deadline_s=retry_deadline_s)
        stream = io.StringIO()
        submit(replace(plan, config=config), data_key=data_key, assume_yes=True, stream=stream)
        return stream.getvalue()

    return run


@pytest.mark.parametrize("state", ["QUEUED", "PENDING", "RUNNING", "SUCCEEDED"])
def test_the_same_job_is_not_started_twice(send: Submit, vertex: VertexServer, state: str) -> None:
    assert send() == f"{FIRST} (PENDING)\n"
    vertex.set_state(state)
    assert send().startswith(f"{FIRST} ({state}, created 2026-11-30T12:00:00Z) has the same command, settings and data")
    assert [kind for kind, _ in vertex.requests] == ["list", "create", "list"]


@pytest.mark.parametrize("state", ["FAILED", "CANCELLED", "CANCELLING", "EXPIRED"])
def test_a_job_that_did_not_succeed_is_started_again(send: Submit, vertex: VertexServer, state: str) -> None:
    send()
    vertex.set_state(state)
    assert send() == f"{SECOND} (PENDING)\n"


def test_other_data_make_another_job_and_so_does_again(send: Submit, vertex: VertexServer) -> None:
    assert send() == f"{FIRST} (PENDING)\n"
    assert send(data_key="data-2") == f"{SECOND} (PENDING)\n"
    assert send(again=True) == f"{FIRST[:-1]}2 (PENDING)\n"
    keys = [content["labels"]["beamtune-launch"] for content in vertex.of_kind("create")]
    assert keys[0] == keys[2] != keys[1]


def test_a_job_whose_answer_was_lost_is_found(send: Submit, vertex: VertexServer) -> None:
    vertex.fail("create", LOST)
    assert send() == f"{FIRST} (PENDING)\n"
    assert [kind for kind, _ in vertex.requests] == ["list", "create", "list"]
    vertex.fail("create", LOST)
    assert send(again=True) == f"{SECOND} (PENDING)\n"  # the older job is not taken for it
    assert len(vertex.jobs) == 2


def test_faults_that_pass_are_repeated(send: Submit, vertex: VertexServer) -> None:
    vertex.fail("list", 503)
    vertex.fail("create", 502, 429, message="Resources are insufficient in region us-central1. Try again later.")
    assert send(retry_deadline_s=60.0) == f"{FIRST} (PENDING)\n"
    assert [kind for kind, _ in vertex.requests] == ["list", "list", "create", "list", "create", "list", "create"]
    assert len(vertex.jobs) == 1


def test_a_longer_outage_ends_the_command(send: Submit, vertex: VertexServer) -> None:
    vertex.fail("create", 503, message="the service is away")
    with pytest.raises(ServiceOutageError) as error:
        send(retry_deadline_s=0.0)
    assert str(error.value) == (
        "Vertex AI cannot be reached (the service is away): run the same command again, which looks first whether the "
        "job was started"
    )


@pytest.mark.parametrize(
    ("status", "message", "line"),
    [
        (
            403,
            "Permission 'aiplatform.customJobs.create' denied on resource '//aiplatform.googleapis.com/projects/p' (or "
            "it may not exist).",
            "the permission aiplatform.customJobs.create is missing",
        ),
        (
            403,
            "You do not have permission to act as service_account: trainer@my-project.iam.gserviceaccount.com. (or it "
            "may not exist).",
            "add-iam-policy-binding trainer@my-project.iam.gserviceaccount.com --project=my-project --member=user:YOU "
            "--role=roles/iam.serviceAccountUser",
        ),
        (
            403,
            "Vertex AI API has not been used in project my-project before or it is disabled.",
            "Vertex AI is not enabled in the project: gcloud services enable aiplatform.googleapis.com "
            "--project=my-project",
        ),
        (404, "Project my-project is not found.", "something that it names does not: Project my-project is not found."),
        (409, "The resource exists.", "it exists already, or is being changed: The resource exists."),
        (
            400,
            "Machine type 'x' is not supported.",
            "Vertex AI does not accept the request: Machine type 'x' is not supported.",
        ),
        (
            429,
            "The following quota metrics exceed quota limits: "
            "aiplatform.googleapis.com/custom_model_training_nvidia_l4_gpus",
            "the quota aiplatform.googleapis.com/custom_model_training_nvidia_l4_gpus is too small",
        ),
        (401, "Request had invalid credentials.", "Google refuses the credentials, which may have expired ("),
        (418, "odd\nlines\n" + 400 * "x", "odd lines xxx"),
    ],
)
def test_errors_of_the_service_are_one_line(
    send: Submit, vertex: VertexServer, status: int, message: str, line: str
) -> None:
    vertex.fail("create", status, message=message)
    with pytest.raises(UserError) as error:
        send()
    assert line in str(error.value)
    assert "http://" not in str(error.value) and "\n" not in str(error.value) and len(str(error.value)) < 900
    # Otherwise the command line would take it for an error of a bucket.
    assert error.value.__cause__ is None and error.value.__suppress_context__
    assert vertex.jobs == {}
    assert len(vertex.of_kind("create")) == 1


def test_all_pages_of_a_list_are_read(send: Submit, vertex: VertexServer) -> None:
    send()
    [job] = vertex.jobs.values()
    for number in range(1001, 1250):
        vertex.jobs[f"{FIRST[:-4]}{number}"] = {**job, "name": f"{FIRST[:-4]}{number}"}
    vertex.jobs[f"{FIRST[:-4]}1"] = {**job, "name": f"{FIRST[:-4]}1", "labels": {"other": ""}}
    service = JobService(project="my-project", region="us-central1", api_endpoint=vertex.endpoint, retry_deadline_s=5.0)
    assert len(service.list_jobs()) == 250
    identity = JobIdentity(key=job["labels"]["beamtune-launch"], command="train", version="0.1.0")
    assert len(service.list_jobs(identity)) == 250
    assert service.list_jobs(replace(identity, key=f"{identity.key[:10]}{22 * '0'}")) == []  # of the same display name
    assert service.list_jobs(replace(identity, key="0")) == []
