"""The requests for jobs: compared field by field with files that were read beside the API's documentation."""

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from google.cloud import aiplatform_v1 as v1
from google.protobuf import json_format
from hypothesis import given, settings
from hypothesis import strategies as st

from beam_pipelines.common.errors import UserError
from configs.compose import compose, to_dataclass
from configs.launch.config import DataflowLaunchConfig, LaunchCommandConfig, VertexLaunchConfig
from configs.launch.identity import JobIdentity, identify
from configs.launch.launched import Launched, launched_command
from configs.launch.machines import PRESETS
from configs.launch.plan import Plan, describe_plan, make_plan
from configs.launch.vertex_job import vertex_command, vertex_job, vertex_pools

REQUESTS = Path(__file__).parent / "requests"
DIGEST = f"sha256:{'0123456789abcdef' * 4}"
IMAGE = f"us-central1-docker.pkg.dev/my-project/images/beamtune:0.1.0@{DIGEST}"
PLACE = ("launch.project=my-project", f"launch.image={IMAGE}")
DATA = "data_dir=gs://bucket/prepared"

LAUNCHES = {
    "train_cpu": ("vertex", "train", DATA, "run_dir=gs://bucket/run"),
    "train_four_gpus": (
        "vertex",
        "train",
        DATA,
        "run_dir=gs://bucket/run",
        "launch.machine=l4",
        "launch.accelerators=4",
    ),
    "train_three_machines_spot": (
        *(
            "vertex",
            "train",
            DATA,
            "run_dir=gs://bucket/run",
            "epochs=3",
            "launch.machine=a100-80",
            "launch.replicas=3",
        ),
        *("launch.scheduling=spot", "launch.timeout_s=7200"),
    ),
    "train_tpu": (
        "vertex",
        "train",
        DATA,
        "run_dir=gs://bucket/run",
        "launch.machine=tpu-v5e",
        "launch.accelerators=8",
    ),
    "train_in_experiment": (
        *("vertex", "train", DATA, "run_dir=gs://bucket/run", "launch.experiment=first-try"),
        "launch.service_account=trainer@my-project.iam.gserviceaccount.com",
    ),
    "tune_chief_and_workers": (
        *("vertex", "tune", DATA, "search_dir=gs://bucket/search", "launch.machine=t4", "launch.replicas=2"),
    ),
    "tune_flex_start": (
        *("vertex", "tune", DATA, "search_dir=gs://bucket/search", "launch.machine=h200", "launch.chief_machine=null"),
        *("launch.replicas=2", "launch.scheduling=flex_start", "launch.max_wait_s=0", "launch.timeout_s=604800"),
    ),
    "tune_alone": (
        *("vertex", "tune", DATA, "search_dir=gs://bucket/search", "launch.machine=l4", "launch.chief_machine=null"),
    ),
    "predict_with_all_settings": (
        *("vertex", "predict", "gs://bucket/run", "gs://bucket/music", "output=gs://bucket/out/logs/genres.csv"),
        *("launch.machine=l4", "launch.machine_type=g2-standard-16", "launch.region=europe-west4"),
        "launch.service_account=trainer@my-project.iam.gserviceaccount.com",
        "launch.psc_network_attachment=projects/p/regions/europe-west4/networkAttachments/inner",
        "launch.kms_key=projects/p/locations/europe-west4/keyRings/ring/cryptoKeys/key",
        *("launch.labels={team: music}", "launch.experiment=first", "launch.boot_disk_size_gb=200"),
        *("launch.boot_disk_type=pd-standard", "launch.base_output_dir=gs://bucket/out"),
        "launch.tensorboard=projects/p/locations/europe-west4/tensorboards/1",
        "launch.environment={TF_CPP_MIN_LOG_LEVEL: '2', NCCL_DEBUG: INFO}",
    ),
    "prepare_on_dataflow": (
        *("dataflow", "prepare", "dataset=folder", "dataset.root=gs://bucket/music", "output_dir=gs://bucket/prepared"),
        *("runner.temp_location=gs://bucket/temp", "launch.network=projects/123/global/networks/inner"),
        *("launch.labels={team: music, cost-center: '007'}", "runner.max_workers=9"),
        "launch.kms_key=projects/p/locations/us-central1/keyRings/ring/cryptoKeys/key",
    ),
}


