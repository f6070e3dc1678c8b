"""`versions.json` of a run: the software that has finished its training."""

import json
import platform
from collections.abc import Mapping

from beam_pipelines.common.package_builds import beamtune_version
from trainer.common import files
from trainer.runs.run_dir import RunDir

_FILE = "versions.json"


def write_versions(run: RunDir) -> None:
    """Writes `versions.json`: the versions of beamtune, TensorFlow, Keras and Python in this process."""
    import keras  # reading the versions does not need it, nor TensorFlow
    import tensorflow as tf

    content = {
        "beamtune": beamtune_version(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "python": platform.python_version(),
    }
    files.write_text(files.join(run.path, _FILE), json.dumps(content, indent=2) + "\n")


def read_versions(run: RunDir) -> Mapping[str, str]:
    """Returns the versions by name; none for a run of beamtune 0.1.0, which has no such file, or if it is damaged."""
    try:
        content = json.loads(files.read_text(files.join(run.path, _FILE)))
    except (files.MissingFileError, ValueError):
        return {}
    return {str(name): str(found) for name, found in content.items()} if isinstance(content, dict) else {}
