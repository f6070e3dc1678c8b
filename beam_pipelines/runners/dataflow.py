"""Google Cloud Dataflow: the options of a job."""

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.dataflow.dataflow_metrics import DataflowMetrics
from apache_beam.runners.dataflow.dataflow_runner import DataflowRunner
from apache_beam.runners.dataflow.internal.apiclient import DataflowApplicationClient

from beam_pipelines.runners.backend import Backend
from beam_pipelines.runners.dataflow_config import DataflowRunnerConfig


@contextmanager
def open_dataflow(config: DataflowRunnerConfig, *, job_name: str) -> Iterator[Backend]:
    """Yields the runner on Dataflow."""
    options = dataflow_options(config, job_name=job_name)
    # A client of its own for metrics: Beam waits for the job in another thread, and the HTTP connection of its client
    # serves one thread at a time.
    client = cache(lambda: DataflowApplicationClient(options))
    yield Backend(DataflowRunner(), options, metrics_of=lambda result: DataflowMetrics(client(), result))


def dataflow_options(config: DataflowRunnerConfig, *, job_name: str) -> PipelineOptions:
    """Returns the options of one job.

    Each machine runs one process with one thread per shard: decoding and features release the GIL. The default, a
    process per vCPU with 12 threads each, would hold 12 clips in memory per vCPU.

    Args:
        config: Where to run, and on what.
        job_name: The first part of the job's name; a time and a random part make it unique.
    """
    flags = {
        "project": config.project,
        "region": config.region,
        "temp_location": config.temp_location,
        "staging_location": config.temp_location,
        "job_name": f"{job_name}-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{uuid.uuid4().hex[:6]}",
        "machine_type": None if config.uses_prime else config.machine_type,
        "max_num_workers": config.max_workers,
        "number_of_worker_harness_threads": config.threads_per_machine,
        "experiments": "no_use_multiple_sdk_containers",
        "sdk_container_image": config.worker_image,
        "service_account_email": config.service_account_email,
        "subnetwork": config.subnetwork,
        "num_workers": config.num_workers,
        "autoscaling_algorithm": config.autoscaling_algorithm,
        "disk_size_gb": config.disk_size_gb,
        "worker_zone": config.worker_zone,
        "flexrs_goal": config.flexrs_goal,
        "dataflow_kms_key": config.dataflow_kms_key,
        "impersonate_service_account": config.impersonate_service_account,
        "element_processing_timeout_minutes": config.element_processing_timeout_minutes,
    }
    return PipelineOptions(
        [
            *(f"--{flag}={value}" for flag, value in flags.items() if value is not None),
            *(f"--label={key}={value}" for key, value in config.labels.items()),
            *(f"--dataflow_service_options={option}" for option in config.dataflow_service_options),
            "--use_public_ips" if config.use_public_ips else "--no_use_public_ips",
            *config.options,
        ]
    )