def plan_of(words: Sequence[str]) -> Plan:
    target, name, *rest = words
    own = [word for word in [*PLACE, *rest] if word.startswith("launch.")]
    others = [word for word in rest if not word.startswith("launch.")]
    config = to_dataclass(compose("launch", [f"launch={target}", *own]))
    assert isinstance(config, LaunchCommandConfig)
    paths = [word for word in others if "=" not in word]
    return make_plan(config.launch, name, paths, [word for word in others if word not in paths])


def request_of(plan: Plan) -> dict[str, Any]:
    # The true key would change with each new setting of the command.
    return plan.job(JobIdentity(key=32 * "0", command=plan.launched.name, version="0.1.0"))


def parsed(request: dict[str, Any]) -> v1.CustomJob:
    """Returns the message of Google's client; an unknown field or a wrong type raises."""
    job = v1.CustomJob()
    json_format.ParseDict(request, v1.CustomJob.pb(job))
    return job


@pytest.mark.parametrize("name", LAUNCHES)
def test_requests_are_those_of_the_files(name: str) -> None:
    request = request_of(plan_of(LAUNCHES[name]))
    assert parsed(request)
    assert request == json.loads((REQUESTS / f"{name}.json").read_text(encoding="utf-8"))


def test_each_file_is_of_a_launch() -> None:
    assert {path.stem for path in REQUESTS.iterdir()} == set(LAUNCHES)


@cache
def command(name: str) -> Launched:
    written = {"train": "run_dir", "tune": "search_dir", "evaluate": "run_dir"}.get(name, "output_dir")
    paths = {"export": ["gs://bucket/run"], "predict": ["gs://bucket/run", "gs://bucket/music"]}.get(name, [])
    if name == "predict":
        return launched_command(name, paths, ["output=gs://bucket/genres.csv"])
    words = {"prepare": ["dataset=folder", "dataset.root=gs://bucket/music"], "convert": ["source=gs://bucket/music"]}
    data = [] if name == "export" else [DATA]
    return launched_command(name, paths, [*words.get(name, data), f"{written}=gs://bucket/out"])


