"""Runs infra/colab/beamtune.ipynb as Colab or Kaggle would, with stand-ins for what only they have."""

import os
import sys
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import psutil
from nbclient import NotebookClient
from wheels import REPOSITORY

NOTEBOOK = REPOSITORY / "infra" / "colab" / "beamtune.ipynb"

# google.colab exists in Colab alone. google is a namespace of protobuf and Google's clients, too: a stand-in with a
# google/__init__.py would hide these.
_COLAB = {
    "google/colab/__init__.py": "",
    "google/colab/auth.py": "def authenticate_user():\n    print('signed in')\n",
    "google/colab/drive.py": "import os\n\n\ndef mount(path):\n    os.makedirs(f'{path}/MyDrive', exist_ok=True)\n",
    "google/colab/files.py": (
        "import os\n\n\ndef upload():\n    return {os.environ['UPLOADED_FILE']: b''}\n\n\n"
        "def download(path):\n    print(f'downloads {path}')\n"
    ),
}
# The magic of TensorBoard waits 60 s for its server, which is too short for TensorFlow's import on a busy machine.
# Without TensorFlow, the same server reads local files.
_TENSORBOARD = """#!{python}
import sys

sys.modules["tensorflow"] = None
from tensorboard.main import run_main

sys.exit(run_main())
"""
# Variables that would change which packages and settings the notebook sees.
_OTHERS = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "BEAMTUNE", "KAGGLE_", "COLAB_", "TPU_", "CUDA_VISIBLE")


@dataclass(frozen=True)
class Runtime:
    """A folder in which the notebook runs.

    Attributes:
        folder: The working folder, as /content in Colab.
        environment: The variables of its kernel.
    """

    folder: Path
    environment: dict[str, str]

    def run(self, parameters: Mapping[str, str], *, only: Collection[str] | None = None) -> "Executed":
        """Runs the notebook in a new kernel; ends the servers that it has started.

        Args:
            parameters: Values for names of the cell of settings. Others are refused.
            only: The ids of the cells to run; all by default.

        Raises:
            nbclient.exceptions.CellExecutionError: A cell has failed.
        """
        notebook = nbformat.read(NOTEBOOK, as_version=4)
        ids = [cell.id for cell in notebook.cells]
        unknown = [name for name in parameters if f"\n{name} = " not in notebook.cells[ids.index("settings")].source]
        assert unknown == []
        values = "\n".join(f"{name} = {value!r}" for name, value in parameters.items())
        notebook.cells.insert(ids.index("settings") + 1, nbformat.v4.new_code_cell(values, id="parameters"))
        if only is not None:
            notebook.cells = [cell for cell in notebook.cells if cell.id in {*only, "parameters"}]
        client = NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(self.folder)}})
        try:
            client.execute(env=self.environment)
        finally:
            self._end_servers()
        return Executed(notebook)

    def _end_servers(self) -> None:
        """Ends the TensorBoard of this runtime, which outlives the kernel."""
        for process in psutil.process_iter(["cmdline"]):
            words = " ".join(process.info["cmdline"] or ())
            if "tensorboard" in words and str(self.folder) in words:
                with suppress(psutil.NoSuchProcess):
                    process.kill()


@dataclass(frozen=True)
class Executed:
    """A notebook with its outputs."""

    notebook: Any

    def text(self, cell_id: str) -> str:
        """Returns what a cell has printed."""
        return "".join(one["text"] for one in self._outputs(cell_id) if one["output_type"] == "stream")

    def displayed(self, cell_id: str, kind: str) -> list[str]:
        """Returns what a cell has displayed of a kind, such as text/html."""
        return [one["data"][kind] for one in self._outputs(cell_id) if kind in one.get("data", {})]

    def _outputs(self, cell_id: str) -> list[Any]:
        [cell] = [cell for cell in self.notebook.cells if cell.id == cell_id]
        return list(cell.outputs)


def make_runtime(folder: Path, service: str | None = "Colab", **variables: str) -> Runtime:
    """Makes a runtime without network for pip, below a folder.

    Args:
        folder: An existing folder.
        service: "Colab", "Kaggle", or None for neither.
        variables: Further variables of the kernel.
    """
    content, temporary, modules = (folder / name for name in ("content", "temporary", "modules"))
    for new in (content, temporary, modules):
        new.mkdir(parents=True, exist_ok=True)
    if service == "Colab":
        for name, source in _COLAB.items():
            (modules / name).parent.mkdir(parents=True, exist_ok=True)
            (modules / name).write_text(source, encoding="utf-8")
    tensorboard = folder / "tensorboard"
    tensorboard.write_text(_TENSORBOARD.format(python=sys.executable), encoding="utf-8")
    tensorboard.chmod(0o755)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_OTHERS)}
    marks = {"Colab": {"COLAB_RELEASE_TAG": "release"}, "Kaggle": {"KAGGLE_KERNEL_RUN_TYPE": "Interactive"}}
    own = {
        "IPYTHONDIR": str(folder / "ipython"),
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "PIP_NO_INDEX": "1",
        "PYTHONPATH": str(modules),
        "TENSORBOARD_BINARY": str(tensorboard),
        "TMPDIR": str(temporary),
    }
    return Runtime(content, {**kept, **marks.get(service or "", {}), **own, **variables})
