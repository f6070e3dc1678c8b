"""The command line of saved settings, such as those in the `config.yaml` of a run."""

import re
import shlex
from collections.abc import Mapping
from typing import Any, cast

from omegaconf import OmegaConf

from beam_pipelines.common.errors import UserError
from configs.compose import compose, config_groups, multiple_choice_groups, overrides_of, settings_of
from configs.resume import option_of

# How a machine reaches its buckets is no property of a result.
_LEFT_OUT = ("storage",)
_PLAIN_TEXT = r"'[A-Za-z/][\w./:-]*'"
_PLAIN_VALUE = re.compile(rf"{_PLAIN_TEXT}|\[{_PLAIN_TEXT}(,{_PLAIN_TEXT})*\]")


def saved_command(name: str, values: Mapping[str, Any]) -> str | None:
    """Returns the command line that has these settings; None if one of them does not exist any more.

    Args:
        name: The command.
        values: Its saved settings.
    """
    kept = {key: value for key, value in values.items() if key not in _LEFT_OUT}
    try:
        overrides = plain_overrides(name, kept)
        compose(name, overrides)
    except (UserError, KeyError, TypeError):
        return None
    return shlex.join(["beamtune", name, *overrides])


def plain_overrides(name: str, values: Mapping[str, Any]) -> list[str]:
    """Returns `differing_overrides` without the quotes that they do not need.

    Raises:
        KeyError: A setting does not exist.
    """
    return [_without_quotes(override) for override in differing_overrides(name, values)]


def _without_quotes(override: str) -> str:
    """Returns an override without the quotes around its value, or those in its list, if it means the same."""
    key, _, value = override.partition("=")
    text = value.replace("'", "")
    plain = f"{key}={text}"
    is_plain = _PLAIN_VALUE.fullmatch(value) is not None and settings_of([plain]) == settings_of([override])
    return plain if is_plain else override


def differing_overrides(name: str, values: Mapping[str, Any]) -> list[str]:
    """Returns the overrides of a command for its settings: options, and values that differ from theirs.

    Raises:
        KeyError: A setting does not exist.
    """
    several = multiple_choice_groups(name)
    options_by_group = {
        group: f"[{','.join(values[group])}]" if group in several else option_of(values[group])
        for group in config_groups(name)
        if group in values
    }
    options = [f"{group}={option}" for group, option in options_by_group.items() if option is not None]
    defaults = cast(dict[str, Any], OmegaConf.to_container(compose(name, options), resolve=True))
    return [*options, *overrides_of(_differing(values, defaults))]


def _differing(values: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the values, at any depth, that differ from their defaults."""
    differing: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            below = _differing(value, defaults[key])
            if below:
                differing[key] = below
        elif value != defaults[key]:
            differing[key] = value
    return differing
