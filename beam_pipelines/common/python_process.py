"""Commands for child processes that import the same packages as this one, whatever the working folder holds."""

import sys
from pathlib import Path

# The folder that this process imports the packages of beamtune from: site-packages, or a checkout.
_PACKAGES_DIR = str(Path(__file__).resolve().parents[2])

_BOOTSTRAP = """\
import sys
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
    # Without -P, the working folder is first on sys.path: a folder `configs/` or a file `queue.py` in it would replace
    # the module of that name.
    return [sys.executable, "-P", "-c", _BOOTSTRAP, _PACKAGES_DIR, entry_point, *arguments]
