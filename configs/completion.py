"""Tab completion: the words that can replace the last word of a command line.

completion.bash and completion.zsh call this through `beamtune __complete WORD…` at each Tab, so that it must answer in
less than half a second: it composes the settings of one command, and imports nothing that the settings do not need.
"""

import glob
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from beam_pipelines.common.errors import UserError
from configs.command import Command
from configs.launch.serving.options import CLOUD_RUN, SERVE, launch_option

SHELLS = ("bash", "zsh")
QUERY_WORD = "__complete"


def shell_script(shell: str) -> str:
    """Returns the script that adds tab completion to a shell, one of `SHELLS`."""
    return Path(__file__).with_suffix(f".{shell}").read_text(encoding="utf-8")


def complete(
    words: Sequence[str], *, commands: Mapping[str, Command], options_of: Callable[[Command], Iterable[str]]
) -> list[str]:
    """Returns the words that can replace the last one, sorted; none where the shell should offer file names.

    A setting ends with "=", and a group of settings with ".": the user continues to type after these.

    Args:
        words: The words after `beamtune`, up to the cursor. The last one is empty or incomplete.
        commands: The commands, by name.
        options_of: Returns the options of a command, such as --debug.
    """
    *before, word = words or [""]
    if not before:
        candidates: Iterable[str] = [*commands, "completion", "--help", "--version"]
    elif before[0] == "completion":
        candidates = SHELLS
    elif before[0] not in commands:
        candidates = []
    elif before[-1] == "--config":
        candidates = []  # names of files
    elif word.startswith("-"):
        candidates = options_of(commands[before[0]])
    else:
        command = commands[before[0]]
        candidates = _launched(command, commands, before[1:], word) or _settings(command, before[1:], word)
    return sorted({candidate for candidate in candidates if candidate.startswith(word)})


def _launched(command: Command, commands: Mapping[str, Command], before: Sequence[str], word: str) -> list[str]:
    """Returns the commands that another one launches, or the settings of both; none for a word of its own."""
    positional = [one for one in before if "=" not in one and not one.startswith("-")]
    if not positional or positional[0] not in command.launches:
        return []
    if len(positional) < 2:
        from configs.launch.launched import LAUNCHABLE

        names = {CLOUD_RUN: [SERVE], "vertex": [*LAUNCHABLE, SERVE]}.get(positional[0], list(LAUNCHABLE))
        return [] if word.partition(".")[0] == command.name else names
    target, launched = positional[0], commands.get(positional[1])
    if word.startswith(f"{command.name}."):
        return _settings(command, [f"{command.name}={launch_option(target, positional[1])}"], word)
    return [] if launched is None else [*_settings(launched, before[2:], word), f"{command.name}."]


def _settings(command: Command, before: Sequence[str], word: str) -> list[str]:
    """Returns words of their own, keys, or values that a command takes, where these are not names of files."""
    takes_paths = command.paths_usage is not None or command.positional_key is not None
    if takes_paths and not command.positional_words and (not word or _begins_a_file_name(word)):
        return []
    if command.paths_usage is not None and before and before[0] in command.positional_words:
        return []
    from configs.compose import config_groups, settings_by_key  # imports Hydra

    groups = config_groups(command.name)
    key, equals, _ = word.partition("=")
    if equals and key in groups:
        return [f"{key}={option}" for option in groups[key]]
    try:
        chosen = [text.strip("'\"") for text in before]
        settings = settings_by_key(command.name, [text for text in chosen if text.partition("=")[0] in groups])
    except UserError:
        settings = settings_by_key(command.name)
    if equals:
        return _with_values(key, settings.get(key))
    keys = [_up_to_next_dot(setting, word) for setting in settings]
    return [*command.positional_words, *(f"{group}=" for group in groups), *keys, "overrides="]


def _begins_a_file_name(word: str) -> bool:
    return "=" not in word and bool(glob.glob(f"{glob.escape(word)}*"))


def _up_to_next_dot(key: str, word: str) -> str:
    """Returns a key up to the first dot after what was typed of it, or with "=" where there is none."""
    typed = word.rpartition(".")[0]
    if not key.startswith(f"{typed}." if typed else ""):
        return key
    end = key.find(".", len(typed) + 1)
    return f"{key}=" if end < 0 else key[: end + 1]


def _with_values(key: str, default: Any) -> list[str]:
    """Returns the settings of one key that are worth offering: true and false, or the default, unless it is a path."""
    if isinstance(default, bool):
        return [f"{key}=false", f"{key}=true"]
    if isinstance(default, str):
        return [] if "/" in default or not default else [f"{key}={default}"]
    from configs.compose import overrides_of

    return [] if default is None else overrides_of({key: default})