@settings(max_examples=120, deadline=None)
@given(
    name=st.sampled_from(["train", "tune", "crossval", "predict", "evaluate", "baselines", "export", "prepare"]),
    machine=st.sampled_from(sorted(PRESETS)),
    accelerators=st.one_of(st.none(), st.sampled_from([0, 1, 2, 3, 4, 8, 16])),
    replicas=st.sampled_from([1, 2, 5]),
    scheduling=st.sampled_from(["standard", "spot", "flex_start"]),
    chief=st.sampled_from(["cpu-4", None]),
)
def test_every_accepted_launch_is_a_valid_job(
    name: str, machine: str, accelerators: int | None, replicas: int, scheduling: str, chief: str | None
) -> None:
    try:
        config = VertexLaunchConfig(
            project="my-project",
            image=IMAGE,
            machine=machine,
            accelerators=accelerators,
            replicas=replicas,
            scheduling=scheduling,
            chief_machine=chief,
        )
        launched = vertex_command(config, command(name))
    except UserError as error:
        assert "expected" in str(error) and "\n" not in str(error)
        return
    job = parsed(vertex_job(config, launched, identify(launched, data_key=None)))
    pools = job.job_spec.worker_pool_specs
    num_machines = sum(pool.replica_count for pool in pools)
    assert pools[0].replica_count == 1 and len(pools) <= 2
    assert num_machines == replicas + (1 if name == "tune" and (chief is not None or replicas > 1) else 0)
    [*_, last] = pools
    preset = PRESETS[machine]
    count = last.machine_spec.accelerator_count
    assert last.machine_spec.machine_type in preset.machine_types
    if preset.is_tpu:
        assert (num_machines, count, last.machine_spec.accelerator_type) == (1, 0, v1.AcceleratorType(0))
        assert last.machine_spec.tpu_topology
    else:
        assert count in preset.machine_types[last.machine_spec.machine_type]
        assert accelerators in (None, count)
    if scheduling == "flex_start":
        assert len({str(pool.machine_spec) for pool in pools}) == 1
        assert job.job_spec.scheduling.max_wait_duration.total_seconds() == 86_400
    assert job.job_spec.scheduling.strategy.name == scheduling.upper()
    chosen = [word for word in pools[0].container_spec.args if word.startswith("strategy=")]
    if name not in ("train", "tune", "crossval"):
        assert chosen == [] and num_machines == 1 and count <= 1
    elif preset.is_tpu:
        assert chosen == ["strategy=tpu"]
    elif name == "train" and replicas > 1:
        assert chosen == ["strategy=multi_worker"]
    else:
        assert chosen == (["strategy=mirrored"] if count > 1 else [])
    assert len({str(pool.container_spec) for pool in pools}) == 1
    assert describe_plan(Plan(config, launched, vertex_pools(config, launched), lambda _: {}))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train", "launch.machine=cpu-5"], "launch.machine=cpu-5: expected one of cpu-4, "),
        (["train", "launch.machine=l4", "launch.accelerators=3"], "launch.accelerators=3: expected 1, 2, 4 or 8 with "),
        (
            ["train", "launch.machine=h200", "launch.accelerators=4"],
            "launch.accelerators=4: expected 8 with launch.machine",
        ),
        (
            ["train", "launch.machine=l4", "launch.machine_type=g2-standard-24", "launch.accelerators=1"],
            "launch.accelerators=1: expected 2 with launch.machine=l4 and g2-standard-24",
        ),
        (
            ["train", "launch.accelerators=1"],
            "launch.accelerators=1: expected 0 or null with launch.machine=cpu-8, which ",
        ),
        (["baselines", "launch.machine=l4"], "launch.machine=l4: expected CPUs: baselines does not use GPUs"),
        (
            ["evaluate", "launch.machine=l4", "launch.accelerators=2"],
            "launch.accelerators=2: expected 1: evaluate uses no ",
        ),
        (
            ["evaluate", "launch.machine=tpu-v5e"],
            "launch.machine=tpu-v5e: expected CPUs or GPUs: evaluate does not use ",
        ),
        (
            ["tune", "refit=true", "launch.replicas=2"],
            "launch.replicas=2: expected 1: tune refit=true runs on one machine",
        ),
        (["crossval", "launch.replicas=2"], "launch.replicas=2: expected 1: crossval runs on one machine"),
        (
            ["train", "launch.replicas=2", "launch.machine=tpu-v5e"],
            "launch.replicas=2: expected 1 with launch.machine=tpu",
        ),
        (
            ["train", "launch.scheduling=flex_start"],
            "launch.machine=cpu-8: expected one of l4, a100, a100-80, h100, h200 with launch.scheduling=flex_start",
        ),
        (
            ["train", "launch.scheduling=flex_start", "launch.machine=l4", "launch.timeout_s=604801"],
            "launch.timeout_s=604801: expected at most 604800 s (7 days) with launch.scheduling=flex_start",
        ),
        (
            ["tune", "launch.scheduling=flex_start", "launch.machine=l4"],
            "launch.chief_machine=cpu-4: expected null with launch.scheduling=flex_start, whose machines are all of ",
        ),
        (
            ["train", "launch.scheduling=spot", "launch.machine=tpu-v5e"],
            "launch.scheduling=spot: expected standard with ",
        ),
        (["train", "strategy=mirrored", "launch.replicas=2"], "strategy=mirrored: expected multi_worker with "),
        (["train", "strategy=multi_worker"], "strategy=multi_worker: expected none with launch.machine=cpu-8 and "),
        (["train", "strategy=tpu"], "strategy=tpu: expected none with "),
        (
            *(["train", "strategy=mirrored", "strategy.num_devices=4", "launch.machine=l4", "launch.accelerators=2"],),
            "strategy.num_devices=4: expected at most 2 with launch.accelerators=2",
        ),
        (
            ["tune", "strategy=multi_worker"],
            "strategy=multi_worker: expected none or mirrored: each worker of a search",
        ),
        (
            ["prepare", "dataset=folder", "dataset.root=gs://bkt/m", "runner=dataflow"],
            "runner.project is not set: give ",
        ),
        (["train", "launch.image=beamtune"], "launch.image=beamtune: expected the name of an image with its registry"),
        (
            ["train", "launch.image=host.dev/a/b:1@sha256:12"],
            "launch.image=host.dev/a/b:1@sha256:12: expected the name of",
        ),
        (["train", "launch.project=P"], "launch.project=P: expected the id of a project"),
        (["train", "launch.region=moon"], "launch.region=moon: expected a region"),
        (["train", "launch.timeout_s=599"], "launch.timeout_s=599: expected 600 to 2419200 s (28 days)"),
        (["train", "launch.boot_disk_size_gb=99"], "launch.boot_disk_size_gb=99: expected 100 to 64000 GB"),
        (["train", "launch.labels={Team: a}"], "launch.labels.Team=a: expected at most 63 lower-case letters"),
        (["train", "launch.labels={beamtune-launch: a}"], "launch.labels.beamtune-launch=a: expected another name"),
        (["train", "launch.experiment=A"], "launch.experiment=A: expected at most 63 lower-case letters"),
        (["train", "launch.network=default"], "launch.network=default: expected projects/NUMBER/global/networks/NAME"),
        (["train", "launch.kms_key=key"], "launch.kms_key=key: expected projects/…/locations/…/keyRings/"),
        (
            ["train", "launch.api_endpoint=http://example.com"],
            "launch.api_endpoint=http://example.com: expected https://",
        ),
        (
            ["train", "launch.network=projects/1/global/networks/a", "launch.psc_network_attachment=b"],
            "launch.psc_network_attachment=b: expected null with launch.network",
        ),
        (
            ["train", "launch.tensorboard=projects/p/locations/r/tensorboards/1"],
            "launch.tensorboard=projects/p/locations/r/tensorboards/1: expected launch.service_account and ",
        ),
        (
            [
                *("train", "launch.tensorboard=projects/p/locations/r/tensorboards/1", "launch.service_account=a@b"),
                "launch.base_output_dir=gs://bucket/base",
            ],
            "run_dir=gs://bucket/out: expected a folder below gs://bucket/base/logs",
        ),
    ],
)
def test_what_cannot_run_is_one_line(words: list[str], message: str) -> None:
    name, *rest = words
    known = {word.partition("=")[0] for word in rest}
    others = [word for word in command(name).words if word.partition("=")[0] not in known]
    with pytest.raises(UserError) as error:
        plan_of(["vertex", name, *others, *rest])
    assert str(error.value).startswith(message)


