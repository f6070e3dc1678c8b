"""Where the numbers of a report come from: settings, versions, hashes, and the command that makes them again."""

import hashlib
import platform
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Any

import yaml

from trainer.common import files
from trainer.data.prepared import PreparedData
from trainer.runs.checkpoint_index import BEST, find_checkpoint
from trainer.runs.run_dir import RunDir
from trainer.runs.versions_file import read_versions

# The name of a command and its saved settings → the command line; None where its settings do not exist any more.
ToCommand = Callable[[str, Mapping[str, Any]], str | None]
_LIBRARIES = ("beamtune", "numpy", "scipy", "matplotlib", "jinja2")


def provenance(
    *,
    settings: Mapping[str, Any],
    command: str | None,
    data: PreparedData | None,
    prepare_text: str | None,
    run: RunDir | None,
) -> dict[str, Any]:
    """Returns the section of the page.

    Args:
        settings: The saved settings.
        command: The command that was run, or None.
        data: The data set, or None.
        prepare_text: The text of its `prepare.yaml`, or None.
        run: The run whose weights are hashed; None where there is none.
    """
    prepared = yaml.safe_load(prepare_text) if prepare_text is not None else {}
    versions = prepared.get("versions") or {}
    return {
        "command": command,
        "settings": yaml.safe_dump(dict(settings), sort_keys=False, allow_unicode=True),
        "prepare_yaml": prepare_text,
        "cache_key": None if data is None else data.cache_key,
        "trained_with": {} if run is None else dict(read_versions(run)),
        "prepared_with": {str(name): str(value) for name, value in versions.items()},
        "reported_with": {"Python": platform.python_version(), **{name: version(name) for name in _LIBRARIES}},
        "weights": [] if run is None else weight_hashes(run),
    }


def weight_hashes(run: RunDir) -> list[dict[str, str]]:
    """Returns the name and the SHA-256 of each file of the best checkpoint; none for classical learners."""
    checkpoint = find_checkpoint(run.checkpoint_dir, BEST)
    if checkpoint is None:
        return []
    prefix = checkpoint.rpartition("/")[2] + "."
    names = [name for name in files.list_if_exists(run.checkpoint_dir) if name.startswith(prefix)]
    return [
        {"file": name, "sha256": hashlib.sha256(files.read_bytes(files.join(run.checkpoint_dir, name))).hexdigest()}
        for name in names
    ]
