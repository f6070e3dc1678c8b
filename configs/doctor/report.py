"""Findings as table, json or csv."""

import csv
from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import TextIO

from beam_pipelines.common.tables import TextTable
from beam_pipelines.common.terminal import json_text, make_console, print_line
from configs.doctor.findings import Finding, has_problem


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
    for finding in findings:
        if finding.fix is not None:
            expected = "" if finding.expected is None else f", expected {finding.expected}"
            print_line(
                console, f"{finding.state}: {finding.part} {finding.name}: {finding.found}{expected}: {finding.fix}"
            )
