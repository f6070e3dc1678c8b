"""What a process of a test that `start_forked` starts does: it runs a command as the command line does."""

import dataclasses
import sys

from configs import cli
from configs.commands import COMMANDS
from trainer.training.config import TrainConfig
from trainer.training.train import train


def run_command(*words: str) -> None:
    """Runs `beamtune WORDS` and exits with its code."""
    sys.argv = ["beamtune", *words]
    cli.run()


def run_command_without_client(*words: str) -> None:
    """Runs `beamtune WORDS` as where google-cloud-storage is not installed, so that TensorFlow accesses gs://."""
    sys.modules["google.cloud.storage"] = None  # type: ignore[assignment]
    run_command(*words)


def run_train_command(config: TrainConfig) -> None:
    """Runs `beamtune train` with a config that the test has made, and exits with its code."""
    cli.COMMANDS = {"train": dataclasses.replace(COMMANDS["train"], run=lambda _: train(config) or 0)}
    run_command("train", "--debug")
