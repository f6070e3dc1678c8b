"""The batch script of a command: pure functions of the settings.

Each process of a cluster is a step of its own, whose TF_CONFIG the script makes from the names of the nodes: nothing in
a container needs to know Slurm. https://slurm.schedmd.com/sbatch.html and srun.html
"""

import shlex
from collections.abc import Mapping, Sequence

from beam_pipelines.common.signals import RUN_AGAIN
from configs.launch.launched import Launched
from configs.launch.slurm.config import APPTAINER, PYXIS, SlurmLaunchConfig

# Below the ports that Linux gives to connections by itself. Jobs that share a node differ by more than their nodes.
_FIRST_PORT, _NUM_PORTS, _PORT_STRIDE = 20_000, 10_000, 131

_ONE_PROCESS = """\
step() {
  srun {options} {command}
}

code=0
step || code=$?
"""

_STEP_OF_CLUSTER = """\
# The names of the nodes, and a port for each process: "node1:20131","node2:20132"
mapfile -t hosts < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
port=$(({first_port} + SLURM_JOB_ID * {stride} % {num_ports}))
workers=""
for index in "${!hosts[@]}"; do
  workers+="${workers:+,}\\"${hosts[index]}:$((port + 1 + index))\\""
done

step() { # step TYPE INDEX HOST [options of srun]
  trap : TERM
  local cluster="{cluster}" task="\\"type\\":\\"$1\\",\\"index\\":$2"
  TF_CONFIG="{\\"cluster\\":{$cluster},\\"task\\":{$task}}" \\
    srun --nodes=1 --nodelist="$3" {options} "${@:4}" {command}
}

# A signal ends the first wait early, and not the step.
ended() { # ended PROCESS
  wait "$1"
  wait "$1"
}
"""

_TRAINING = """
steps=()
for index in "${!hosts[@]}"; do
  step worker "$index" "${hosts[index]}" &
  steps+=("$!")
done

# 1 and 2 say that no other start can succeed. All else ends all processes, which resume together.
code=0
for process in "${steps[@]}"; do
  ended "$process"
  one=$?
  if ((one == 1 || one == 2)); then
    code=$one
  elif ((one != 0 && code == 0)); then
    code={run_again}
  fi
done
"""

_SEARCH = """
keep() { # keep TYPE INDEX HOST [options of srun]: starts a step again that was killed
  local code=0 start
  for ((start = 0; start <= {max_restarts}; start++)); do
    step "$@"
    code=$?
    ((code > 128)) || break
  done
  return "$code"
}

# The chief trains nothing, and shares the first node with a worker.
keep chief 0 "${hosts[0]}" --overlap --gres=none &
chief=$!
steps=()
for index in "${!hosts[@]}"; do
  keep worker "$index" "${hosts[index]}" --overlap &
  steps+=("$!")
done

# A search goes on without a lost worker: the chief knows how it has ended.
ended "$chief"
code=$?
for process in "${steps[@]}"; do
  ended "$process" || echo "a worker has exited with $?" >&2
done
"""

_END = """
# {run_again}: interrupted, and all is saved
if ((code == {run_again} && ${SLURM_RESTART_COUNT:-0} < {max_requeues})); then
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
"""


def batch_script(config: SlurmLaunchConfig, launched: Launched, *, name: str) -> str:
    """Returns the script for `sbatch`.

    Args:
        config: Where the command runs.
        launched: The command, as it runs there; its words are printable.
        name: The name of the job.
    """
    values = {
        "options": shlex.join(_srun_options(config)),
        "command": shlex.join([*_container_words(config), *_program(config), *launched.arguments]),
        "first_port": _FIRST_PORT,
        "num_ports": _NUM_PORTS,
        "stride": _PORT_STRIDE,
        "run_again": RUN_AGAIN,
        "max_restarts": config.max_restarts,
        "max_requeues": config.max_requeues if config.requeue else 0,
    }
    is_search = launched.runs_search
    if config.nodes == 1:
        body = _ONE_PROCESS
    else:
        values["cluster"] = _cluster(is_search=is_search)
        body = _STEP_OF_CLUSTER + (_SEARCH if is_search else _TRAINING)
    head = ["#!/usr/bin/env bash", *_directives(config, name)]
    # The steps receive SIGTERM as well, and save their work: the script waits for them.
    head.append("trap : TERM")
    # Modules and environments read variables that are not set.
    head += [*_preparation(config), "set -uo pipefail"]
    return "\n".join(head) + "\n\n" + _filled(body + _END, values)


