"""Settings that were saved with a run, compared with those of a command."""

import json
from collections.abc import Collection, Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import TYPE_CHECKING, Any

import yaml

from beam_pipelines.common.checks import shown_value

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

SettingValue = bool | int | float | str | None

# Settings that do not change the trained weights: paths, devices, and those of speed.
_UNTRAINED = frozenset(
    {"run_dir", "data_dir", "checkpoint_interval_s", "steps_per_call", "cache", "shuffle_buffer_examples"}
    | {"runs_on", "strategy", "board", "weights_path", "storage", "mlflow"}
)


def flat_settings(values: Mapping[str, Any]) -> dict[str, SettingValue]:
    """Returns settings by dotted key; lists as JSON."""
    return {
        key: json.dumps(value) if isinstance(value, list | tuple) else value for key, value in _flatten(values).items()
    }


def trained_settings(values: Mapping[str, Any]) -> dict[str, SettingValue]:
    """Returns the settings that change the trained weights, by dotted key; lists as JSON."""
    return {key: value for key, value in flat_settings(values).items() if not _UNTRAINED.intersection(key.split("."))}


def describe_differences(
    saved: Mapping[str, Any],
    wanted: Mapping[str, Any],
    *,
    may_differ: Collection[str],
    defaults_of: "DataclassInstance | None",
) -> str:
    """Returns which settings differ, such as "seed was 0 and is 1", or "" if none does.

    A setting that is not saved had its default value: a version of beamtune that did not have it yet saved the others.

    Args:
        saved: Settings that were read from YAML.
        wanted: Settings as a dict.
        may_differ: Keys to ignore, such as "optimizer.learning_rate"; "optimizer." ignores the whole group.
        defaults_of: Has the default values of settings that were not saved; None if all settings were saved.
    """
    groups = tuple(key for key in may_differ if key.endswith("."))
    now = _flatten(yaml.safe_load(yaml.safe_dump(dict(wanted))))
    before = {**({} if defaults_of is None else _defaults(defaults_of)), **_flatten(saved)}
    return "; ".join(
        f"{key} was {shown_value(before.get(key))} and is {shown_value(now.get(key))}"
        for key in sorted(before.keys() | now.keys())
        if before.get(key) != now.get(key) and key not in may_differ and not key.startswith(groups)
    )


def _defaults(settings: "DataclassInstance", prefix: str = "") -> dict[str, Any]:
    """Returns the default values of settings and of their groups, as `_flatten` names them."""
    defaults: dict[str, Any] = {}
    for field in fields(settings):
        key, value = f"{prefix}{field.name}", getattr(settings, field.name)
        if is_dataclass(value) and not isinstance(value, type):
            defaults.update(_defaults(value, f"{key}."))
        elif field.default is not MISSING:
            defaults[key] = field.default
        elif field.default_factory is not MISSING:
            defaults[key] = field.default_factory()
    return defaults


def _flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            flat.update(_flatten(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat
