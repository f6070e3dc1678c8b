"""What a command says of what takes long, and at its end of the commands that may follow.

rich is imported when something is printed, so that `--help` stays fast.
"""

import os
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any


def say_loading(library: str) -> None:
    """Says on a terminal that a library is imported, which takes seconds.

    Commands call it before they read their settings: the settings take a part of a second too.
    """
    from beam_pipelines.common.terminal import say_step

    say_step(f"loading {library}")


def show_next(*commands: Sequence[str]) -> None:
    """Prints the commands that may follow; see `next_steps`."""
    from beam_pipelines.common.terminal import next_steps, stdout

    for line in next_steps(*commands):
        print(line, file=stdout())


def after_synthesize(dataset: Mapping[str, Any]) -> Sequence[str]:
    """Returns the command that prepares the music that was composed.

    Args:
        dataset: The settings of the data set.
    """
    from configs.saved_command import plain_overrides

    return ["prepare", *plain_overrides("prepare", {"dataset": dataset})]


def after_prepare(output_dir: str, features: Collection[str]) -> Sequence[str]:
    """Returns the command that takes a data set: `train` with the first model that takes its features, or `baselines`.

    Args:
        output_dir: The data set.
        features: The names of its features.
    """
    from trainer.models.registry import MODELS

    data_dir, run_dir = f"data_dir={output_dir}", f"run_dir=runs/{name_of(output_dir)}"
    if "log_mel" in features:  # which the default model takes
        return ["train", data_dir, run_dir]
    for name, entry in MODELS.items():
        if set(entry.config_class().feature_names) <= set(features):
            return ["train", data_dir, run_dir, f"model={name}"]
    return ["baselines", data_dir, f"feature={next(iter(features))}"]


def after_train(run_dir: str) -> Sequence[Sequence[str]]:
    """Returns the commands that take a finished run: `evaluate`, except where its local data have no test split."""
    from beam_pipelines.common.errors import UserError
    from beam_pipelines.common.paths import is_local
    from beam_pipelines.records.schema import TEST
    from trainer.runs.run_dir import RunDir

    # A bucket is not asked for the sake of a hint. The run is finished: what cannot be read must not end the command.
    with suppress(UserError):
        if is_local(run_dir) and not RunDir(run_dir).dataset().info.has_split(TEST):
            return ["predict", run_dir, "song.mp3"], ["serve", run_dir]
    return ["evaluate", f"run_dir={run_dir}"], ["tensorboard", run_dir]


def name_of(path: str) -> str:
    """Returns the last part of a path, as the name of what is made from it."""
    return os.path.basename(os.path.abspath(path)) or "mine"
