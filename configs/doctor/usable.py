"""Which extras are installed, and which commands run with them."""

from collections.abc import Iterable, Sequence

from packaging.requirements import Requirement

from beam_pipelines.common.package_builds import VersionOf, installed_builds
from beam_pipelines.common.terminal import counted
from configs.command import Command
from configs.doctor.findings import BROKEN, MISSING, OK, UNSUPPORTED, Finding
from configs.doctor.requirements import Requirements, accepts, with_extras

_MAX_NAMES = 4
# Where both are in the same state, only the second one is named.
_IN_PLACE_OF = {"train-base": "train", "train-cpu": "train"}


def find_extras(requirements: Requirements, versions: Sequence[Finding], *, version_of: VersionOf) -> list[Finding]:
    """Returns a finding for each extra that requires a package.

    Args:
        requirements: What each extra requires.
        versions: The findings of the libraries; what they say is not said again.
        version_of: Returns the version of an installed package.
    """
    extras = [extra for extra, packages in requirements.extras.items() if packages]
    found = [_find_extra(extra, requirements, versions, version_of=version_of) for extra in extras]
    states = {one.name: one.state for one in found}
    return [one for one in found if states.get(_IN_PLACE_OF.get(one.name, "")) != one.state]


def find_commands(
    commands: Iterable[Command], extras: Sequence[Finding], versions: Sequence[Finding], requirements: Requirements
) -> list[Finding]:
    """Returns for each command whether it runs, from the findings of extras and of libraries."""
    return [_find_command(command, extras, versions, requirements) for command in commands]


def _find_extra(
    extra: str, requirements: Requirements, versions: Sequence[Finding], *, version_of: VersionOf
) -> Finding:
    packages = [one for requirement in requirements.extras[extra] for one in with_extras(requirement)]
    found = {one.name: _version(one, version_of=version_of) for one in packages}
    missing = [name for name, version in found.items() if version is None]
    pairs = [(one, found[one.name]) for one in packages]
    if missing:
        # Also builds that take the place of a package: pip would install that package beside them.
        absent = [name for name in found if version_of(name) is None]
        others = [build for name in absent for build in installed_builds(name, version_of=version_of)]
        fix = install_extras(extra)
        if others and missing == ["tensorflow"]:  # the CUDA build, for which the other one has to go
            fix = f"pip uninstall --yes {' '.join(others)}, and then {fix}"
        elif others or any(version is not None and not accepts(one, version) for one, version in pairs):
            fix = f"in a new environment, because it needs other versions: {fix}"
        return Finding("extra", extra, MISSING, f"without {_names(missing)}", fix=fix)
    wrong = {one.name: one for one in packages if not accepts(one, found[one.name] or "")}
    if not wrong:
        return Finding("extra", extra, OK, counted(len(found), "package"))
    said = {finding.name for finding in versions if finding.state in (BROKEN, UNSUPPORTED)}
    return Finding(
        "extra",
        extra,
        UNSUPPORTED,
        _names([f"{name} {found[name]}" for name in wrong]),
        expected=_names([f"{name}{one.specifier}" for name, one in wrong.items()]),
        fix=None if said.issuperset(wrong) else install_extras(extra),
    )


def install_extras(*extras: str) -> str:
    """Returns what is typed to install some extras."""
    return f"pip install 'beamtune[{','.join(extras)}]'"


def _version(requirement: Requirement, *, version_of: VersionOf) -> str | None:
    """Returns the version of the package, or of another build that takes its place; None if there is neither."""
    version = version_of(requirement.name)
    if version is not None or requirement.extras:  # no other build has the extra and-cuda
        return version
    return next(iter(installed_builds(requirement.name, version_of=version_of).values()), None)


def _find_command(
    command: Command, extras: Sequence[Finding], versions: Sequence[Finding], requirements: Requirements
) -> Finding:
    needed = [*requirements.core, *(one for extra in command.extras for one in requirements.extras.get(extra, ()))]
    packages = {one.name for one in needed}
    libraries = [one for one in versions if one.name in packages]
    of_command = [one for one in extras if one.name in command.extras]
    reasons = ((BROKEN, libraries), (MISSING, of_command), (UNSUPPORTED, libraries), (UNSUPPORTED, of_command))
    for state, findings in reasons:
        found = [one for one in findings if one.state == state]
        if found:
            return Finding("command", command.name, state, _names([_label(one) for one in found]))
    return Finding("command", command.name, OK, "runs")


def _names(names: Sequence[str]) -> str:
    more = len(names) - _MAX_NAMES
    return f"{', '.join(names[:_MAX_NAMES])} and {more} more" if more > 0 else ", ".join(names)


def _label(finding: Finding) -> str:
    return finding.name if finding.part == "version" else f"extra {finding.name}: {finding.found}"