@pytest.mark.parametrize("name", ["API_KEY", "AIP_MODEL_DIR", "TF_CONFIG", "WANDB_API_KEY", "tf_x", "HOME"])
def test_variables_that_may_hold_secrets_are_not_passed_on_and_not_shown(name: str) -> None:
    with pytest.raises(UserError, match=f"launch.environment: {name} is not passed on") as error:
        VertexLaunchConfig(project="my-project", image=IMAGE, environment={name: "s3cret"})
    assert "s3cret" not in str(error.value)


def test_a_pipeline_of_dataflow_is_not_waited_for_on_a_large_machine() -> None:
    with pytest.raises(UserError, match="runner=dataflow: expected beamtune launch dataflow prepare"):
        plan_of(["vertex", *LAUNCHES["prepare_on_dataflow"][1:-1], "runner=dataflow", "runner.project=my-project"])


def test_a_refit_is_one_process_on_the_machine_of_the_workers() -> None:
    plan = plan_of(["vertex", "tune", *PLACE, DATA, "search_dir=gs://bucket/s", "refit=true", "launch.machine=l4"])
    assert [(pool.machine.machine_type, pool.num_replicas) for pool in plan.pools] == [("g2-standard-8", 1)]


def test_the_machine_of_a_pipeline_has_no_gpu() -> None:
    with pytest.raises(UserError, match="launch.machine=l4: expected one of cpu-4, cpu-8"):
        DataflowLaunchConfig(project="my-project", image=IMAGE, machine="l4")


def test_what_a_job_is_known_by() -> None:
    def key(*words: str, data_key: str | None = "data-1") -> str:
        return identify(launched_command("train", [], [DATA, "run_dir=gs://b12/r", *words]), data_key=data_key).key

    first = key()
    assert key("epochs=25") == first  # the default
    assert key("storage.retry_deadline_s=1") == first
    others = {key("epochs=3"), key("model=crnn"), key(data_key="data-2"), key(data_key=None)}
    assert len(others | {first}) == 5
    assert len(first) == 32 and set(first) <= set("0123456789abcdef")