def _filled(text: str, values: Mapping[str, object]) -> str:
    """Returns a template with its values, which are not searched for names of others."""
    parts = [text]
    for name, value in values.items():
        marker = f"{{{name}}}"
        parts = [piece for part in parts for piece in _split(part, marker, str(value))]
    return "".join(parts)


class _Value(str):
    """A value that was filled in."""

    __slots__ = ()


def _split(part: str, marker: str, value: str) -> list[str]:
    if isinstance(part, _Value):
        return [part]
    first, *others = part.split(marker)
    return [first, *(piece for other in others for piece in (_Value(value), other))]


def _cluster(*, is_search: bool) -> str:
    workers = r"\"worker\":[$workers]"
    return rf"\"chief\":[\"${{hosts[0]}}:$port\"],{workers}" if is_search else workers


def _directives(config: SlurmLaunchConfig, name: str) -> list[str]:
    log = "" if config.log_dir is None else f"{config.log_dir.rstrip('/')}/"
    gpus = f"gpu:{config.gpu_type}:" if config.gpu_type is not None else "gpu:"
    options: list[tuple[str, object]] = [
        ("job-name", name),
        ("partition", config.partition),
        ("account", config.account),
        ("qos", config.qos),
        ("constraint", config.constraint),
        ("reservation", config.reservation),
        ("nodes", config.nodes),
        ("ntasks-per-node", 1),
        ("cpus-per-task", config.cpus_per_task),
        ("mem", config.memory),
        ("gres", f"{gpus}{config.gpus_per_node}" if config.gpus_per_node else None),
        ("time", _time(config.time_limit_s)),
        ("signal", f"TERM@{config.signal_before_s}"),
        ("chdir", config.work_dir),
        ("output", f"{log}{name}-%j.log"),
        ("open-mode", "append"),  # a job that is queued again goes on with its log
    ]
    lines = [f"#SBATCH --{key}={value}" for key, value in options if value is not None]
    if config.exclusive:
        lines.append("#SBATCH --exclusive")
    return [*lines, f"#SBATCH --{'requeue' if config.requeue else 'no-requeue'}"]


def _time(seconds: int) -> str:
    """Returns a time limit as D-HH:MM:SS."""
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    return f"{days}-{hours:02}:{minutes:02}:{seconds:02}"


def _preparation(config: SlurmLaunchConfig) -> list[str]:
    lines = []
    # What is set where the job is submitted would give its processes other roles.
    lines.append("unset TF_CONFIG CLUSTER_SPEC KERASTUNER_TUNER_ID KERASTUNER_ORACLE_IP KERASTUNER_ORACLE_PORT")
    if config.modules:
        lines.append(f"module load {shlex.join(config.modules)} || exit")
    if config.prologue:
        lines.append(f"{shlex.join(config.prologue)} || exit")
    return lines + [f"export {name}={shlex.quote(value)}" for name, value in sorted(config.environment.items())]


def _srun_options(config: SlurmLaunchConfig) -> list[str]:
    # srun does not take the cores of a task from the job.
    options = ["--ntasks=1", f"--cpus-per-task={config.cpus_per_task}"]
    if config.container == PYXIS:
        options.append(f"--container-image={config.image}")
        if config.mounts:
            options.append(f"--container-mounts={','.join(map(_pyxis_mount, config.mounts))}")
    return options


def _pyxis_mount(mount: str) -> str:
    """Returns a mount as pyxis takes it, which wants both paths before flags."""
    paths, flag = (mount.removesuffix(":ro"), ":ro") if mount.endswith(":ro") else (mount, "")
    return f"{paths if ':' in paths else f'{paths}:{paths}'}{flag}"


def _container_words(config: SlurmLaunchConfig) -> Sequence[str]:
    if config.container != APPTAINER:
        return []
    words = ["apptainer", "exec", *(["--nv"] if config.gpus_per_node else [])]
    for mount in config.mounts:
        words += ["--bind", _pyxis_mount(mount)]
    assert config.image is not None
    return [*words, config.image]


def _program(config: SlurmLaunchConfig) -> Sequence[str]:
    return ["beamtune"] if config.venv is None else [f"{config.venv.rstrip('/')}/bin/beamtune"]
