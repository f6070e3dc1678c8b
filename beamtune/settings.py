"""Keyword arguments as settings of a command: options of groups, nested dicts and dotted keys."""

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from beam_pipelines.common.errors import UserError
from configs.compose import (
    config_groups,
    flat_values,
    multiple_choice_groups,
    settings_of,
    without_references,
)
from configs.override_file import read_overrides, without_replaced_options


def path_text(path: object, *, name: str) -> str:
    """Returns a path as a string, with ~ expanded.

    Args:
        path: Local or gs://.
        name: The name of the argument, for messages.

    Raises:
        UserError: It is not a path, or is a pathlib.Path of a gs:// address, in which the two slashes have become one.
    """
    if not isinstance(path, str | os.PathLike):
        raise UserError(f"{name}={path!r}: expected a path, as a str or a pathlib.Path")
    text = os.fspath(path)
    if not isinstance(text, str):
        raise UserError(f"{name}={path!r}: expected a path of text, not of bytes")
    if not isinstance(path, str) and text.startswith("gs:/"):
        raise UserError(f"{name}={path!r}: pathlib joins the slashes of gs://, so give the address as a str")
    return os.path.expanduser(text) if text.startswith("~/") else text


def settings_from(config_name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Returns keyword arguments as values by dotted key and options by group.

    Args:
        config_name: The command, such as "prepare".
        arguments: A group takes an option ("crnn"), settings of its default option ({"dropout": 0.5}), or an option
            with its settings ({"crnn": {"dropout": 0.5}}). Other keys take a value, or a dict of settings below the
            key. `overrides` takes the path of a YAML file of settings.

    Raises:
        UserError: A setting is given twice, or the options of a group are mixed with settings.
    """
    groups, multiple = config_groups(config_name), multiple_choice_groups(config_name)
    settings: dict[str, Any] = {}
    for name, value in arguments.items():
        if name == "overrides":
            continue
        if name in groups and isinstance(value, Mapping):
            found = _group_settings(name, value, options=groups[name], takes_several=name in multiple)
        else:
            found = flat_values({name: value})
        for key, setting in found.items():
            if key in settings:
                raise UserError(f"{key} is given twice, as {settings[key]!r} and {setting!r}: give it once")
            settings[key] = setting
    given = {key: _plain(value, key=key) for key, value in settings.items()}
    if "overrides" not in arguments:
        return given
    read = read_overrides(path_text(arguments["overrides"], name="overrides"), [config_name])
    return {**settings_of(without_replaced_options(read, given, groups=groups)), **given}


def _group_settings(
    group: str, content: Mapping[str, Any], *, options: list[str], takes_several: bool
) -> dict[str, Any]:
    """Returns a group's dict as its option, or options, and values by dotted key."""
    chosen = [name for name in content if name in options]
    if not chosen and not takes_several:
        return flat_values(content, prefix=f"{group}.")
    are_dicts = all(isinstance(content[name], Mapping) for name in chosen)
    if len(chosen) < len(content) or (len(chosen) != 1 and not takes_several) or not are_dicts:
        what = "options" if takes_several else "one option"
        raise UserError(
            f"{group}={dict(content)!r}: expected {what} of {', '.join(options)} with a dict of settings, "
            f"e.g. {{{options[0]!r}: {{}}}}"
        )
    if takes_several:
        return {group: chosen, **flat_values(content, prefix=f"{group}.")}
    [option] = chosen
    return {group: option, **flat_values(content[option], prefix=f"{group}.")}


def _plain(value: Any, *, key: str) -> Any:
    """Returns a value as the settings' files could hold it: paths as strings, numbers of numpy as numbers of Python."""
    if isinstance(value, str | os.PathLike):
        return without_references(path_text(value, name=key))
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, list | tuple):
        return [_plain(item, key=key) for item in value]
    return value
