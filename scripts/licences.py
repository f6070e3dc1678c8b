"""The licences of the packages in virtual environments, against requirements/audit.toml. scripts/audit calls it.

A package is allowed if all its licences are, or one of several from which it lets one choose, or if audit.toml names it
with a reason. It states them as an expression of SPDX (PEP 639), in its classifiers, or in the older field License.
"""

import argparse
import re
import sys
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
RULES = REPOSITORY / "requirements" / "audit.toml"
OWN = "beamtune"
_LONGEST_NAME = 60  # a longer first line of the field License is a sentence and not the name
_MOST_NAMES = 8


def canonical(name: str) -> str:
    """Returns the name of a package as locks write it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def stated_licence(package: Distribution, names: Mapping[str, str]) -> str:
    """Returns what a package states, as an expression; "" if it states nothing.

    Args:
        package: An installed package.
        names: Names of SPDX, by those that packages write in classifiers and in the field License.
    """
    fields = package.metadata
    expression = fields.get("License-Expression")
    if expression:
        return str(expression)
    classifiers = [line.split(" :: ")[-1] for line in fields.get_all("Classifier", []) if line.startswith("License ::")]
    if classifiers:
        return " AND ".join(names.get(name, name) for name in classifiers)
    name, *_ = str(fields.get("License") or "").strip().splitlines() or [""]
    return names.get(name, name) if len(name) <= _LONGEST_NAME else ""


def is_allowed(expression: str, allowed: Iterable[str]) -> bool:
    """Returns whether all licences of an expression are allowed, or one of them if it has only OR."""
    licences = re.split(r" AND | OR ", re.sub(r"[()]", "", expression))
    found = [licence in set(allowed) for licence in licences]
    return any(found) if " OR " in expression and " AND " not in expression else all(found)


def read_packages(environments: Iterable[Path]) -> list[Distribution]:
    """Returns the packages in virtual environments but our own, by name; one version of each once."""
    folders = [str(path) for root in environments for path in sorted(root.glob("lib/python3.*/site-packages"))]
    found = {(canonical(package.name), package.version): package for package in distributions(path=folders)}
    return [found[key] for key in sorted(found) if key[0] != OWN]


def find_problems(packages: Iterable[Distribution], rules: Mapping[str, Any]) -> list[str]:
    """Returns a line for each package whose licence is unknown or not allowed."""
    problems = []
    for package in packages:
        stated = stated_licence(package, rules["licences"]["names"])
        excepted = canonical(package.name) in rules["packages"]
        if not excepted and not is_allowed(stated, rules["licences"]["allowed"]):
            problems.append(f"{package.name} {package.version}: {stated or 'states no licence'}")
    return problems


def locked_names(lock: Path) -> list[str]:
    """Returns the packages that a lock names."""
    return re.findall(r"^([a-z0-9][-a-z0-9._]*)==", lock.read_text(encoding="utf-8"), re.MULTILINE)


def make_table(packages: Iterable[Distribution], rules: Mapping[str, Any]) -> str:
    """Returns a Markdown table of licences and their packages, those with the most packages first."""
    by_licence: dict[str, list[str]] = {}
    for package in packages:
        name = canonical(package.name)
        exception = rules["packages"].get(name)
        licence = exception["licence"] if exception else stated_licence(package, rules["licences"]["names"])
        by_licence.setdefault(licence, []).append(name)
    rows = sorted(by_licence.items(), key=lambda row: (-len(row[1]), row[0]))
    lines = ["| licence | packages |", "|---|---|"]
    return "\n".join([*lines, *(f"| {licence} | {', '.join(names)} |" for licence, names in rows)])


def table_of_lock(lock: Path, environment: Path) -> str:
    """Returns the table of the packages of a lock that an environment has."""
    locked = set(locked_names(lock))
    return make_table([one for one in read_packages([environment]) if canonical(one.name) in locked], read_rules())


def read_rules() -> dict[str, Any]:
    """Returns requirements/audit.toml."""
    return tomllib.loads(RULES.read_text(encoding="utf-8"))


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="scripts/audit licences", description=__doc__)
    parser.add_argument("environments", nargs="+", type=Path, help="virtual environments")
    parser.add_argument(
        "--table", metavar="LOCK", type=Path, help="print a table of the packages of a lock in the first"
    )
    options = parser.parse_args(arguments)
    if options.table:
        print(table_of_lock(options.table, options.environments[0]))
        return 0
    packages = read_packages(options.environments)
    problems = find_problems(packages, read_rules())
    for line in problems:
        print(f"{line}: requirements/audit.toml does not allow it", file=sys.stderr)
    print(f"{len(packages)} packages, of which {len(problems)} have no licence that is allowed")
    installed = {canonical(package.name) for package in packages}
    for lock in sorted(RULES.parent.glob("*.txt")):
        missing = sorted(set(locked_names(lock)) - installed)
        if missing:
            named = ", ".join(missing[:_MOST_NAMES]) + (", …" if len(missing) > _MOST_NAMES else "")
            print(f"{lock.name}: {len(missing)} packages are not installed here, and not checked: {named}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
