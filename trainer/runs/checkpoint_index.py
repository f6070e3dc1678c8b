"""`checkpoints.json`, which names the last and the best checkpoint of a run. Without TensorFlow."""

import json
from collections.abc import Mapping

from beam_pipelines.common.errors import UserError
from trainer.common import files

LAST, BEST = "last", "best"
_INDEX_FILE = "checkpoints.json"


def find_checkpoint(directory: str, kind: str) -> str | None:
    """Returns the path of the last or the best checkpoint in a directory, or None if there is none."""
    names = read_index(directory)
    return files.join(directory, names[kind]) if kind in names else None


def read_index(directory: str) -> Mapping[str, str]:
    """Returns the names of the checkpoints in a directory, by LAST and BEST; none if there is no index.

    Raises:
        UserError: The index is damaged.
    """
    path = files.join(directory, _INDEX_FILE)
    try:
        names = json.loads(files.read_text(path))
    except files.MissingFileError:
        return {}
    except (ValueError, RecursionError):
        names = None
    if not isinstance(names, dict) or not all(isinstance(name, str) for name in names.values()):
        raise UserError(f"{path} is damaged: restore it from a copy, or train the run again in another run_dir")
    return names


def write_index(directory: str, names: Mapping[str, str]) -> None:
    """Writes the names of the checkpoints in a directory; replaces the index atomically."""
    files.write_text(files.join(directory, _INDEX_FILE), json.dumps(names) + "\n")
