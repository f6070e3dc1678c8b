"""The request for a custom job of Vertex AI, in the JSON form of the API: pure functions of the settings.

https://docs.cloud.google.com/gemini-enterprise-agent-platform/reference/rest/v1/CustomJobSpec
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from beam_pipelines.common.checks import check
from beam_pipelines.common.errors import UserError
from beam_pipelines.common.paths import is_within
from beam_pipelines.runners.dataflow_config import DataflowRunnerConfig
from configs.launch.config import FLEX_START, CloudLaunchConfig, DataflowLaunchConfig, VertexLaunchConfig
from configs.launch.experiments import experiment_of
from configs.launch.fitting_strategy import check_machines, with_strategy
from configs.launch.identity import JobIdentity
from configs.launch.launched import CROSSVAL, LAUNCHABLE, TRAIN, Launched, launched_command
from configs.launch.machines import ChosenMachine, choose_machine


@dataclass(frozen=True)
class Pool:
    """Machines of one kind: the API's worker pool.

    Attributes:
        machine: Each of them.
        num_replicas: How many.
    """

    machine: ChosenMachine
    num_replicas: int


def vertex_command(config: VertexLaunchConfig, launched: Launched) -> Launched:
    """Returns the command as it runs on the machines of a job: with the strategy that fits them.

    Raises:
        UserError: The command cannot use these machines, or the given strategy does not fit them.
    """
    machine = config.chosen_machine()
    _check_use(config, launched, machine)
    # TF_CONFIG is set only where there are several machines.
    return with_strategy(
        launched,
        machines=config.replicas,
        accelerators=machine.num_accelerators,
        where=f"launch.machine={config.machine} and launch.replicas={config.replicas}",
        accelerators_key="launch.accelerators",
        is_tpu=machine.preset.is_tpu,
    )


def _check_use(config: VertexLaunchConfig, launched: Launched, machine: ChosenMachine) -> None:
    one, name = launched.launchable, launched.name
    if machine.preset.is_tpu:
        check(
            name in (TRAIN, CROSSVAL),
            key="launch.machine",
            value=config.machine,
            expected=f"CPUs or GPUs: {name} does not use TPUs",
        )
    check(
        machine.num_accelerators == 0 or one.most_accelerators != 0,
        key="launch.machine",
        value=config.machine,
        expected=f"CPUs: {name} does not use GPUs",
    )
    check_machines(
        launched,
        machines=config.replicas,
        machines_key="launch.replicas",
        accelerators=machine.num_accelerators,
        accelerators_key="launch.accelerators",
    )
    check(
        not launched.runs_search or config.scheduling != FLEX_START or config.chief_machine is None,
        key="launch.chief_machine",
        value=config.chief_machine,
        expected="null with launch.scheduling=flex_start, whose machines are all of one kind: the chief of the search "
        "then has a machine like those of the workers",
    )
    if isinstance(getattr(launched.config, "runner", None), DataflowRunnerConfig):
        raise UserError(
            f"runner=dataflow: expected beamtune launch dataflow {name} …, whose machine only waits for the pipeline"
        )
    for key, value in launched.values(one.written) if config.tensorboard is not None else ():
        check(
            is_within(value, f"{config.base_output_dir}/logs"),
            key=key,
            value=value,
            expected=f"a folder below {config.base_output_dir}/logs, which is what launch.tensorboard shows",
        )


def vertex_pools(config: VertexLaunchConfig, launched: Launched) -> list[Pool]:
    """Returns the machines of a job. The first pool has one machine, as the service expects."""
    machine = config.chosen_machine()
    if launched.runs_search and config.chief_machine is not None:
        return [
            Pool(choose_machine(config.chief_machine, None, key="launch.chief_machine"), 1),
            Pool(machine, config.replicas),
        ]
    if launched.runs_search and config.replicas > 1:
        return [Pool(machine, 1), Pool(machine, config.replicas)]
    return [Pool(machine, 1)] + ([Pool(machine, config.replicas - 1)] if config.replicas > 1 else [])


def vertex_job(config: VertexLaunchConfig, launched: Launched, identity: JobIdentity) -> dict[str, Any]:
    """Returns the CustomJob of a command that runs on machines of Vertex AI, as `vertex_command` returned it."""
    spec: dict[str, Any] = {
        "workerPoolSpecs": [
            _pool_spec(config, pool, launched.arguments, boot_disk_type=config.boot_disk_type)
            for pool in vertex_pools(config, launched)
        ],
        "scheduling": {
            "timeout": f"{config.timeout_s}s",
            "strategy": config.scheduling.upper(),
            # Workers that train together cannot go on without one. A search can: it gives the trial to another worker.
            "restartJobOnWorkerRestart": launched.name == TRAIN and config.replicas > 1,
        },
    }
    if config.scheduling == FLEX_START:
        spec["scheduling"]["maxWaitDuration"] = f"{config.max_wait_s}s"
    if config.base_output_dir is not None:
        spec["baseOutputDirectory"] = {"outputUriPrefix": config.base_output_dir}
    if config.tensorboard is not None:
        spec["tensorboard"] = config.tensorboard
    return _job(config, spec, identity)


def dataflow_command(config: DataflowLaunchConfig, name: str, paths: Sequence[str], words: Sequence[str]) -> Launched:
    """Returns a pipeline as it is started on Dataflow: with runner=dataflow, and the project, region and image.

    Raises:
        UserError: The command is no pipeline, another runner was chosen, or a setting is wrong or missing.
    """
    if name in LAUNCHABLE and not LAUNCHABLE[name].has_runner:
        raise UserError(f"launch dataflow {name}: expected prepare, convert or predict, which Beam can run")
    given = {word.partition("=")[0]: word.partition("=")[2] for word in words}
    check(given.get("runner", "dataflow") == "dataflow", key="runner", value=given.get("runner"), expected="dataflow")
    added = {
        "runner": "dataflow",
        "runner.project": config.project,
        "runner.region": config.region,
        "runner.worker_image": config.image,
    }
    if config.labels:
        added["runner.labels"] = "{" + ",".join(f"{key}:'{value}'" for key, value in config.labels.items()) + "}"
    if config.kms_key is not None:
        added["runner.dataflow_kms_key"] = config.kms_key
    if any(key.startswith("runner.labels.") for key in given):
        added.pop("runner.labels", None)
    missing = [key for key in added if key not in given]
    return launched_command(name, paths, [*words, *(f"{key}={added[key]}" for key in missing)])


def dataflow_pools(config: DataflowLaunchConfig) -> list[Pool]:
    """Returns the one machine of the job that starts a pipeline."""
    return [Pool(choose_machine(config.machine, None), 1)]


def dataflow_job(config: DataflowLaunchConfig, launched: Launched, identity: JobIdentity) -> dict[str, Any]:
    """Returns the CustomJob that starts a pipeline and waits for it, as `dataflow_command` returned it."""
    pools = [_pool_spec(config, pool, launched.arguments) for pool in dataflow_pools(config)]
    scheduling = {"timeout": f"{config.timeout_s}s", "strategy": "STANDARD", "restartJobOnWorkerRestart": False}
    return _job(config, {"workerPoolSpecs": pools, "scheduling": scheduling}, identity)


def _pool_spec(
    config: CloudLaunchConfig, pool: Pool, arguments: Sequence[str], *, boot_disk_type: str | None = None
) -> dict[str, Any]:
    container = {"imageUri": config.image, "args": list(arguments), **config.container()}
    disk: dict[str, Any] = {} if boot_disk_type is None else {"bootDiskType": boot_disk_type}
    return {
        "machineSpec": pool.machine.spec(),
        "replicaCount": str(pool.num_replicas),
        "diskSpec": {**disk, "bootDiskSizeGb": config.boot_disk_size_gb},
        "containerSpec": container,
    }


def _job(config: CloudLaunchConfig, spec: Mapping[str, Any], identity: JobIdentity) -> dict[str, Any]:
    spec = dict(spec)
    if config.service_account is not None:
        spec["serviceAccount"] = config.service_account
    if config.network is not None:
        spec["network"] = config.network
    if config.psc_network_attachment is not None:
        spec["pscInterfaceConfig"] = {"networkAttachment": config.psc_network_attachment}
    context = experiment_of(config)
    if context is not None:
        spec["experiment"] = context
    experiment = {} if config.experiment is None else {"beamtune-experiment": config.experiment}
    job: dict[str, Any] = {
        "displayName": identity.display_name,
        "labels": {**config.labels, **experiment, **identity.labels},
        "jobSpec": spec,
    }
    if config.kms_key is not None:
        job["encryptionSpec"] = {"kmsKeyName": config.kms_key}
    return job
