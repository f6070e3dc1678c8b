"""Settings from files: `--config FILE` and `overrides=FILE` on the command line.

A file is a YAML mapping of settings, also the `config.yaml` of a run, or a YAML list of `key=value`, such as the
`best.yaml` of `beamtune tune`. Later files replace the settings of earlier ones, and the command line those of all.
"""

import os
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from beam_pipelines.common.bucket_access import check_access
from beam_pipelines.common.checks import MISSING
from beam_pipelines.common.errors import UserError
from beam_pipelines.common.output_streams import visible_line
from beam_pipelines.common.terminal import stderr
from configs.compose import (
    CONFIG_DIR,
    config_groups,
    flat_values,
    multiple_choice_groups,
    overrides_of,
    settings_by_key,
    settings_of,
    without_references,
)
from configs.resume import option_of
from trainer.common import files

_MAX_BYTES = 65_536
_EXPECTED = "expected a YAML mapping, such as model.dropout: 0.5, or a list of settings, such as - model.dropout=0.5"
# A run has it beside its config.yaml.
_RUN_CONFIG, _RUN_DATA = "config.yaml", "dataset"
_REFERENCE_TO_SETTING = re.compile(r"\$\{[A-Za-z_][\w.]*\}")


def expand_override_files(names: Sequence[str], words: Sequence[str], *, paths: Sequence[str] = ()) -> list[str]:
    """Returns the words of a command line with the settings of its files in front, which the other words replace.

    Args:
        names: The command, and the one that it launches if there is one.
        words: The words behind the command. `overrides=FILE` names a file.
        paths: Other files, which are read before those in the words.

    Raises:
        UserError: A file cannot be read, or is not YAML of settings of the command.
    """
    is_file = [word.startswith("overrides=") for word in words]
    given = [word for word, is_one in zip(words, is_file, strict=True) if not is_one]
    named = [word.partition("=")[2] for word, is_one in zip(words, is_file, strict=True) if is_one]
    layers = [read_overrides(os.path.expanduser(path), names) for path in (*paths, *named)]
    if not layers:
        return given
    groups = _groups(names)
    settings: list[str] = []
    for layer in (*layers, given):
        options = settings_of([word for word in layer if word.partition("=")[0] in groups])
        settings = [*without_replaced_options(settings, options, groups=groups), *layer]
    return settings


def without_replaced_options(
    settings: Sequence[str], options: Mapping[str, Any], *, groups: Collection[str]
) -> list[str]:
    """Returns settings without those of groups of which later settings choose another option.

    Args:
        settings: Each as `key=value`.
        options: The later ones, by group.
        groups: The groups of the command.
    """
    earlier = settings_of([word for word in settings if word.partition("=")[0] in groups])
    replaced = {group for group, option in earlier.items() if options.get(group, option) != option}
    return [word for word in settings if word.partition("=")[0].partition(".")[0] not in replaced]


def read_overrides(path: str, names: Sequence[str]) -> list[str]:
    """Returns the settings of a file, each as `key=value`.

    Args:
        path: The file, local or gs://.
        names: The command that takes the settings, and the one that it launches if there is one.

    Raises:
        UserError: The file or its bucket cannot be read, or it is not YAML of settings of the command.
    """
    content = _read_yaml(path)
    if isinstance(content, list) and content and all(isinstance(line, str) and "=" in line for line in content):
        return [str(line) for line in content]
    if not isinstance(content, dict) or not content:
        raise UserError(f"{path}: {_EXPECTED}")
    values = {str(key): value for key, value in content.items()}
    is_run = os.path.basename(path) == _RUN_CONFIG and files.is_dir(files.join(os.path.dirname(path), _RUN_DATA))
    keys = [key for name in _composed(names) for key in (*settings_by_key(name), *config_groups(name))]
    known = {key.partition(".")[0] for key in keys}
    unknown = [key for key in values if key.partition(".")[0] not in known]
    if unknown and not is_run:
        name = names[-1]
        raise UserError(f"{path}: {unknown[0]}: {name} has no such setting; beamtune {name} --show-config lists them")
    left_out = [key for key in values if key in unknown or (is_run and key == "run_dir")]
    if left_out:
        note = f"the settings of the run {os.path.dirname(path) or '.'} are taken without {', '.join(left_out)}"
        print(f"note: {visible_line(note)}", file=stderr())
    return _overrides({key: value for key, value in values.items() if key not in left_out}, names, path, is_run=is_run)


def _read_yaml(path: str) -> Any:
    """Returns the content of a YAML file without tags of Python, duplicate keys, and aliases, which may be a bomb."""
    check_access(read=[path])  # without credentials, reading would be repeated until the deadline
    try:
        is_large = files.size_bytes(path) > _MAX_BYTES
        if not is_large:
            with files.open_to_read(path) as file:
                data = file.read(_MAX_BYTES + 1)  # a device has no size
        if is_large or len(data) > _MAX_BYTES:
            raise UserError(f"{path} is larger than {_MAX_BYTES} bytes: {_EXPECTED}")
        text = data.decode()
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=yaml.SafeLoader)):
            raise UserError(f"{path}: expected settings without aliases (*name)")
        # OmegaConf reads 1e-3 as a number, which is a text in YAML 1.1, and refuses duplicate keys.
        return OmegaConf.to_container(OmegaConf.create(text)) if text.strip() else None
    except files.READ_ERRORS as error:
        reason = error.strerror if isinstance(error, OSError) else type(error).__name__
        raise UserError(f"{path} cannot be read ({reason}): {_EXPECTED}") from error
    except (yaml.YAMLError, OmegaConfBaseException, ValueError, TypeError, RecursionError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path} cannot be read ({reason}): {_EXPECTED}") from error


def _overrides(values: Mapping[str, Any], names: Sequence[str], path: str, *, is_run: bool) -> list[str]:
    """Returns a mapping of settings as overrides: the options of its groups, and its values."""
    groups = _groups(names)
    several = {group for name in _composed(names) for group in multiple_choice_groups(name)}
    options: dict[str, Any] = {}
    for group in sorted(groups & values.keys()):
        content = values[group]
        if not isinstance(content, Mapping):
            options[group] = content
        elif group in several:
            options[group] = list(content)
        elif option_of(content) is not None:
            options[group] = option_of(content)
    rest = {key: value for key, value in values.items() if key not in options or isinstance(value, Mapping)}
    flat = {key: value for key, value in flat_values(rest).items() if value != MISSING}
    for key, value in (options | flat).items():
        _check_value(key, value, path, is_run=is_run)
    if is_run:
        flat = {key: without_references(value) for key, value in flat.items()}
    return overrides_of({**options, **flat})


def _check_value(key: str, value: Any, path: str, *, is_run: bool) -> None:
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, list):
            _check_value(key, item, path, is_run=is_run)
        elif item is not None and not isinstance(item, str | int | float):
            raise UserError(f"{path}: {key}: expected a number, a text, true, false, null, or a list of these")
        elif isinstance(item, str) and not is_run and "${" in _REFERENCE_TO_SETTING.sub("", item):
            raise UserError(f"{path}: {key}={item}: expected ${{…}} with another setting in it and nothing else")


def _groups(names: Sequence[str]) -> set[str]:
    return {group for name in _composed(names) for group in config_groups(name)}


def _composed(names: Sequence[str]) -> list[str]:
    """Returns those of some commands that have settings in a YAML file."""
    return [name for name in names if (CONFIG_DIR / f"{name}.yaml").is_file()]
