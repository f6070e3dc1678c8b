"""The settings of each kind of runner."""

import os

import pytest

from beam_pipelines.common.errors import UserError
from beam_pipelines.runners.config import (
    DaskRunnerConfig,
    DirectRunnerConfig,
    PortableRunnerConfig,
)
from beam_pipelines.runners.dataflow_config import DataflowRunnerConfig
from beam_pipelines.runners.machine_types import Machine

NEEDED = {
    DirectRunnerConfig: {},
    DaskRunnerConfig: {},
    DataflowRunnerConfig: {"project": "my-project", "temp_location": "gs://my-bucket/temp"},
    PortableRunnerConfig: {"name": "FlinkRunner"},
}


def dataflow(**values) -> DataflowRunnerConfig:
    return DataflowRunnerConfig(**{**NEEDED[DataflowRunnerConfig], **values})


@pytest.mark.parametrize(
    ("kind", "key", "value", "expected"),
    [
        (DirectRunnerConfig, "mode", "threads", "expected one of multi_threading, multi_processing, in_memory"),
        (DirectRunnerConfig, "num_workers", 0, "expected 1 to 1024 workers"),
        (DaskRunnerConfig, "num_workers", 1025, "expected 1 to 1024 workers"),
        (DaskRunnerConfig, "scheduler_address", "10.0.0.5", "expected a host and a port"),
        (DaskRunnerConfig, "scheduler_address", "tcp://a b:1", "expected a host and a port"),
        (DaskRunnerConfig, "connect_timeout_s", 0, "expected 1 to 600 s"),
        (DataflowRunnerConfig, "project", "My Project", "expected the id of a project"),
        (DataflowRunnerConfig, "region", "us-central1-a", "expected a region"),
        (DataflowRunnerConfig, "temp_location", "/scratch", "expected a path that begins with gs://"),
        (DataflowRunnerConfig, "machine_type", "n9-standard-4", "expected a type of n1, n2, "),
        (DataflowRunnerConfig, "machine_vcpus", 0, "expected 1 to 1024"),
        (DataflowRunnerConfig, "machine_memory_gib", 0.0, "expected more than 0"),
        (DataflowRunnerConfig, "max_workers", 0, "expected 1 to 4000 machines"),
        (DataflowRunnerConfig, "harness_threads", 0, "expected 1 to 256 threads"),
        (DataflowRunnerConfig, "worker_image", "beamtune", "expected the name of an image with its registry"),
        (DataflowRunnerConfig, "service_account_email", "worker", "expected an e-mail address"),
        (DataflowRunnerConfig, "subnetwork", "inner", "expected regions/<region>/subnetworks/<name>"),
        (DataflowRunnerConfig, "options", ["disk_size_gb=30"], "expected options that begin with two hyphens"),
        (
            DataflowRunnerConfig,
            "temp_location",
            "gs://b/temp",
            "expected the name of a bucket after gs://, which ",
        ),
        (DataflowRunnerConfig, "num_workers", 5, "expected 1 to runner.max_workers=4 machines, or null"),
        (DataflowRunnerConfig, "autoscaling_algorithm", "NON", "expected one of THROUGHPUT_BASED, NONE; did you mean"),
        (DataflowRunnerConfig, "disk_size_gb", 9, "expected 10 to 64000 GB"),
        (DataflowRunnerConfig, "worker_zone", "europe-west4-a", "expected a zone of runner.region=us-central1, e.g. "),
        (DataflowRunnerConfig, "worker_zone", "us-central1", "expected a zone of runner.region=us-central1, e.g. "),
        (DataflowRunnerConfig, "flexrs_goal", "CHEAP", "expected one of COST_OPTIMIZED, SPEED_OPTIMIZED"),
        (DataflowRunnerConfig, "dataflow_service_options", ["--x"], "expected options of the service such as "),
        (DataflowRunnerConfig, "dataflow_kms_key", "key", "expected projects/…/locations/…/keyRings/"),
        (DataflowRunnerConfig, "impersonate_service_account", "a@b,c", "expected an e-mail address, or several"),
        (DataflowRunnerConfig, "element_processing_timeout_minutes", 0, "expected 1 to 10080 minutes"),
        (DataflowRunnerConfig, "price_usd_per_vcpu_hour", -1.0, "expected a price"),
        (DataflowRunnerConfig, "price_usd_per_gib_hour", -1.0, "expected a price"),
        (PortableRunnerConfig, "name", "Flink Runner", "expected the name of a runner"),
        (PortableRunnerConfig, "options", ["-p=4"], "expected options that begin with two hyphens"),
        (PortableRunnerConfig, "num_workers", 0, "expected 1 to 1024 workers"),
    ],
)
def test_a_wrong_value_is_named_with_its_key(kind, key, value, expected):
    with pytest.raises(UserError) as caught:
        kind(**{**NEEDED[kind], key: value})
    shown = value[0] if isinstance(value, list) else value
    assert str(caught.value).startswith(f"runner.{key}={shown}: ")
    assert expected in str(caught.value)


