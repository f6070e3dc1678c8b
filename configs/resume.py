"""`beamtune train run_dir=…` resumes a run with its saved settings: the given ones replace them."""

from collections.abc import Mapping
from typing import Any

from beam_pipelines.common.bucket_access import check_access
from beam_pipelines.common.checks import MISSING
from beam_pipelines.common.errors import UserError
from beam_pipelines.common.retries import StorageConfig
from configs.compose import Settings, compose, config_groups, flat_values, settings_of, without_references


def with_saved_settings(settings: Settings) -> dict[str, Any]:
    """Returns the settings with the saved ones of the run in run_dir; the given ones if run_dir has no run.

    The given settings take precedence. The trainer rejects those that a resumed run cannot change.

    Raises:
        UserError: A saved setting does not exist any more or has become invalid.
    """
    given = settings_of(settings)
    if "run_dir" not in given:
        return given
    from trainer.runs.run_dir import RunDir

    run_dir = directory_to_resume("train", given, key="run_dir")
    run = RunDir(run_dir)
    if not run.is_started():
        return given
    saved = run.config()
    try:
        compose("train", settings_to_resume("train", saved, settings=[]))
    except UserError as error:
        raise UserError(f"run_dir={run_dir} was made by another version of beamtune ({error})") from error
    return settings_to_resume("train", saved, settings=given)


def directory_to_resume(config_name: str, settings: Settings, *, key: str) -> str:
    """Returns the directory of a command that may be resumed, after the check that its bucket can be accessed.

    Args:
        config_name: The YAML file of the command.
        settings: The settings that the user gives, whose deadline of operations on buckets is set.
        key: The setting that is the directory.

    Raises:
        UserError: A setting is wrong, or the bucket cannot be accessed.
        RunAgainError: The bucket could not be reached.
    """
    # The other settings may be of options that only the saved settings name, such as those of a model.
    places = {name: value for name, value in settings_of(settings).items() if name.split(".")[0] in (key, "storage")}
    directory, storage = _places_as_given(places, key=key) or _composed_places(config_name, places, key=key)
    storage.apply()
    check_access(written=[directory])  # before TensorFlow is imported, which takes seconds, to read gs://
    return directory


def _places_as_given(places: Mapping[str, Any], *, key: str) -> tuple[str, StorageConfig] | None:
    """Returns the directory and the default deadline where a text without references is all that is given."""
    value = places.get(key)
    is_plain = len(places) == 1 and isinstance(value, str) and "${" not in value and value != MISSING
    return (str(value), StorageConfig()) if is_plain else None


def _composed_places(config_name: str, places: Mapping[str, Any], *, key: str) -> tuple[str, StorageConfig]:
    config = compose(config_name, places)  # which takes 0.05 s
    return config[key], StorageConfig(**config.storage)


def settings_to_resume(config_name: str, saved: Mapping[str, Any], *, settings: Settings) -> dict[str, Any]:
    """Returns the saved values of a command by key and its options by group, replaced by the given ones.

    If the given settings select another option of a group, the saved settings of that group are dropped, and those of
    `storage` always are.
    """
    given = settings_of(settings)
    groups = [group for group in config_groups(config_name) if group in saved]
    saved_options = {group: option_of(saved[group]) for group in groups}
    replaced = [group for group in groups if group in given and given[group] != saved_options[group]]
    # How a machine reaches its buckets is no property of a run: each start has its own settings of that.
    kept = {key: value for key, value in saved.items() if key not in (*replaced, "storage")}
    options = {group: option for group, option in saved_options.items() if option is not None}
    values = {key: without_references(value) for key, value in flat_values(kept).items()}
    return {**options, **values, **given}


def option_of(values: Mapping[str, Any]) -> str | None:
    """Returns the option of a group, such as "cnn2d", from its saved values; None if they do not name it."""
    option: str | None = values.get("name", values.get("kind"))
    return option
