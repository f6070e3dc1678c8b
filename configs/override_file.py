"""`overrides=FILE` on the command line: a YAML list of `key=value`, such as the best.yaml of `beamtune tune`."""

import os
from collections.abc import Sequence

import yaml

from beam_pipelines.common.bucket_access import check_access
from beam_pipelines.common.errors import UserError
from trainer.common import files


def expand_override_files(words: Sequence[str]) -> list[str]:
    """Returns the words of a command line, each `overrides=FILE` replaced by the settings that the file lists.

    Raises:
        UserError: A file cannot be read, or is not a YAML list of settings.
    """
    expanded = []
    for word in words:
        key, _, path = word.partition("=")
        expanded += read_overrides(os.path.expanduser(path)) if key == "overrides" else [word]
    return expanded


def read_overrides(path: str) -> list[str]:
    """Returns the settings that a file lists, each as `key=value`.

    Args:
        path: The file, local or gs://.

    Raises:
        UserError: The file or its bucket cannot be read, or it is not a YAML list of settings.
    """
    check_access(read=[path])  # without credentials, reading would be repeated until the deadline
    try:
        content = yaml.safe_load(files.read_text(path))
    except (*files.READ_ERRORS, yaml.YAMLError) as error:
        reason = error.strerror if isinstance(error, OSError) else type(error).__name__
        raise UserError(f"overrides={path} cannot be read ({reason}): expected a YAML list of settings") from error
    if not isinstance(content, list) or not all(isinstance(line, str) and "=" in line for line in content):
        raise UserError(f"overrides={path}: expected a YAML list of settings, such as - model.dropout=0.5")
    return content
