"""The requests for servers: compared field by field with files that were read beside the APIs' documentation."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from google.cloud import aiplatform_v1 as v1
from google.cloud import run_v2
from google.protobuf import json_format
from hypothesis import given, settings
from hypothesis import strategies as st

from beam_pipelines.common.errors import UserError
from configs.compose import compose, to_dataclass
from configs.launch.config import LaunchCommandConfig
from configs.launch.costs import read_prices
from configs.launch.serving import served as served_module
from configs.launch.serving.cloudrun_request import cloudrun_request
from configs.launch.serving.config import CloudRunConfig, VertexServeConfig
from configs.launch.serving.describe import ask_cloud_run, ask_vertex, describe_cloud_run, describe_vertex
from configs.launch.serving.machines import SERVING_PRESETS
from configs.launch.serving.options import launch_option
from configs.launch.serving.served import Served, served_command
from configs.launch.serving.vertex_requests import vertex_requests

REQUESTS = Path(__file__).parent / "requests"
DIGEST = f"sha256:{'0123456789abcdef' * 4}"
IMAGE = f"us-central1-docker.pkg.dev/my-project/images/serve:0.1.0@{DIGEST}"
PLACE = ("launch.project=my-project", f"launch.image={IMAGE}")
MODEL = "gs://bucket/exports/mine"
KEY = "projects/p/locations/us-central1/keyRings/ring/cryptoKeys/key"
SHARED = (
    *("launch.service_account=server@my-project.iam.gserviceaccount.com", f"launch.kms_key={KEY}"),
    *("launch.labels={team: music}", "launch.environment={TF_NUM_INTRAOP_THREADS: '4'}"),
)

LAUNCHES = {
    "vertex": ("vertex",),
    "vertex_with_all_settings": (
        *("vertex", *SHARED, "max_duration_s=600", "allowed_buckets=[music]", "launch.endpoint=genres"),
        *("launch.machine=l4", "launch.machine_type=g2-standard-8", "launch.min_replicas=2", "launch.max_replicas=5"),
        *("launch.target_utilization=70", "launch.traffic=10", "launch.request_timeout_s=60"),
        *("launch.startup_timeout_s=95", "launch.deployment_timeout_s=3600"),
    ),
    "cloudrun": ("cloudrun",),
    "cloudrun_with_all_settings": (
        *("cloudrun", *SHARED, "max_duration_s=600", "launch.service=genres", "launch.cpu=4", "launch.memory_gib=16"),
        *("launch.concurrency=4", "launch.min_instances=1", "launch.max_instances=9", "launch.request_timeout_s=60"),
        *("launch.startup_timeout_s=95", "launch.ingress=internal"),
    ),
}


def server_of(words: Sequence[str]) -> tuple[Any, Served]:
    target, *rest = words
    own = [word for word in [*PLACE, *rest] if word.startswith("launch.")]
    config = to_dataclass(compose("launch", [f"launch={launch_option(target, 'serve')}", *own]))
    assert isinstance(config, LaunchCommandConfig)
    others = [word for word in rest if not word.startswith("launch.")]
    return config.launch, served_command([MODEL], others)


def requests_of(words: Sequence[str]) -> dict[str, Any]:
    config, served = server_of(words)
    if isinstance(config, VertexServeConfig):
        return vertex_requests(config, served, files_key="files").shown()
    assert isinstance(config, CloudRunConfig)
    return cloudrun_request(config, served, files_key="files").shown()


def check_parses(requests: dict[str, Any]) -> None:
    """Asserts that the messages of Google's clients have all fields; an unknown one or a wrong type raises."""
    kinds = {
        "uploadModel": v1.UploadModelRequest,
        "createEndpoint": v1.CreateEndpointRequest,
        "deployModel": v1.DeployModelRequest,
        "createService": run_v2.CreateServiceRequest,
    }
    for name, request in requests.items():
        json_format.ParseDict(request, kinds[name].pb(kinds[name]()))


