"""What a lock of requirements/ installs."""

import re
from pathlib import Path

from packaging.requirements import Requirement

_REQUIREMENTS = Path(__file__).resolve().parents[2] / "requirements"
# The machines of Google Cloud.
_MACHINE = {
    "implementation_name": "cpython",
    "platform_machine": "x86_64",
    "platform_python_implementation": "CPython",
    "sys_platform": "linux",
}


def locked(name: str, *, python: str = "3.12") -> dict[str, str]:
    """Returns the version of each package of requirements/<name>.txt for a Python such as 3.12."""
    environment = {**_MACHINE, "python_version": python, "python_full_version": f"{python}.0"}
    found = {}
    for line in (_REQUIREMENTS / f"{name}.txt").read_text(encoding="utf-8").splitlines():
        if re.match(r"[a-z0-9]", line):
            one = Requirement(line.rstrip(" \\"))
            if one.marker is None or one.marker.evaluate(environment):
                [pinned] = one.specifier
                assert pinned.operator == "=="
                found[one.name] = pinned.version
    return found
