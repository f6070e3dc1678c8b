"""The versions of Python and of the libraries, whether these can be imported, and what to type where they cannot."""

import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from beam_pipelines.common.package_builds import VersionOf, installed_builds
from configs.doctor.findings import BROKEN, MISSING, OK, UNCHECKED, UNSUPPORTED, Finding
from configs.doctor.requirements import Requirements, accepts, install_text

_CPUINFO = Path("/proc/cpuinfo")
_NUMPY_ABI = re.compile(
    r"numpy\.\w+ size changed|compiled using NumPy|_ARRAY_API|multiarray failed to import|umath fail"
)


@dataclass(frozen=True)
class Library:
    """A package that is imported to see whether it works.

    Attributes:
        package: Its name for pip.
        module: What is imported.
        needs: The modules without which it cannot be imported.
    """

    package: str
    module: str
    needs: Sequence[str] = ()


# Those of each group are imported by one process, one after the other. numpy's own failure is in the second group.
GROUPS: Sequence[Sequence[Library]] = (
    (
        Library("tensorflow", "tensorflow", needs=("numpy",)),
        Library("keras", "keras", needs=("numpy", "tensorflow")),
        Library("keras-tuner", "keras_tuner", needs=("numpy", "tensorflow", "keras")),
        Library("tensorflow-io", "tensorflow_io", needs=("numpy", "tensorflow")),
        Library("tensorboard", "tensorboard.program"),
    ),
    (
        Library("numpy", "numpy"),
        Library("scipy", "scipy.signal", needs=("numpy",)),
        Library("soundfile", "soundfile", needs=("numpy",)),
        Library("soxr", "soxr", needs=("numpy",)),
        Library("av", "av"),
        Library("librosa", "librosa.feature", needs=("numpy", "scipy.signal")),
        Library("scikit-learn", "sklearn", needs=("numpy", "scipy.signal")),
        Library("h5py", "h5py", needs=("numpy",)),
        Library("matplotlib", "matplotlib.figure", needs=("numpy",)),
        Library("protobuf", "google.protobuf.message"),
        Library("grpcio", "grpc"),
        Library("hydra-core", "hydra"),
        Library("apache-beam", "apache_beam"),
        Library("google-cloud-storage", "google.cloud.storage"),
    ),
)
LIBRARIES = tuple(library for group in GROUPS for library in group)


def find_python(version: str, requirements: Requirements) -> Finding:
    """Returns whether the version of Python is in the range."""
    if requirements.python.contains(version, prereleases=True):
        return Finding("version", "Python", OK, version)
    newest = next((f"3.{minor}" for minor in range(99, 0, -1) if f"3.{minor}" in requirements.python), "3")
    return Finding(
        "version",
        "Python",
        UNSUPPORTED,
        version,
        expected=str(requirements.python),
        fix=f"python{newest} -m venv .venv, and install beamtune there",
    )


def find_libraries(
    results: Mapping[str, Mapping[str, Any]], requirements: Requirements, *, version_of: VersionOf
) -> list[Finding]:
    """Returns a finding for each of `LIBRARIES`.

    Args:
        results: What the child processes say of each module.
        requirements: The ranges of the versions.
        version_of: Returns the version of an installed package.
    """
    return [_find(library, results, requirements, version_of=version_of) for library in LIBRARIES]


def version_problem(package: str, builds: Mapping[str, str], requirements: Requirements) -> Finding | None:
    """Returns a finding if a version is outside of the ranges of the core and of all extras that name the package.

    Args:
        package: The package.
        builds: Its installed builds and their versions, of `installed_builds`. Several of them are a problem too.
        requirements: The ranges.
    """
    build, version = next(iter(builds.items()))
    ranges = _ranges(package, build, requirements)
    fix = f"pip install {_to_install(package, build, requirements)}"
    if len(builds) > 1:
        expected = "one of them, because they overwrite the files of each other"
        fix = f"pip uninstall --yes {' '.join(builds)}, and then {fix}"
    elif not ranges or any(accepts(one, version) for one in ranges):
        return None
    else:
        expected = " or ".join(dict.fromkeys(str(one.specifier) for one in ranges))
    return Finding("version", package, UNSUPPORTED, _describe(package, builds), expected=expected, fix=fix)


