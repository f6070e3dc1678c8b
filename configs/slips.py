"""Common slips on the command line, each answered with the command that was probably meant."""

import os
import re
import shlex
from collections.abc import Collection, Sequence

from configs.command import Command

# The setting that a path given without its key most likely belongs to.
_PATH_KEYS = {
    "convert": "source",
    "train": "data_dir",
    "tune": "data_dir",
    "baselines": "data_dir",
    "crossval": "data_dir",
    "evaluate": "run_dir",
}
_OPTION = re.compile(r"--([A-Za-z_][\w.-]*)(=.*)?", re.DOTALL)


def find_slip(command: Command, words: Sequence[str], *, options: Sequence[str]) -> str | None:
    """Returns a hint with the corrected command, or None.

    Args:
        command: The command.
        words: The words behind its name.
        options: The options of the command, such as --debug.
    """
    for find in (_spaced_equals, _spaced_list, _setting_as_option, _plain_path):
        found = find(command, words, options)
        if found is not None:
            problem, corrected = found
            line = " ".join(["beamtune", command.name, *map(_quoted, corrected)])
            return f"{problem}; did you mean: {line}"
    return None


# The problem, and the words without it.
_Found = tuple[str, list[str]] | None


def _spaced_equals(command: Command, words: Sequence[str], options: Sequence[str]) -> _Found:
    """`data_dir = x`, `data_dir= x`, `data_dir =x`."""
    for index, word in enumerate(words):
        before, after = words[:index], words[index + 1 :]
        is_key = bool(before) and _is_bare(before[-1])
        if word == "=" and is_key and after:
            return f"spaces around = in {before[-1]!r}", [*before[:-1], f"{before[-1]}={after[0]}", *after[1:]]
        if word.startswith("=") and word != "=" and is_key:
            return f"a space before = in {before[-1] + ' ' + word!r}", [*before[:-1], before[-1] + word, *after]
        takes_paths = command.paths_usage is not None or command.positional_key is not None
        if takes_paths or not after or not _is_bare(after[0]):
            continue
        if _is_bare(word) and word in _settings(command, words):
            return f"no = behind {word!r}", [*before, f"{word}={after[0]}", *after[1:]]
        if re.fullmatch(r"[A-Za-z_][\w.]*=", word):
            return f"a space behind = in {word + ' ' + after[0]!r}", [*before, word + after[0], *after[1:]]
    return None


def _spaced_list(command: Command, words: Sequence[str], options: Sequence[str]) -> _Found:
    """`features=[a, b]`, which the shell takes apart."""
    for index, word in enumerate(words):
        if re.match(r"[A-Za-z_][\w.]*=\[", word) is None or word.endswith("]"):
            continue
        for last in range(index + 1, len(words)):
            if "=" in words[last] or words[last].startswith("-"):
                break
            if words[last].endswith("]"):
                joined = "".join(words[index : last + 1])
                return f"spaces in the list {word} …", [*words[:index], joined, *words[last + 1 :]]
    return None


def _setting_as_option(command: Command, words: Sequence[str], options: Sequence[str]) -> _Found:
    """`--epochs 10`, `--epochs=10`."""
    for index, word in enumerate(words):
        match = _OPTION.fullmatch(word)
        # argparse takes the beginning of an option for the option.
        if match is None or any(option.startswith(match[0]) for option in options):
            continue
        value, after = match[2], list(words[index + 1 :])
        key = _setting_named(match[1], _settings(command, words))
        if key is None:
            continue
        if value is None:
            value = f"={after.pop(0)}" if after and _is_bare(after[0]) else "=true"
        return f"{word} is not an option, but {key} is a setting", [*words[:index], f"{key}{value}", *after]
    return None


def _plain_path(command: Command, words: Sequence[str], options: Sequence[str]) -> _Found:
    """`prepare MUSIC`, `train DATA`."""
    if command.name not in ("prepare", *_PATH_KEYS) or any(word in command.positional_words for word in words):
        return None
    for index, word in enumerate(words):
        if words[max(0, index - 1)] == "--config":
            continue
        if _is_bare(word) and (os.path.isdir(word) or "/" in word or word.endswith(".csv")):
            setting = [
                f"{key}={value}" for key, value in _path_settings(command, word) if f"{key}={value}" not in words
            ]
            return f"{word!r} is given without its setting", [*words[:index], *setting, *words[index + 1 :]]
    return None


def _path_settings(command: Command, path: str) -> list[tuple[str, str]]:
    """Returns the settings that a path was probably meant for, and its kind of data set."""
    if command.name == "prepare":
        kind, key = ("csv", "dataset.path") if path.endswith(".csv") else ("folder", "dataset.root")
        return [("dataset", kind), (key, path)]
    # A run has a config.yaml.
    is_run = command.name == "train" and os.path.exists(os.path.join(path, "config.yaml"))
    return [("run_dir" if is_run else _PATH_KEYS[command.name], path)]


def _setting_named(option: str, settings: Collection[str]) -> str | None:
    """Returns the setting that is written as an option: top_k for "top-k" and "topk"."""
    key = option.replace("-", "_")
    written = [setting for setting in sorted(settings) if setting.replace("_", "") == key.replace("_", "")]
    return key if key in settings else next(iter(written), None)


def _settings(command: Command, words: Sequence[str]) -> set[str]:
    """Returns the settings and groups of a command, and of the one that it launches."""
    from configs.compose import CONFIG_DIR, config_groups, settings_by_key

    launched = words[1:2] if words and words[0] in command.launches else []
    names = [command.name, *(name for name in launched if (CONFIG_DIR / f"{name}.yaml").is_file())]
    return {key for name in names for key in (*settings_by_key(name), *config_groups(name))}


def _is_bare(word: str) -> bool:
    return bool(word) and "=" not in word and not word.startswith("-")


def _quoted(word: str) -> str:
    """Returns a word as it is typed in a shell. A pattern of file names is left to the shell."""
    folder, slash, pattern = word.rpartition("/")
    if slash and "=" not in word and pattern.startswith("*."):
        return f"{shlex.quote(folder)}/{pattern}"
    return shlex.quote(word)
