"""Commands for child processes that import the same packages as this one, whatever the working folder holds."""

import sys
from pathlib import Path

# The folder that this process imports the packages of beamtune from: site-packages, or a checkout.
_PACKAGES_DIR = str(Path(__file__).resolve().parents[2])

# `python -m` and `python -c` put the working folder first on sys.path, so that a folder `configs/` or a file `queue.py`
# in it replaces the module of that name. The option -P, which leaves it out, exists from Python 3.11 on.
_BOOTSTRAP = """\
import sys
if sys.path and sys.path[0] == "":
    del sys.path[0]
_, packages_dir, entry_point, *arguments = sys.argv
if packages_dir not in sys.path:
    sys.path.insert(0, packages_dir)
sys.argv[1:] = arguments
from importlib import import_module
module, _, function = entry_point.partition(":")
getattr(import_module(module), function)()
"""


def python_command(entry_point: str, *arguments: str) -> list[str]:
    """Returns a command that calls a function without arguments in a new process of this Python.

    Args:
        entry_point: "package.module:function", as in `project.scripts` of a pyproject.toml.
        arguments: What the function finds in `sys.argv[1:]`.
    """
    return [sys.executable, "-c", _BOOTSTRAP, _PACKAGES_DIR, entry_point, *arguments]