def lacks_avx(*, machine: str | None = None, cpuinfo: Path = _CPUINFO) -> bool:
    """Returns whether this is an x86 CPU that is known to have no AVX, which TensorFlow's wheels need."""
    if (machine or platform.machine()) not in ("x86_64", "AMD64"):
        return False
    try:
        flags = re.search(r"^flags\s*:(.*)$", cpuinfo.read_text(), re.MULTILINE)
    except OSError:
        return False
    return flags is not None and "avx" not in flags[1].split()


def _find(
    library: Library,
    results: Mapping[str, Mapping[str, Any]],
    requirements: Requirements,
    *,
    version_of: VersionOf,
) -> Finding:
    result = results[library.module]
    builds = installed_builds(library.package, version_of=version_of)
    if not builds and (version := result.get("version")):
        builds = {library.package: version}
    failing = [name for name in library.needs if "error" in results[name]]
    if not builds and (failing or _is_absent(library, result)):
        return _missing(library, requirements)
    problem = version_problem(library.package, builds, requirements) if builds else None
    version = _describe(library.package, builds) if builds else "of unknown version"
    found = ", ".join(filter(None, [version, result.get("inside")]))
    if "error" not in result:
        return problem or Finding("version", library.package, OK, found)
    if failing:
        return problem or Finding("version", library.package, UNCHECKED, f"{found}, needs {failing[0]}")
    to_install = _to_install(library.package, next(iter(builds), library.package), requirements)
    broken = _broken(library, result["error"], requirements, version=found, to_install=to_install)
    if problem is None:
        return broken
    # To install one of several builds anew would leave the files of the others.
    return replace(broken, expected=problem.expected, fix=problem.fix if len(builds) > 1 else broken.fix)


def _describe(package: str, builds: Mapping[str, str]) -> str:
    """Returns the versions, each with the name of its build if this is not the one of the package."""
    texts = (version if build == package else f"{version} ({build})" for build, version in builds.items())
    return " and ".join(texts)


def _ranges(package: str, build: str, requirements: Requirements) -> list[Requirement]:
    return requirements.of(build) or requirements.of(package)


def _to_install(package: str, build: str, requirements: Requirements) -> str:
    """Returns what is typed after `pip install` for a build of a package."""
    ranges = _ranges(package, build, requirements)
    return install_text(ranges[0]) if ranges else build


def _is_absent(library: Library, result: Mapping[str, Any]) -> bool:
    missing = result.get("missing")
    return missing is not None and f"{library.module}.".startswith(f"{missing}.")


def _missing(library: Library, requirements: Requirements) -> Finding:
    """Returns the finding for a package that is not installed. Those of an extra are said of the extra."""
    core = [one for one in requirements.core if one.name == library.package]
    if not core:
        return Finding("version", library.package, MISSING, "not installed")
    return Finding(
        "version",
        library.package,
        BROKEN,
        "not installed",
        expected=str(core[0].specifier),
        fix=f"pip install {install_text(core[0])}",
    )


def _broken(library: Library, error: str, requirements: Requirements, *, version: str, to_install: str) -> Finding:
    expected, fix = f"import {library.module} works", f"pip install --force-reinstall --no-deps {to_install}"
    if library.module == "tensorflow" and lacks_avx():
        error, expected = "this CPU has no AVX", "a CPU with AVX"
        fix = "use another machine, or a TensorFlow that is built for this CPU"
    elif _NUMPY_ABI.search(error):
        expected = "a build for the installed numpy"
        fix += "".join(f" {install_text(one)}" for one in requirements.of("numpy")[:1] if library.package != "numpy")
    return Finding("version", library.package, BROKEN, f"{version}, {error}", expected=expected, fix=fix)
