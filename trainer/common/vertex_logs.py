"""The folder for event files that Vertex AI gives a job.

Vertex AI copies what is written there to its own TensorBoard. It sets `AIP_TENSORBOARD_LOG_DIR`, a path on gs:// with a
final slash, where the job has a base output directory
(https://cloud.google.com/vertex-ai/docs/training/code-requirements).
"""

import os
from collections.abc import Mapping

from trainer.common import files

LOG_DIR_VARIABLE = "AIP_TENSORBOARD_LOG_DIR"


def vertex_log_dir(name: str = "", *, environment: Mapping[str, str] = os.environ) -> str | None:
    """Returns the folder to which events are written besides their own, or None where Vertex AI has set none.

    Args:
        name: The folder in it, such as that of a run; empty for the folder itself.
        environment: The variables of the process.
    """
    root = environment.get(LOG_DIR_VARIABLE, "").rstrip("/")
    if not root:
        return None
    return files.join(root, name) if name else root


def event_directories(run_dir: str, *, environment: Mapping[str, str] = os.environ) -> list[str]:
    """Returns where the events of a run are written: the run directory, and Vertex AI's folder for it.

    In that folder it has the name of the run directory, so that runs of one job, such as trials, are apart.
    """
    name = run_dir.rstrip("/").rpartition("/")[2]
    return [run_dir, *(one for one in [vertex_log_dir(name, environment=environment)] if one is not None)]