@pytest.mark.parametrize("name", LAUNCHES)
def test_requests_are_those_of_the_files(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(served_module, "beamtune_version", lambda: "0.1.0")
    requests = requests_of(LAUNCHES[name])
    check_parses(requests)
    assert requests == json.loads((REQUESTS / f"{name}.json").read_text(encoding="utf-8"))


def test_each_file_is_of_a_launch() -> None:
    assert {path.stem for path in REQUESTS.iterdir()} == set(LAUNCHES)


@settings(max_examples=60, deadline=None)
@given(
    machine=st.sampled_from(sorted(SERVING_PRESETS)),
    replicas=st.tuples(st.integers(0, 4), st.integers(0, 4)),
    traffic=st.integers(-1, 101),
    cpu=st.integers(0, 9),
    memory=st.integers(0, 33),
)
def test_every_accepted_server_is_a_valid_request(
    machine: str, replicas: tuple[int, int], traffic: int, cpu: int, memory: int
) -> None:
    served = Served(MODEL, [], served_command([MODEL], []).config)
    least, most = replicas
    for kind, values in (
        (VertexServeConfig, {"machine": machine, "min_replicas": least, "max_replicas": most, "traffic": traffic}),
        (CloudRunConfig, {"cpu": cpu, "memory_gib": memory, "min_instances": least, "max_instances": most}),
    ):
        try:
            config = kind(project="my-project", image=IMAGE, **values)
        except UserError as error:
            assert "expected" in str(error) and "\n" not in str(error)
            continue
        if isinstance(config, VertexServeConfig):
            requests = vertex_requests(config, served, files_key=None)
            check_parses(requests.shown())
            resources = requests.deploy_model["deployedModel"]["dedicatedResources"]
            assert 1 <= resources["minReplicaCount"] <= resources["maxReplicaCount"]
            assert ("autoscalingMetricSpecs" in resources) == (most > least)
            assert requests.deployed_id.isdecimal() and len(requests.deployed_id) == 10
            assert all("no price" not in line for line in describe_vertex(config, served))
        else:
            check_parses(cloudrun_request(config, served, files_key=None).shown())
            assert describe_cloud_run(config, served)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["vertex", "launch.endpoint=Mine"], "launch.endpoint=Mine: expected a letter, and then at most 62 "),
        (["vertex", "launch.endpoint=7"], "launch.endpoint=7: expected a letter, "),
        (["vertex", "launch.machine=h100"], "launch.machine=h100: expected one of cpu-2, cpu-4, "),
        (["vertex", "launch.machine_type=n1-standard-8"], "launch.machine_type=n1-standard-8: expected one of n2-sta"),
        (["vertex", "launch.min_replicas=0"], "launch.min_replicas=0: expected 1 to 100 machines"),
        (
            ["vertex", "launch.min_replicas=3", "launch.max_replicas=2"],
            "launch.max_replicas=2: expected 3 to 100 machines, and not fewer than launch.min_replicas",
        ),
        (["vertex", "launch.traffic=101"], "launch.traffic=101: expected 0 to 100 percent"),
        (["vertex", "launch.labels={beamtune-endpoint: a}"], "launch.labels.beamtune-endpoint=a: expected another "),
        (["vertex", "launch.environment={API_KEY: s3cret}"], "launch.environment: API_KEY is not passed on: "),
        (["vertex", "launch.timeout_s=600"], "launch.timeout_s: there is no such setting"),
        (["vertex", "host=0.0.0.0"], "host=0.0.0.0: expected nothing: the platform chooses who connects"),
        (["vertex", "port=0"], "port=0: expected nothing: the platform chooses who connects"),
        (["vertex", "max_waiting=-1"], "max_waiting=-1: expected a whole number from 0 to 100000"),
        (["cloudrun", "token_file=/t"], "token_file=/t: expected nothing: the platform chooses who connects"),
        (["cloudrun", "launch.service=a_b"], "launch.service=a_b: expected a letter, and then at most 48 "),
        (["cloudrun", "launch.cpu=3"], "launch.cpu=3: expected 1, 2, 4, 6 or 8 vCPUs"),
        (["cloudrun", "launch.memory_gib=9"], "launch.memory_gib=9: expected 1 to 8 GiB with launch.cpu=2"),
        (["cloudrun", "launch.ingress=none"], "launch.ingress=none: expected one of all, internal, "),
        (["cloudrun", "launch.max_instances=0"], "launch.max_instances=0: expected 1 to 1000 instances"),
        (["cloudrun", "launch.startup_timeout_s=241"], "launch.startup_timeout_s=241: expected 10 to 240 s"),
    ],
)
def test_what_cannot_be_served_is_one_line(words: list[str], message: str) -> None:
    with pytest.raises(UserError) as error:
        server_of(words)
    assert str(error.value).startswith(message) and "\n" not in str(error.value)
    assert "s3cret" not in str(error.value)


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        ([], "launch … serve takes one path, that of a run or an export: got none"),
        ([MODEL, MODEL], f"launch … serve takes one path, that of a run or an export: got {MODEL} {MODEL}"),
        (["runs/mine"], "runs/mine is on this machine, which a server does not reach: copy it with beamtune sync "),
        (["gs://b/x"], "serve=gs://b/x: expected the name of a bucket after gs://, which has 3 to 222 "),
    ],
)
def test_a_model_is_in_a_bucket(paths: list[str], message: str) -> None:
    with pytest.raises(UserError) as error:
        served_command(paths, [])
    assert str(error.value).startswith(message)


