"""What a launch will do, from settings alone: the command, its machines, the request, and notes about it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from beam_pipelines.common.errors import UserError
from beam_pipelines.common.terminal import counted
from configs.launch.config import (
    FLEX_START,
    SPOT,
    STANDARD,
    CloudLaunchConfig,
    DataflowLaunchConfig,
    LaunchConfig,
    VertexLaunchConfig,
)
from configs.launch.costs import describe_cost, read_prices
from configs.launch.experiments import experiment_obstacle
from configs.launch.identity import JobIdentity
from configs.launch.launched import Launched, launched_command
from configs.launch.notes import cloud_image_notes
from configs.launch.vertex_job import (
    Pool,
    dataflow_command,
    dataflow_job,
    dataflow_pools,
    vertex_command,
    vertex_job,
    vertex_pools,
)


@dataclass(frozen=True)
class Plan:
    """A job that can be submitted.

    Attributes:
        config: Where it runs.
        launched: The command, as it runs there.
        pools: Its machines.
        job: Returns the CustomJob of the API in its JSON form, for what the job is known by.
    """

    config: CloudLaunchConfig
    launched: Launched
    pools: Sequence[Pool]
    job: Callable[[JobIdentity], dict[str, Any]]

    @property
    def scheduling(self) -> str:
        return self.config.scheduling if isinstance(self.config, VertexLaunchConfig) else STANDARD


def make_plan(config: LaunchConfig, name: str, paths: Sequence[str], words: Sequence[str]) -> Plan:
    """Returns the job that runs a command.

    Args:
        config: Where it runs; not this machine.
        name: The command, such as "train".
        paths: Its positional paths.
        words: Its settings, each as key=value.

    Raises:
        UserError: A setting is wrong, or the command cannot run there.
    """
    if isinstance(config, DataflowLaunchConfig):
        started = dataflow_command(config, name, paths, words)
        return Plan(config, started, dataflow_pools(config), lambda one: dataflow_job(config, started, one))
    if isinstance(config, VertexLaunchConfig):
        launched = vertex_command(config, launched_command(name, paths, words))
        return Plan(config, launched, vertex_pools(config, launched), lambda one: vertex_job(config, launched, one))
    raise UserError(f"launch={type(config).__name__}: expected vertex or dataflow")


def describe_plan(plan: Plan) -> list[str]:
    """Returns lines about the machines, the cost and the quota of a job, and about what may surprise."""
    machines = [(pool.machine, pool.num_replicas) for pool in plan.pools]
    lines = [
        "machines: " + ", ".join(_machines(pool) for pool in plan.pools) + f", in {plan.config.region}",
        describe_cost(
            machines,
            timeout_s=plan.config.timeout_s,
            is_standard=plan.scheduling == STANDARD,
            prices=read_prices(),
        ),
        f"quota: {_quota(plan)}",
    ]
    return lines + [f"note: {note}" for note in [*cloud_image_notes(plan.config.image), *_machine_notes(plan)]]


def _machines(pool: Pool) -> str:
    machine = pool.machine
    kind = (machine.preset.accelerator or "TPU chip") if machine.num_accelerators else ""
    devices = f" with {machine.num_accelerators} {kind}" if kind else ""
    return f"{pool.num_replicas} {machine.machine_type}{devices}"


def _quota(plan: Plan) -> str:
    """Returns the quotas of the service that the machines count against, with the numbers that are needed."""
    needed: dict[str, int] = {}
    for pool in plan.pools:
        machine = pool.machine
        name = machine.preset.quota
        if plan.scheduling in (SPOT, FLEX_START):
            name = name.replace("custom_model_training_", "custom_model_training_preemptible_")
        each = machine.num_accelerators or int(machine.machine_type.rpartition("-")[2])
        needed[name] = needed.get(name, 0) + each * pool.num_replicas
    return ", ".join(f"{count} of {name}" for name, count in needed.items()) + f" in {plan.config.region}"


def _machine_notes(plan: Plan) -> list[str]:
    notes = []
    obstacle = experiment_obstacle(plan.config)
    if obstacle is not None:
        notes.append(f"launch.experiment={plan.config.experiment} is only a label of the job: {obstacle}")
    [*_, last] = plan.pools
    machine, launched = last.machine, plan.launched
    if machine.preset.is_tpu:
        notes.append(
            "TPU v5e needs an image with TensorFlow and libtpu built for TPU VMs, which beamtune has not tried"
        )
    if machine.machine_type in ("a3-highgpu-1g", "a3-highgpu-2g", "a3-highgpu-4g") and plan.scheduling == STANDARD:
        notes.append(f"{machine.machine_type} may only be there with launch.scheduling=spot or flex_start")
    if launched.strategy == "none" and machine.num_accelerators > 1:
        notes.append(f"strategy=none uses one of {counted(machine.num_accelerators, 'GPU')}")
    if plan.scheduling == SPOT:
        notes.append("spot machines may be taken away: the job then starts again, and resumes what it has saved")
    return notes
