"""The command `launch`."""

import shlex
import sys
from collections.abc import Sequence

from beam_pipelines.common.checks import check_choice
from beam_pipelines.common.errors import UserError
from configs.command import Command, Invocation

_TARGETS = ("vertex", "dataflow", "cloudrun", "kubernetes", "slurm", "local")
_ACTIONS = ("status", "logs", "cancel", "remove", "list")
_USAGE = (
    f"beamtune launch {'|'.join(_TARGETS)} COMMAND …, beamtune launch status|logs|cancel|remove JOB, or launch list"
)


def _launch(invocation: Invocation) -> int:
    if not invocation.paths or invocation.paths[0] not in (*_TARGETS, *_ACTIONS):
        raise UserError(f"{' '.join(['launch', *invocation.paths[:1]])}: expected {_USAGE}")
    if invocation.paths[0] in _ACTIONS:
        from configs.launch.look import look

        return look(invocation)
    if len(invocation.paths) < 2:
        raise UserError(f"launch {invocation.paths[0]} needs a command, such as train: {_USAGE}")
    target, name, *paths = invocation.paths
    own, words = _divided(invocation.overrides)
    from configs.commands import COMMANDS
    from configs.compose import compose, to_dataclass
    from configs.launch.config import LaunchCommandConfig, LocalLaunchConfig
    from configs.launch.kubernetes.config import KubernetesLaunchConfig
    from configs.launch.launched import LAUNCHABLE
    from configs.launch.plan import make_plan
    from configs.launch.serving.options import CLOUD_RUN, SERVE, VERTEX_SERVE, launch_option
    from configs.launch.slurm.config import SlurmLaunchConfig

    config = to_dataclass(compose("launch", [f"launch={launch_option(target, name)}", *own]))
    assert isinstance(config, LaunchCommandConfig)
    if isinstance(config.launch, LocalLaunchConfig):
        check_choice(name, tuple(LAUNCHABLE), key="COMMAND")
        return _run_here(COMMANDS[name], paths, words, dry_run=invocation.dry_run)
    if target == CLOUD_RUN:
        check_choice(name, (SERVE,), key="COMMAND")
    if launch_option(target, name) in (VERTEX_SERVE, CLOUD_RUN):
        from configs.launch.serving.serve import launch_server

        launch_server(config.launch, paths, words, invocation, stream=sys.stdout)
        return 0
    if isinstance(config.launch, KubernetesLaunchConfig):
        from configs.launch.kubernetes.launch import launch_on_kubernetes

        return launch_on_kubernetes(config.launch, name, paths, words, invocation)
    if isinstance(config.launch, SlurmLaunchConfig):
        from configs.launch.slurm.launch import launch_on_slurm

        return launch_on_slurm(config.launch, name, paths, words, invocation)
    plan = make_plan(config.launch, name, paths, words)
    from configs.launch.launch import show_request, submit

    as_json = invocation.output_format == "json"
    if invocation.dry_run:
        show_request(plan, as_json=as_json, stream=sys.stdout)
        return 0
    from configs.launch.data_checks import check_data

    data_key = check_data(plan.launched)
    submit(plan, data_key=data_key, assume_yes=invocation.assume_yes, stream=sys.stdout, as_json=as_json)
    return 0


def _settings_yaml(invocation: Invocation) -> str:
    """Returns the settings of the launch, and those of the command that is launched where there is one."""
    from configs.compose import compose, to_yaml
    from configs.launch.launched import LAUNCHABLE
    from configs.launch.serving.options import SERVE, launch_option

    own, words = _divided(invocation.overrides)
    target, name, *_ = [*invocation.paths, "", ""]
    shown = to_yaml(compose("launch", [f"launch={launch_option(target, name)}", *own] if target in _TARGETS else own))
    if name not in (*LAUNCHABLE, SERVE):
        return shown
    runner = [] if target != "dataflow" or any(word.startswith("runner=") for word in words) else ["runner=dataflow"]
    return shown + to_yaml(compose(name, [*runner, *words]))


def _run_here(command: Command, paths: Sequence[str], words: Sequence[str], *, dry_run: bool) -> int:
    """Runs a command in this process, as it would be launched."""
    if dry_run:
        print(shlex.join(["beamtune", command.name, *paths, *words]))
        return 0
    return command.run(Invocation(overrides=words, paths=paths))


def _divided(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Returns the settings of the launch, and those of the command that is launched."""
    own = [word for word in words if word.partition("=")[0].partition(".")[0] == "launch"]
    return own, [word for word in words if word not in own]


COMMAND = Command(
    name="launch",
    summary="run a command on Vertex AI, Dataflow, Kubernetes or Slurm, where this machine is too small, or serve",
    description=(
        "Starts a job that runs a command with its settings, which are those of this machine; those of the job begin\n"
        "with launch. Settings, buckets and data are checked here first, and the cost is estimated. Asks before it\n"
        "starts a job. The same job is not started twice. --dry-run prints the request, and needs no network.\n\n"
        "targets:  vertex (train, tune, crossval, evaluate, predict, baselines, export, prepare, convert)\n"
        "          dataflow (prepare, convert, predict), started by a small job so that this machine may be off\n"
        "          vertex serve, cloudrun serve: a server of a run or an export, which is not made twice\n"
        "          kubernetes (the same as vertex, and serve), by kubectl; slurm (the same as vertex), by sbatch\n"
        "          local (this machine, in this process)\n"
        "jobs:     of Google Cloud: status JOB, logs JOB, cancel JOB, list; JOB is last, or a number\n"
        "servers:  status NAME, logs NAME, remove NAME, list launch=vertex_serve|cloudrun; NAME is last, or a name\n"
        "settings: launch.project, launch.region, launch.image, launch.machine=cpu-8|t4|l4|a100|h100|…,\n"
        "          launch.accelerators (of a machine), launch.replicas (machines), launch.chief_machine,\n"
        "          launch.scheduling=standard|spot|flex_start, launch.timeout_s, launch.service_account,\n"
        "          launch.again, …; of servers: launch.endpoint, launch.service, launch.min_replicas, …\n"
        "          beamtune launch TARGET COMMAND --show-config prints those of a target"
    ),
    examples=(
        "beamtune launch vertex train data_dir=gs://bucket/data run_dir=gs://bucket/run launch.machine=l4 --dry-run …",
        "beamtune launch vertex tune data_dir=gs://bucket/data search_dir=gs://bucket/search launch.replicas=4 …",
        "beamtune launch dataflow prepare dataset=folder dataset.root=gs://bucket/music output_dir=gs://bucket/data …",
        "beamtune launch vertex serve gs://bucket/exports/mine launch.traffic=10 …",
        "beamtune launch cloudrun serve gs://bucket/exports/mine launch.min_instances=1 --dry-run …",
        "beamtune launch kubernetes train data_dir=gs://bucket/data run_dir=gs://bucket/run launch.replicas=2 …",
        "beamtune launch slurm tune data_dir=/data/prepared search_dir=/data/search launch.nodes=4 …",
        "beamtune launch vertex train --show-config",
        "beamtune launch status last",
        "beamtune launch remove last --dry-run",
        "beamtune launch list launch.project=my-project --json",
    ),
    run=_launch,
    paths_usage="TARGET COMMAND [PATH…]",
    positional_words=(*_TARGETS, *_ACTIONS),
    output_formats=("json",),
    has_dry_run=True,
    has_question=True,
    extras=("launch",),
    settings_yaml=_settings_yaml,
    launches=_TARGETS,
)
