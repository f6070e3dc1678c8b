"""The versions of installed packages, of which several can bring the same modules, as the builds of TensorFlow do."""

from collections.abc import Callable
from importlib import metadata

_TENSORFLOW = ("tensorflow", "tensorflow-cpu", "tensorflow-intel", "intel-tensorflow", "tensorflow-rocm")

VersionOf = Callable[[str], str | None]


def version_of(package: str) -> str | None:
    """Returns the version of an installed package; None if it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def beamtune_version() -> str:
    """Returns the version of beamtune; "unknown" where only its source is there."""
    return version_of("beamtune") or "unknown"


def installed_builds(package: str, *, version_of: VersionOf = version_of) -> dict[str, str]:
    """Returns the installed packages that bring the modules of a package, and their versions.

    Args:
        package: The name of the package, or of any of its builds, such as tensorflow or tensorflow-cpu.
        version_of: Returns the version of an installed package.
    """
    builds = _TENSORFLOW if package in _TENSORFLOW else (package,)
    versions = {build: version_of(build) for build in builds}
    return {build: version for build, version in versions.items() if version is not None}
