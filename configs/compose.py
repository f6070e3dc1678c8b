"""Composes the YAML files of a command and the user's overrides to one frozen dataclass, with one-line errors."""

import difflib
import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException, OverrideParseException
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from beam_pipelines.common.checks import check_choice
from beam_pipelines.common.errors import UserError
from configs.schema import register_schemas

CONFIG_DIR = Path(__file__).resolve().parent

_KEY = re.compile(r"[A-Za-z_]\w*(\.\w+)*")


def compose(config_name: str, overrides: Sequence[str]) -> DictConfig:
    """Composes the configuration of a command.

    Args:
        config_name: The YAML file to start from, e.g. "prepare".
        overrides: `key=value` and `group=option`, in Hydra's grammar. A value that is not valid in the grammar, such as
            a path with a comma, is a string.

    Raises:
        UserError: A key, an option or a value is wrong; the message suggests the nearest valid one.
    """
    register_schemas()
    parsed = [_parse(text) for text in overrides]
    groups = config_groups(config_name)
    _check_options(parsed, groups)
    settings = [override for override in parsed if override.key_or_group not in groups]
    config = _hydra(config_name, [override for override in parsed if override.key_or_group in groups])
    for override in settings:
        _check_key(override, base=config, groups=groups)
    # Not by Hydra, which would treat a setting with the name of another command's group as that group.
    for override in settings:
        try:
            OmegaConf.update(config, override.key_or_group, override.value(), merge=True)
        except OmegaConfBaseException as error:
            raise UserError(f"{override.input_line}: {_first_line(error)}") from error
    return config


def to_dataclass(config: DictConfig) -> object:
    """Returns a composed configuration as its frozen dataclass, which checks the values.

    Raises:
        UserError: A value is missing, or its dataclass does not accept it.
    """
    try:
        missing = sorted(str(key) for key in OmegaConf.missing_keys(config))
        if missing:
            raise UserError(f"{missing[0]} is not set: give {missing[0]}=…")
        return OmegaConf.to_object(config)
    except OmegaConfBaseException as error:
        raise UserError(_first_line(error)) from error


def to_yaml(config: DictConfig) -> str:
    """Returns a composed configuration as YAML; references stay unresolved if a value is missing."""
    try:
        return OmegaConf.to_yaml(config, resolve=True)
    except MissingMandatoryValue:
        return OmegaConf.to_yaml(config)


def config_groups(config_name: str) -> dict[str, list[str]]:
    """Returns the groups in the defaults of a command's YAML file, such as `dataset`, each with its options."""
    content = yaml.safe_load((CONFIG_DIR / f"{config_name}.yaml").read_text(encoding="utf-8"))
    groups = [group for entry in content["defaults"] if isinstance(entry, dict) for group in entry]
    return {group: sorted(path.stem for path in (CONFIG_DIR / group).glob("*.yaml")) for group in groups}


def settings_by_key(config_name: str, group_choices: Sequence[str] = ()) -> dict[str, Any]:
    """Returns every setting of a command by its key, such as "optimizer.learning_rate", with its default value.

    A value is None where it is missing or refers to other settings.

    Args:
        config_name: The YAML file of the command, e.g. "train".
        group_choices: `group=option`, where it is not the default of the command.

    Raises:
        UserError: A group or an option does not exist.
    """
    register_schemas()
    parsed = [_parse(text) for text in group_choices]
    _check_options(parsed, config_groups(config_name))
    return _leaves(_hydra(config_name, parsed))


def overrides_of(values: Mapping[str, Any], *, prefix: str = "") -> list[str]:
    """Returns overrides that set all values of a saved configuration, e.g. ["optimizer.learning_rate=0.001"]."""
    overrides = []
    for key, value in values.items():
        if isinstance(value, Mapping):
            overrides += overrides_of(value, prefix=f"{prefix}{key}.")
        else:
            overrides.append(f"{prefix}{key}={_literal(value)}")
    return overrides


def settings_of(overrides: Sequence[str]) -> dict[str, Any]:
    """Returns the values that overrides set, by key or group."""
    parsed = [_parse(text) for text in overrides]
    return {override.key_or_group: override.value() for override in parsed}


def _literal(value: object) -> str:
    """Returns a value in the grammar of Hydra's overrides."""
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, list | tuple):
        return "[" + ",".join(_literal(item) for item in value) + "]"
    return json.dumps(value)


def _quoted(value: str) -> str:
    return "'" + value.replace("'", "\\'") + "'"


def _parse(text: str) -> Override:
    not_a_setting = UserError(f"{text!r} is not a setting: expected key=value, e.g. seed=1")
    key, equals, value = text.partition("=")
    if not equals or _KEY.fullmatch(key) is None:
        raise not_a_setting
    # The shell expands ~ only at the start of a word.
    value = os.path.expanduser(value) if value.startswith("~/") else value
    parser = OverridesParser.create()
    for literal in (value, _quoted(value)):
        try:
            [override] = parser.parse_overrides([f"{key}={literal}"])
        except OverrideParseException:
            continue
        if not override.is_sweep_override():
            return override
    raise not_a_setting


def _check_options(overrides: Sequence[Override], groups: Mapping[str, Sequence[str]]) -> None:
    for override in overrides:
        group, value = override.key_or_group, override.value()
        for option in value if isinstance(value, list) else [value]:
            if group in groups:
                check_choice(str(option), groups[group], key=group)


def _check_key(override: Override, *, base: DictConfig, groups: Mapping[str, Sequence[str]]) -> None:
    key = override.key_or_group
    leaf_keys = _leaves(base)
    if key in leaf_keys:
        return
    group, _, rest = key.partition(".")
    option = rest.partition(".")[0]
    if option in groups.get(group, ()):
        raise UserError(f"{key}: {option} is not selected: add {group}=[…,{option}]")
    keys = sorted({*leaf_keys, *groups})
    raise UserError(f"{key}: there is no such setting{_hint(key, keys) or '; --show-config lists them'}")


def _leaves(config: DictConfig, prefix: str = "") -> dict[str, Any]:
    leaves: dict[str, Any] = {}
    for name in map(str, config):
        child = None if OmegaConf.is_missing(config, name) or OmegaConf.is_interpolation(config, name) else config[name]
        if isinstance(child, DictConfig):
            leaves.update(_leaves(child, f"{prefix}{name}."))
        else:
            leaves[f"{prefix}{name}"] = OmegaConf.to_container(child) if isinstance(child, ListConfig) else child
    return leaves


def _hint(value: str, choices: Sequence[str]) -> str:
    nearest = difflib.get_close_matches(value, choices, n=1, cutoff=0.5)
    return f"; did you mean {nearest[0]}?" if nearest else ""


def _hydra(config_name: str, options: Sequence[Override]) -> DictConfig:
    """Returns the configuration of a command with the options of its groups, and all settings at their defaults."""
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
            config: DictConfig = hydra_compose(config_name, overrides=[option.input_line for option in options])
        return config
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(_first_line(error)) from error


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
