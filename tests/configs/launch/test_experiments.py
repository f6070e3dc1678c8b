"""Jobs that belong to an experiment of Vertex AI, which is a recording stand-in on this machine."""

import io
from dataclasses import replace

import pytest
from google.cloud import aiplatform_v1 as v1
from google.protobuf import json_format
from recording_server import LOST
from vertex_server import VertexServer

from beam_pipelines.common.errors import UserError
from configs.launch.config import VertexLaunchConfig
from configs.launch.experiments import experiment_obstacle
from configs.launch.launch import submit
from configs.launch.plan import describe_plan, make_plan

IMAGE = "us-central1-docker.pkg.dev/my-project/images/beamtune:0.1.0"
PLACE = {"project": "my-project", "image": IMAGE, "retry_deadline_s": 5.0}
BOARD = "projects/p/locations/us-central1/tensorboards/1"
ACCOUNT = "trainer@my-project.iam.gserviceaccount.com"
STORE = "projects/my-project/locations/us-central1/metadataStores/default"
CONTEXT = f"{STORE}/contexts/first-try"


def start(vertex: VertexServer, config: VertexLaunchConfig, *, epochs: int = 1) -> None:
    words = ["data_dir=gs://bucket/data", "run_dir=gs://bucket/run", f"epochs={epochs}"]
    plan = make_plan(replace(config, api_endpoint=vertex.endpoint), "train", [], words)
    submit(plan, data_key="data-1", assume_yes=True, stream=io.StringIO())


@pytest.fixture
def config() -> VertexLaunchConfig:
    return VertexLaunchConfig(**PLACE, experiment="first-try", service_account=ACCOUNT)


@pytest.mark.parametrize("has_store", [True, False])
def test_the_experiment_is_made_once(vertex: VertexServer, config: VertexLaunchConfig, has_store: bool) -> None:
    vertex.has_store = has_store
    start(vertex, config)
    start(vertex, config, epochs=2)
    [*_, context] = vertex.of_kind("create_context")
    assert len(vertex.contexts) == 1
    # As aiplatform.Experiment.create of Google's library makes it.
    assert context == {
        "displayName": "first-try",
        "schemaTitle": "system.Experiment",
        "schemaVersion": "0.0.1",
        "metadata": {"experiment_deleted": False},
    }
    assert len(vertex.of_kind("create_store")) == (0 if has_store else 1)
    jobs = vertex.of_kind("create")
    assert [job["jobSpec"]["experiment"] for job in jobs] == [CONTEXT, CONTEXT]
    assert [job["labels"]["beamtune-experiment"] for job in jobs] == ["first-try", "first-try"]
    assert json_format.ParseDict(jobs[0], v1.CustomJob.pb(v1.CustomJob()))


@pytest.mark.parametrize("status", [LOST, 503, 409])
def test_a_fault_makes_no_second_one(vertex: VertexServer, config: VertexLaunchConfig, status: int) -> None:
    vertex.fail("create_context", status)
    start(vertex, config)
    assert len(vertex.jobs) == 1
    assert len(vertex.contexts) == (0 if status == 409 else 1)  # with 409, another command has made it


def test_something_else_of_this_name_is_no_experiment(vertex: VertexServer, config: VertexLaunchConfig) -> None:
    vertex.contexts[CONTEXT] = {"name": CONTEXT, "schemaTitle": "system.Pipeline"}
    with pytest.raises(UserError, match="is no experiment, but a system.Pipeline: choose another launch.experiment"):
        start(vertex, config)
    assert vertex.jobs == {}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, "Vertex AI takes jobs into experiments only with launch.service_account"),
        (
            {"service_account": ACCOUNT, "tensorboard": BOARD, "base_output_dir": "gs://bucket"},
            "Vertex AI takes no job into an experiment that has launch.tensorboard",
        ),
        ({"service_account": ACCOUNT, "experiment": "a_b"}, "names of experiments have 4 to 128 lower-case letters"),
        ({"service_account": ACCOUNT, "experiment": "abc"}, "names of experiments have 4 to 128 lower-case letters"),
    ],
)
def test_where_it_cannot_be_there_is_the_label_alone(changes: dict[str, str], reason: str) -> None:
    config = VertexLaunchConfig(**{**PLACE, "experiment": "first-try", **changes})
    assert (experiment_obstacle(config) or "").startswith(reason)
    plan = make_plan(config, "train", [], ["data_dir=gs://bucket/data", "run_dir=gs://bucket/logs/run"])
    assert any(f"is only a label of the job: {reason}" in line for line in describe_plan(plan))
