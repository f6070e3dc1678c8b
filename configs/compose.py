"""Composes the YAML files of a command and the user's overrides to one frozen dataclass, with one-line errors."""

import difflib
import json
import os
import re
import threading
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import yaml
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, Quote, QuotedString
from hydra.errors import HydraException, OverrideParseException
from omegaconf import DictConfig, ListConfig, OmegaConf, StringNode
from omegaconf.base import UnionNode
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from beam_pipelines.common.checks import check_choice
from beam_pipelines.common.errors import UserError, first_line
from configs.hydra_schemas import SCHEMA_GROUP, register_schema
from configs.setting_nodes import expected_by, is_mapping, mapping_of, node_of, value_of_union

# Overrides of the command line, or values by dotted key and options by group.
Settings: TypeAlias = Sequence[str] | Mapping[str, Any]

CONFIG_DIR = Path(__file__).resolve().parent

_KEY = re.compile(r"[A-Za-z_]\w*(\.\w+)*")
# A schema in a defaults list, such as /schema/cnn2d_model@_here_.
_SCHEMA = re.compile(rf"\b{SCHEMA_GROUP}/(\w+)")
# In OmegaConf's grammar a backslash escapes "${", and another backslash before it.
_REFERENCE = re.compile(r"(\\*)\$\{")
# What Hydra has for programs that it starts: to read these files takes a third of the time of composing.
_WITHOUT_JOB = tuple(
    f"~hydra/{group}"
    for group in ("job_logging", "hydra_logging", "hydra_help", "help", "output", "launcher", "sweeper")
)
# Hydra keeps its state in the process.
_hydra_lock = threading.Lock()


class _Setting(NamedTuple):
    """A value by its dotted key, or an option by its group.

    Attributes:
        text: The text for messages, such as "seed=1".
        is_parsed: Whether the value was parsed from the text.
    """

    key: str
    value: Any
    text: str
    is_parsed: bool


def compose(config_name: str, settings: Settings) -> DictConfig:
    """Composes the configuration of a command.

    Args:
        config_name: The YAML file to start from, e.g. "prepare".
        settings: `key=value` and `group=option`, in Hydra's grammar. A value that is not valid in the grammar, such as
            a path with a comma, is a string. Or a mapping, which is not parsed, from dotted keys to values and from
            groups to options, e.g. {"dataset": "folder", "dataset.root": "/music, a=[b"}.

    Raises:
        UserError: A key, an option or a value is wrong; the message suggests the nearest valid one.
    """
    if isinstance(settings, Mapping):
        return _compose(
            config_name, [_Setting(key, value, f"{key}={value}", is_parsed=False) for key, value in settings.items()]
        )
    parsed = [_parse(text) for text in settings]
    return _compose(
        config_name, [_Setting(one.key_or_group, one.value(), one.input_line, is_parsed=True) for one in parsed]
    )


def to_dataclass(config: DictConfig) -> object:
    """Returns a composed configuration as its frozen dataclass, which checks the values.

    Raises:
        UserError: A value is missing, or its dataclass does not accept it.
    """
    try:
        missing = sorted(str(key) for key in OmegaConf.missing_keys(config))
        if missing:
            raise UserError(f"{missing[0]} is not set: give {missing[0]}=…")
        _check_features(config)
        return OmegaConf.to_object(config)
    except OmegaConfBaseException as error:
        raise UserError(first_line(error)) from error


def _check_features(config: DictConfig) -> None:
    """Checks the settings of each feature, which know their kind alone: an error names the feature."""
    features = config.get("features")
    for name, settings in features.items() if isinstance(features, DictConfig) else ():
        try:
            OmegaConf.to_object(settings)
        except UserError as error:
            raise UserError(str(error).replace(f"features.{settings.kind}.", f"features.{name!s}.")) from error


def to_yaml(config: DictConfig) -> str:
    """Returns a composed configuration as YAML; references stay unresolved if a value is missing."""
    try:
        return OmegaConf.to_yaml(config, resolve=True)
    except MissingMandatoryValue:
        return OmegaConf.to_yaml(config)


def multiple_choice_groups(config_name: str) -> set[str]:
    """Returns the groups of a command of which several options can be chosen, such as `features`."""
    entries = [entry for entry in _defaults(config_name) if isinstance(entry, dict)]
    return {group for entry in entries for group, option in entry.items() if isinstance(option, list)}


