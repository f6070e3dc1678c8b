"""`beamtune train run_dir=…` goes on with the settings that the run was started with."""

from collections.abc import Mapping, Sequence
from typing import Any

from beam_pipelines.common.errors import UserError
from configs.compose import compose, config_groups, overrides_of, settings_of


def with_saved_settings(overrides: Sequence[str]) -> list[str]:
    """Returns the overrides behind the settings of the run that they continue, if they continue one.

    What the user gives comes last and so counts; the trainer refuses what would make another run of it.
    """
    given = settings_of(overrides)
    if "run_dir" not in given:
        return list(overrides)
    from trainer.runs.run_dir import RunDir  # imports TensorFlow, which reads gs:// too

    run_dir = compose("train", overrides).run_dir
    run = RunDir(run_dir)
    if not run.is_started():
        return list(overrides)
    saved = run.config()
    try:
        compose("train", settings_to_resume("train", saved, overrides=[]))
    except UserError as error:
        raise UserError(f"run_dir={run_dir} was made by another version of beamtune ({error})") from error
    return settings_to_resume("train", saved, overrides=overrides)


def settings_to_resume(config_name: str, saved: Mapping[str, Any], *, overrides: Sequence[str]) -> list[str]:
    """Returns saved settings of a command as overrides, and behind them those that are given.

    Of a group of which another option is given, nothing that was saved is left.
    """
    given = settings_of(overrides)
    groups = [group for group in config_groups(config_name) if group in saved]
    chosen = {group: option_of(saved[group]) for group in groups}
    chosen_anew = [group for group in groups if group in given and given[group] != chosen[group]]
    kept = {key: value for key, value in saved.items() if key not in chosen_anew}
    options = [f"{group}={option}" for group, option in chosen.items() if option is not None and group not in given]
    return [*options, *overrides_of(kept), *overrides]


def option_of(values: Mapping[str, Any]) -> str | None:
    """Returns the option of a group that saved values belong to; None where they do not say."""
    option: str | None = values.get("name", values.get("kind"))
    return option
