"""What a process of a test that `start_forked` starts does: it runs a command as the command line does."""

import dataclasses
import os
import sys

from forked_search import fork_roles

from configs import cli
from configs.commands import COMMANDS
from trainer.training.config import TrainConfig
from trainer.training.train import train


def run_command(*words: str) -> None:
    """Runs `beamtune WORDS` and exits with its code."""
    sys.argv = ["beamtune", *words]
    cli.run()


def run_command_apart(stderr: str, cwd: str, *words: str) -> None:
    """Runs `beamtune WORDS` in a folder, appends its standard error to a file, and exits with its code.

    The chief and the workers of `tune` are forked, too.
    """
    os.dup2(os.open(stderr, os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
    os.chdir(cwd)
    if words[0] == "tune":
        fork_roles()
    run_command(*words)


def run_command_without_client(*words: str) -> None:
    """Runs `beamtune WORDS` as where google-cloud-storage is not installed, so that TensorFlow accesses gs://."""
    sys.modules["google.cloud.storage"] = None  # type: ignore[assignment]
    run_command(*words)


def run_train_command(config: TrainConfig) -> None:
    """Runs `beamtune train` with a config that the test has made, and exits with its code."""

    def run(_: object) -> int:
        train(config)
        return 0

    cli.COMMANDS = {"train": dataclasses.replace(COMMANDS["train"], run=run)}
    run_command("train", "--debug")