def test_what_a_server_is_known_by() -> None:
    def ids(*words: str, files_key: str = "files") -> tuple[str, str]:
        config, served = server_of(["vertex", *words])
        requests = vertex_requests(config, served, files_key=files_key)
        return requests.model, requests.deployed_id

    first = ids()
    # Labels and shares are no part of it.
    assert ids("launch.labels={team: music}", "launch.traffic=10", "launch.retry_deadline_s=1") == first
    # The same model on other machines is another deployment.
    machine = ids("launch.machine=cpu-8")
    assert machine[0] == first[0] and machine[1] != first[1]
    others = {ids("max_duration_s=60"), ids("launch.endpoint=other"), ids(files_key="changed"), first}
    assert len({model for model, _ in others}) == 4


def test_each_machine_has_a_price() -> None:
    prices = read_prices("us_central1_serving")
    names = {name for preset in SERVING_PRESETS.values() for name in preset.machine_types}
    assert names == set(prices.usd_per_hour)
    assert all(usd > 0 for usd in prices.usd_per_hour.values())


def test_what_is_said_before_a_server_is_made() -> None:
    config, served = server_of(["vertex", "launch.machine=t4", "launch.max_replicas=3", "allowed_buckets=[music]"])
    lines = describe_vertex(config, served)
    assert lines[0] == "machines: 1 to 3 n1-standard-4 with 1 NVIDIA_TESLA_T4, in us-central1"
    # 0.219 + 0.402
    assert lines[1] == (
        "cost: about 0.62 USD an hour or 14.90 USD a day until it is removed, and at most 1.86 USD an hour under load "
        "(approximate prices of us-central1 as of 2026-11-30: check before use)"
    )
    assert lines[2] == "quota: 3 of aiplatform.googleapis.com/custom_model_serving_nvidia_t4_gpus in us-central1"
    assert lines[3:] == [
        "note: allowed_buckets needs launch.service_account, an account that may read them",
        "note: the image must have TensorFlow for GPUs: otherwise the GPU is paid for and not used",
    ]
    config, served = server_of(["cloudrun", "launch.min_instances=1"])
    # 3600 × (2 × 0.000024 + 4 × 0.0000025), and 86400 × 6 × 0.0000025
    assert describe_cloud_run(config, served)[:2] == [
        "instances: 1 to 4 of 2 vCPUs and 4 GiB, in us-central1",
        "cost: about 0.21 USD for each hour in which an instance works, at most 0.84 USD an hour, and 1.30 USD a day "
        "for the instances that always run (approximate prices of us-central1 as of 2026-11-30: check before use)",
    ]


def test_a_fixed_number_of_machines_is_one_number() -> None:
    assert describe_vertex(*server_of(["vertex"]))[0] == "machines: 1 n2-standard-4, in us-central1"


def test_how_a_server_is_asked() -> None:
    base64, asked = [line for line in ask_vertex("https://x/v1/e:predict", ["music"]) if not line.startswith("#")]
    assert base64.startswith(
        """{ printf '{"instances": [{"audio_b64": "'; base64 -w0 song.mp3; printf '"}]}'; } | curl"""
    )
    assert asked.endswith("""'{"instances": [{"uri": "gs://music/song.mp3"}]}'""")
    assert len(ask_vertex("https://x/v1/e:predict", [])) == 2
    assert "gcloud run services add-iam-policy-binding s --project=p --region=r " in "\n".join(
        ask_cloud_run("https://x", "projects/p/locations/r/services/s")
    )
