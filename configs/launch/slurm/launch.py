"""`beamtune launch slurm COMMAND …`: prints a batch script, or submits it with sbatch, once."""

import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass

from beam_pipelines.common import cloud_names
from beam_pipelines.common.errors import UserError
from beam_pipelines.common.paths import is_in_bucket, is_local
from beam_pipelines.common.terminal import counted
from configs.command import Invocation
from configs.launch.dialogue import ask, say
from configs.launch.external_program import run_program
from configs.launch.fitting_strategy import check_machines, with_strategy
from configs.launch.identity import identify
from configs.launch.launched import Launched, launched_command
from configs.launch.one_line_words import check_words
from configs.launch.slurm.config import SlurmLaunchConfig
from configs.launch.slurm.script import batch_script

_MISSING = "launch on a login node of the cluster, or submit what --dry-run prints there"


@dataclass(frozen=True)
class SlurmPlan:
    """A job that can be submitted.

    Attributes:
        config: Where it runs.
        launched: The command, as it runs there.
        name: The name of the job, which has a hash of the command and its settings.
        script: Its script.
    """

    config: SlurmLaunchConfig
    launched: Launched
    name: str
    script: str


def launch_on_slurm(
    config: SlurmLaunchConfig, name: str, paths: Sequence[str], words: Sequence[str], invocation: Invocation
) -> int:
    """Prints the script of a job, or submits it unless the same one waits or runs; returns the exit code.

    Raises:
        UserError: A setting is wrong, Slurm is missing or refuses something, or nobody could be asked.
    """
    plan = make_slurm_plan(config, name, paths, words)
    as_json = invocation.output_format == "json"
    if invocation.dry_run:
        say(_describe(plan))
        print(json.dumps({"name": plan.name, "script": plan.script}, indent=2) if as_json else plan.script, end="")
        return 0
    same = _queued(plan)
    if same is not None:
        number, state = same
        line = f"{number} ({plan.name}, {state}) has the same command and settings: it is not started again"
        print(json.dumps({"job": number, "name": plan.name, "is_new": False}) if as_json else line)
        say(_follow(plan, number))
        return 0
    say(_describe(plan))
    if not invocation.assume_yes:
        ask(f"submit {plan.name}?", about="to submit a job")
    if config.log_dir is not None:
        _make_folder(config.log_dir)
    answer = run_program(["sbatch", "--parsable"], missing=_MISSING, standard_input=plan.script)
    number = answer.strip().partition(";")[0]
    if not number.isdecimal():
        raise UserError(f"sbatch has printed no number of a job: {answer.strip()[:100]!r}")
    print(json.dumps({"job": number, "name": plan.name, "is_new": True}) if as_json else f"{number} ({plan.name})")
    say(_follow(plan, number))
    return 0


def make_slurm_plan(config: SlurmLaunchConfig, name: str, paths: Sequence[str], words: Sequence[str]) -> SlurmPlan:
    """Returns the job that runs a command.

    Args:
        config: Where it runs.
        name: The command, such as "train".
        paths: Its positional paths.
        words: Its settings, each as key=value.

    Raises:
        UserError: A setting is wrong, or the command cannot run there.
    """
    check_words([*paths, *words])
    launched = launched_command(name, paths, words, check_path=_check_path)
    check_machines(
        launched,
        machines=config.nodes,
        machines_key="launch.nodes",
        accelerators=config.gpus_per_node,
        accelerators_key="launch.gpus_per_node",
    )
    launched = with_strategy(
        launched,
        machines=config.nodes,
        accelerators=config.gpus_per_node,
        where=f"launch.gpus_per_node={config.gpus_per_node} and launch.nodes={config.nodes}",
        accelerators_key="launch.gpus_per_node",
    )
    job_name = identify(launched, data_key=None).display_name
    return SlurmPlan(config, launched, job_name, batch_script(config, launched, name=job_name))


def _check_path(path: str, key: str | None) -> None:
    """Raises a UserError unless a path is in a bucket, or an absolute one, which a shared disk may have."""
    if is_in_bucket(path):
        if key is not None:
            cloud_names.check_bucket_path(path, key=key, because="it is in a bucket")
        return
    shown = path if key is None else f"{key}={path}"
    if not is_local(path) or not os.path.isabs(path):
        raise UserError(f"{shown}: expected an absolute path of a disk that all nodes share, or gs://…")


def _describe(plan: SlurmPlan) -> list[str]:
    config = plan.config
    devices = f", {counted(config.gpus_per_node, 'GPU')}" if config.gpus_per_node else ""
    nodes = f"{counted(config.nodes, 'node')} of {counted(config.cpus_per_task, 'core')}{devices}"
    partition = "default partition" if config.partition is None else f"partition {config.partition}"
    lines = [f"{plan.name}: {nodes}, in the {partition}"]
    if config.nodes > 1:
        lines.append(
            "note: whoever can connect to the nodes can connect to this job: there is no password between them"
        )
    return lines


def _queued(plan: SlurmPlan) -> tuple[str, str] | None:
    """Returns the number and the state of the same job of this user that waits or runs; None if there is none."""
    words = ["squeue", "--me", f"--name={plan.name}", "--noheader", "--format=%i %T"]
    lines = run_program(words, missing=_MISSING).split("\n")
    found = [one for one in (re.fullmatch(r"(\d+)\S* (\w+)", line.strip()) for line in lines) if one is not None]
    return (found[0][1], found[0][2]) if found else None


def _follow(plan: SlurmPlan, number: str) -> list[str]:
    folder = plan.config.log_dir or plan.config.work_dir
    log = f"{plan.name}-{number}.log"
    return [
        f"squeue --jobs={number}",
        f"tail -F {log if folder is None else os.path.join(folder, log)}",
        f"scancel {number}  # what is saved is kept, and the same launch resumes it",
    ]


def _make_folder(path: str) -> None:
    """Makes the folder of the log, which sbatch does not make."""
    try:
        os.makedirs(path, exist_ok=True)
    except OSError as error:
        raise UserError(f"launch.log_dir={path}: it cannot be made: {error.strerror or error}") from error
