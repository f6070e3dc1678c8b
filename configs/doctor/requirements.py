"""The packages that the installed beamtune requires, from its metadata, which hold the ranges of pyproject.toml."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import metadata

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from beam_pipelines.common.package_builds import version_of

# What only those who change beamtune install.
_DEVELOPERS = ("dev", "docs")


@dataclass(frozen=True)
class Requirements:
    """What beamtune requires.

    Attributes:
        python: The range of Python's version.
        core: The packages that are always required.
        extras: The packages of each extra, without those of its packages' own extras.
    """

    python: SpecifierSet
    core: Sequence[Requirement]
    extras: Mapping[str, Sequence[Requirement]]

    def of(self, package: str) -> list[Requirement]:
        """Returns the requirements that name a package, of the core and of all extras.

        Plain names come first, and ranges come before single versions: the first one is what is advised.
        """
        everything = [*self.core, *(one for extra in self.extras.values() for one in extra)]
        found = (one for one in everything if one.name == package)
        return sorted(found, key=lambda one: (len(one.extras), "==" in str(one.specifier)))


@cache
def read_requirements() -> Requirements:
    """Returns what the installed beamtune requires.

    Raises:
        importlib.metadata.PackageNotFoundError: It is not installed, only found by Python.
    """
    found = metadata.metadata("beamtune")
    return parse_requirements(
        python=(found.get_all("Requires-Python") or [""])[0],
        lines=found.get_all("Requires-Dist") or [],
        extras=found.get_all("Provides-Extra") or [],
    )


def parse_requirements(*, python: str, lines: Sequence[str], extras: Sequence[str]) -> Requirements:
    """Returns the requirements that metadata state.

    Args:
        python: The range of Python, such as ">=3.11,<3.14".
        lines: The requirements, such as "dask>=2024; extra == 'dask'".
        extras: The names of the extras.
    """
    # Each takes a tenth of a millisecond, and there are 100 of them for 20 extras.
    requirements = [Requirement(line) for line in lines]
    core = _applying(requirements)
    return Requirements(
        python=SpecifierSet(python),
        core=core,
        extras={
            extra: [one for one in _applying(requirements, extra=extra) if one not in core]
            for extra in extras
            if extra not in _DEVELOPERS
        },
    )


def with_extras(requirement: Requirement) -> list[Requirement]:
    """Returns a requirement, and those that the extras in it stand for: `tensorflow[and-cuda]` names NVIDIA's."""
    if not requirement.extras or version_of(requirement.name) is None:
        return [requirement]
    stated = [Requirement(line) for line in metadata.requires(requirement.name) or []]
    always = _applying(stated)
    added = [one for extra in sorted(requirement.extras) for one in _applying(stated, extra=extra) if one not in always]
    return [requirement, *(further for one in added for further in with_extras(one))]


def accepts(requirement: Requirement, version: str) -> bool:
    """Returns whether a version, which may be a pre-release, is in the range of a requirement."""
    return requirement.specifier.contains(version, prereleases=True)


def install_text(requirement: Requirement) -> str:
    """Returns a requirement as it is typed after `pip install`: `'numpy<2,>=1.26'`."""
    extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
    return f"'{requirement.name}{extras}{requirement.specifier}'"


def _applying(requirements: Sequence[Requirement], *, extra: str = "") -> list[Requirement]:
    return [one for one in requirements if one.marker is None or one.marker.evaluate({"extra": extra})]