def config_groups(config_name: str) -> dict[str, list[str]]:
    """Returns the groups in the defaults of a command's YAML file, such as `dataset`, each with its options."""
    groups = [group for entry in _defaults(config_name) if isinstance(entry, dict) for group in entry]
    return {group: sorted(path.stem for path in (CONFIG_DIR / group).glob("*.yaml")) for group in groups}


@cache
def _defaults(config_name: str) -> list[Any]:
    """Returns the defaults list of a command's YAML file: names of files, and {group: option or options}."""
    content = yaml.safe_load((CONFIG_DIR / f"{config_name}.yaml").read_text(encoding="utf-8"))
    defaults: list[Any] = content["defaults"]
    return defaults


def settings_by_key(config_name: str, group_choices: Sequence[str] = ()) -> dict[str, Any]:
    """Returns every setting of a command by its key, such as "optimizer.learning_rate", with its default value.

    A value is None where it is missing or refers to other settings.

    Args:
        config_name: The YAML file of the command, e.g. "train".
        group_choices: `group=option`, where it is not the default of the command.

    Raises:
        UserError: A group or an option does not exist.
    """
    return _leaves(compose(config_name, group_choices))


def flat_values(values: Mapping[str, Any], *, prefix: str = "") -> dict[str, Any]:
    """Returns the values of nested mappings by dotted key, e.g. {"optimizer.learning_rate": 0.001}."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= (
            flat_values(value, prefix=f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
        )
    return flat


def overrides_of(values: Mapping[str, Any]) -> list[str]:
    """Returns overrides that set all values of a saved configuration, e.g. ["optimizer.learning_rate=0.001"]."""
    return [f"{key}={_literal(value)}" for key, value in flat_values(values).items()]


def settings_of(settings: Settings) -> dict[str, Any]:
    """Returns the values that settings set, by key or group."""
    if isinstance(settings, Mapping):
        return dict(settings)
    parsed = [_parse(text) for text in settings]
    return {override.key_or_group: override.value() for override in parsed}


def without_references(value: Any) -> Any:
    """Returns a value, or a list, whose strings refer to no other setting: "${" in them is literal."""
    if isinstance(value, str):
        return _REFERENCE.sub(r"\1\1\\${", value)
    return [without_references(item) for item in value] if isinstance(value, list) else value


def _literal(value: object) -> str:
    """Returns a value in the grammar of Hydra's overrides."""
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, list | tuple):
        return "[" + ",".join(_literal(item) for item in value) + "]"
    return json.dumps(value)


def _quoted(value: str) -> str:
    quoted: str = QuotedString(text=value, quote=Quote.single).with_quotes()
    return quoted


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


def _compose(config_name: str, settings: Sequence[_Setting]) -> DictConfig:
    groups = config_groups(config_name)
    options = {setting.key: setting.value for setting in settings if setting.key in groups}
    for group, value in options.items():
        if isinstance(value, str) and "," in value and group in multiple_choice_groups(config_name):
            raise UserError(f"{group}={value}: expected a list: '{group}=[{value}]'")
        for option in value if isinstance(value, list) else [value]:
            check_choice(str(option), groups[group], key=group)
    config = _hydra(config_name, options)
    values = [setting for setting in settings if setting.key not in groups]
    keys = list(_leaves(config))
    for setting in values:
        if mapping_of(config, setting.key) is None:
            _check_key(setting.key, keys=keys, groups=groups)
    for setting in values:
        is_in_mapping = mapping_of(config, setting.key) is not None
        try:
            OmegaConf.update(
                config, setting.key, _value_for(config, setting), merge=not is_in_mapping, force_add=is_in_mapping
            )
        except OmegaConfBaseException as error:
            if OmegaConf.is_list(OmegaConf.select(config, setting.key)) and not isinstance(setting.value, list):
                items = [item.strip(" '\"") for item in str(setting.value).strip("[]").split(",")]
                quoted = ",".join(f'"{item}"' if item.startswith("-") else item for item in items)
                raise UserError(f"{setting.text}: expected a list, e.g. '{setting.key}=[{quoted}]'") from error
            raise UserError(
                f"{setting.text}: {expected_by(node_of(config, setting.key), setting.value) or first_line(error)}"
            ) from error
    _check_references(config, values)
    return config


