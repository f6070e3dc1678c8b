"""Findings as table, json or csv."""

import csv
from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import TextIO

from beam_pipelines.common.tables import TextTable
from beam_pipelines.common.terminal import json_text, make_console, print_line
from configs.doctor.findings import MISSING, Finding, has_problem
from configs.doctor.usable import install_extras

_PINNED = "io"  # needs an old TensorFlow
_NOT_WITH_OTHERS = (_PINNED, "all")  # all is named by its parts


def print_findings(findings: Sequence[Finding], *, output_format: str, stream: TextIO) -> None:
    """Prints findings as table, json or csv; the table is followed by a line for each thing that can be typed."""
    if output_format == "json":
        content = {"ok": not has_problem(findings), "findings": [asdict(finding) for finding in findings]}
        print(json_text(content, stream=stream, indent=2), file=stream)
    elif output_format == "csv":
        writer = csv.DictWriter(stream, [field.name for field in fields(Finding)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(map(asdict, findings))
    else:
        _print_table(findings, stream=stream)


def _print_table(findings: Sequence[Finding], *, stream: TextIO) -> None:
    console = make_console(stream)
    table = TextTable("beamtune doctor", "part", "name", "state", "found", text=["name", "state", "found"])
    for finding in findings:
        table.add_row(finding.part, finding.name, finding.state, finding.found)
    console.print(table)
    for line in _advice(findings):
        print_line(console, line)


def _advice(findings: Sequence[Finding]) -> list[str]:
    """Returns a line for each thing that can be typed; one for the missing extras that one command installs."""
    missing = [one for one in findings if one.state == MISSING and one.fix == install_extras(one.name)]
    names = [one.name for one in missing if one.name not in _NOT_WITH_OTHERS]
    lines = []
    for finding in findings:
        if len(names) > 1 and finding in missing and finding.name != _PINNED:
            if finding.name == names[0]:
                lines.append(f"{MISSING}: extras {', '.join(names)}: {install_extras(*names)}, or some of them")
        elif finding.fix is not None:
            expected = "" if finding.expected is None else f", expected {finding.expected}"
            lines.append(f"{finding.state}: {finding.part} {finding.name}: {finding.found}{expected}: {finding.fix}")
    return lines