@pytest.mark.parametrize(("key", "value"), [("Team", "a"), ("team", "A B"), ("1", "a")])
def test_labels_are_those_that_google_takes(key, value):
    with pytest.raises(UserError, match=f"runner.labels.{key}={value}: expected at most 63"):
        dataflow(labels={key: value})


def test_slots_are_shards_built_at_the_same_time():
    cores = os.cpu_count()
    assert [kind(**needed).num_slots() for kind, needed in NEEDED.items()] == [cores, cores, 16, cores]
    assert DirectRunnerConfig(num_workers=3).num_slots() == 3
    assert DaskRunnerConfig(num_workers=5, scheduler_address="tcp://10.0.0.5:8786").num_slots() == 5
    assert PortableRunnerConfig(name="FlinkRunner", num_workers=7).num_slots() == 7
    assert dataflow(max_workers=3, machine_type="e2-standard-8").num_slots() == 24
    assert dataflow(max_workers=3, harness_threads=1).num_slots() == 3


def test_machines_of_an_unknown_type_can_be_described_by_hand():
    described = dataflow(machine_type="z9-special", machine_vcpus=12, machine_memory_gib=90.0)
    assert described.machine == Machine(vcpus=12, memory_gib=90.0)
    assert described.threads_per_machine == 12
    with pytest.raises(UserError, match=r"runner\.machine_vcpus and runner\.machine_memory_gib with it"):
        dataflow(machine_type="z9-special", machine_vcpus=12)


def test_a_cost_is_that_of_vcpus_and_memory():
    assert dataflow(machine_type="n2-standard-4").cost_usd(10) == pytest.approx(10 * (4 * 0.056 + 16 * 0.003557))
    priced = dataflow(machine_type="custom-2-4096", price_usd_per_vcpu_hour=1.0, price_usd_per_gib_hour=0.5)
    assert priced.cost_usd(0.5) == pytest.approx(2.0)


def test_only_workers_elsewhere_need_paths_in_a_bucket():
    paths = {"output_dir": "/home/me/prepared"}
    for kind in (DirectRunnerConfig, DaskRunnerConfig, PortableRunnerConfig):
        kind(**NEEDED[kind]).check_job(paths)
    with pytest.raises(UserError, match="output_dir=/home/me/prepared: expected a path that begins with gs://"):
        dataflow(worker_image="gcr.io/a/b").check_job(paths)


@pytest.mark.parametrize("option", ["--extra_package=x.whl", "--setup_file=./setup.py", "--requirements_file=r.txt"])
def test_without_an_image_the_package_must_be_installed_otherwise(option):
    paths = {"output_dir": "gs://my-bucket/out"}
    dataflow(options=[option]).check_job(paths)
    with pytest.raises(UserError, match="runner.worker_image=null: expected an image that contains beamtune"):
        dataflow(options=["--disk_size_gb=30"]).check_job(paths)
