"""`beamtune train run_dir=…` resumes a run with its saved settings: they become overrides before those of the user."""

from collections.abc import Mapping, Sequence
from typing import Any

from beam_pipelines.common.errors import UserError
from configs.compose import compose, config_groups, overrides_of, settings_of


def with_saved_settings(overrides: Sequence[str]) -> list[str]:
    """Returns overrides that include the saved settings of the run in run_dir; the given ones if run_dir has no run.

    The user's overrides come last and take precedence. The trainer rejects those that a resumed run cannot change.

    Raises:
        UserError: A saved setting does not exist any more or has become invalid.
    """
    given = settings_of(overrides)
    if "run_dir" not in given:
        return list(overrides)
    from trainer.runs.run_dir import RunDir  # imports TensorFlow, which also reads gs://

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
    """Returns the saved settings of a command as overrides, followed by the given ones.

    If the given overrides select another option of a group, the saved settings of that group are dropped.
    """
    given = settings_of(overrides)
    groups = [group for group in config_groups(config_name) if group in saved]
    saved_options = {group: option_of(saved[group]) for group in groups}
    replaced = [group for group in groups if group in given and given[group] != saved_options[group]]
    kept = {key: value for key, value in saved.items() if key not in replaced}
    options = [
        f"{group}={option}" for group, option in saved_options.items() if option is not None and group not in given
    ]
    return [*options, *overrides_of(kept), *overrides]


def option_of(values: Mapping[str, Any]) -> str | None:
    """Returns the option of a group, such as "cnn2d", from its saved values; None if they do not name it."""
    option: str | None = values.get("name", values.get("kind"))
    return option