def _check_references(config: DictConfig, settings: Sequence[_Setting]) -> None:
    """Raises a UserError if a given value refers to a setting that does not exist."""
    for setting in settings:
        if not isinstance(setting.value, str) or "${" not in setting.value:
            continue
        try:
            OmegaConf.select(config, setting.key)
        except OmegaConfBaseException as error:
            raise UserError(
                f"{setting.text}: {first_line(error)}: ${{…}} refers to another setting; \\${{…}} is the text itself"
            ) from error


def _value_for(config: DictConfig, setting: _Setting) -> Any:
    """Returns the value of a setting; for a text setting the text, where the grammar has another value for it.

    A folder may be named "[1]", "007" or "1e3", which are a list and numbers.
    """
    node = node_of(config, setting.key)
    if isinstance(node, UnionNode):
        return value_of_union(node, setting.value)
    if (
        not setting.is_parsed
        or setting.value is None
        or isinstance(setting.value, str)
        or not setting.text.startswith(f"{setting.key}=")
    ):
        return setting.value
    if mapping_of(config, setting.key) not in (None, setting.key):
        return setting.text.partition("=")[2]
    is_text = isinstance(node, StringNode)
    return setting.text.partition("=")[2] if is_text else setting.value


def _check_key(key: str, *, keys: Sequence[str], groups: Mapping[str, Sequence[str]]) -> None:
    if key in keys:
        return
    group, _, rest = key.partition(".")
    option = rest.partition(".")[0]
    if option in groups.get(group, ()):
        raise UserError(f"{key}: {option} is not selected: add {group}=[…,{option}]")
    choices = sorted({*keys, *groups})
    raise UserError(f"{key}: there is no such setting{_hint(key, choices) or '; --show-config lists them'}")


def _leaves(config: DictConfig, prefix: str = "") -> dict[str, Any]:
    leaves: dict[str, Any] = {}
    for name in map(str, config):
        child = None if OmegaConf.is_missing(config, name) or OmegaConf.is_interpolation(config, name) else config[name]
        if isinstance(child, DictConfig) and not is_mapping(child):
            leaves.update(_leaves(child, f"{prefix}{name}."))
        else:
            is_container = isinstance(child, DictConfig | ListConfig)
            leaves[f"{prefix}{name}"] = OmegaConf.to_container(child) if is_container else child
    return leaves


def _hint(value: str, choices: Sequence[str]) -> str:
    nearest = difflib.get_close_matches(value, choices, n=1, cutoff=0.5)
    return f"; did you mean {nearest[0]}?" if nearest else ""


def _schemas_of(config_name: str, options: Mapping[str, Any]) -> frozenset[str]:
    """Returns the schemas that a command's YAML file, the files in its defaults and those of its options name.

    Args:
        config_name: The YAML file of the command.
        options: The options of its groups that are not the default ones.
    """
    names = [config_name]
    for entry in _defaults(config_name):
        if isinstance(entry, str):
            names.append(entry.partition("@")[0])
            continue
        for group, default in entry.items():
            chosen = options.get(group, default)
            names += [f"{group}/{option}" for option in (chosen if isinstance(chosen, list) else [chosen])]
    return frozenset[str]().union(*map(_schemas_in, names))


@cache
def _schemas_in(name: str) -> frozenset[str]:
    """Returns the schemas that a YAML file names; none if there is no such file."""
    path = CONFIG_DIR / f"{name}.yaml"
    return frozenset(_SCHEMA.findall(path.read_text(encoding="utf-8")) if path.exists() else ())


def _hydra(config_name: str, options: Mapping[str, Any]) -> DictConfig:
    """Returns the configuration of a command with the options of its groups, and all settings at their defaults."""
    overrides = [f"{group}={_literal(option)}" for group, option in options.items()]
    with _hydra_lock:
        for name in _schemas_of(config_name, options):
            register_schema(name)
        # The state of a program that uses Hydra itself and calls beamtune.
        outer = GlobalHydra.instance().hydra
        GlobalHydra.instance().clear()
        try:
            with initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
                config: DictConfig = hydra_compose(config_name, overrides=[*_WITHOUT_JOB, *overrides])
            return config
        except (HydraException, OmegaConfBaseException) as error:
            raise UserError(first_line(error)) from error
        finally:
            # Another instance by now: Hydra replaces it at the end of the block above.
            GlobalHydra.instance().hydra = outer
