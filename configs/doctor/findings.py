"""What is found in an installation."""

from collections.abc import Sequence
from dataclasses import dataclass

OK = "ok"
MISSING = "missing"  # optional, and not there
BROKEN = "broken"
UNSUPPORTED = "unsupported"  # of a version that beamtune is not made for
UNCHECKED = "unchecked"  # because something that it needs is missing or broken
PROBLEMS = (BROKEN, UNSUPPORTED)


@dataclass(frozen=True)
class Finding:
    """One thing that was looked for.

    Attributes:
        part: The part of the installation: version, device, decoder, extra, gs:// or command.
        name: What was looked for.
        state: One of the states of this module.
        found: What was found.
        expected: What was expected in its place, or None.
        fix: What to type, or None if there is nothing to do or another finding says it.
    """

    part: str
    name: str
    state: str
    found: str
    expected: str | None = None
    fix: str | None = None


def has_problem(findings: Sequence[Finding]) -> bool:
    """Returns whether something that is installed does not work, or has a version that is not supported."""
    return any(finding.state in PROBLEMS for finding in findings)
