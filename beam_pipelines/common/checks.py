"""Checks of settings. Each raises a UserError that names the key, the value and the expected values."""

import difflib
from collections.abc import Sequence
from typing import Any

from beam_pipelines.common.errors import UserError

MISSING: Any = "???"  # OmegaConf's marker of a value without a default


def check(condition: bool, *, key: str, value: object, expected: str) -> None:
    """Raises a UserError that names the key, its value and what was expected, unless the condition holds."""
    if not condition:
        raise UserError(f"{key}={shown_value(value)}: expected {expected}")


def shown_value(value: object) -> str:
    """Returns a value for messages: true, false and null as users write them, and others as Python does."""
    return {"True": "true", "False": "false", "None": "null"}.get(repr(value), str(value))


def check_path(value: str, *, key: str) -> None:
    """Raises a UserError if a path is empty, which would be the working folder, or has a NUL, which no path has."""
    check(value.strip() != "", key=key, value=value, expected="a path")
    check("\0" not in value, key=key, value=repr(value), expected="a path without NUL characters")


def name_or_names(value: object, *, key: str) -> str | list[str]:
    """Returns the value of a setting that takes one name or a list of names; a list of one as its name.

    The same names are then the same setting, however they were given.

    Raises:
        UserError: It is neither a text nor a list of texts, or has no name, an empty one or the same one twice.
    """
    names = tuple(value) if isinstance(value, list | tuple) else (value,)
    check(
        len(names) >= 1
        and all(isinstance(name, str) and name.strip() != "" and "," not in name for name in names)
        and len(set(names)) == len(names),
        key=key,
        value=value,
        expected="a name, or a list of names, each once, e.g. '[yamnet,musicnn]'",
    )
    return names[0] if len(names) == 1 else list(names)


def check_choice(value: str, choices: Sequence[str], *, key: str) -> None:
    """Raises a UserError that names the choices, and the nearest of them, unless the value is one."""
    if value in choices:
        return
    begun = [choice for choice in choices if value and choice.startswith(value)]
    # A word of three letters with another first letter is another word: gpu is not a mistyped cpu.
    similar = [
        choice
        for choice in difflib.get_close_matches(value, choices, n=1)
        if len(value) > 3 or choice.startswith(value[:1])
    ]
    nearest = similar or begun
    hint = f"; did you mean {nearest[0]}?" if nearest else ""
    expected = choices[0] if len(choices) == 1 else f"one of {', '.join(choices)}"
    raise UserError(f"{key}={value}: expected {expected}{hint}")
