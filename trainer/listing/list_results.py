"""`beamtune runs`: what is below a folder, its state and its score, and how to continue what was interrupted."""

import csv
import time
from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import TextIO

from beam_pipelines.common.tables import TextTable
from beam_pipelines.common.terminal import json_text, make_console, print_line
from trainer.listing.config import RunsConfig
from trainer.listing.entries import DAMAGED, INTERRUPTED, Entry, read_entries, sort_entries

_AGE_UNITS = (("d", 86_400), ("h", 3_600), ("min", 60))
_NONE = "–"


def list_results(root: str, config: RunsConfig, *, output_format: str, stream: TextIO) -> None:
    """Prints a row for each run, search, cross-validation and prepared data set, as table, json or csv.

    Args:
        root: A folder, local or gs://.
        config: The settings.
        output_format: "table", "json" or "csv".
        stream: Where to print.

    Raises:
        UserError: There is no such folder.
    """
    now_s = time.time()
    entries = sort_entries(read_entries(root, now_s=now_s), by=config.sort)
    if output_format == "json":
        print(json_text([asdict(entry) for entry in entries], stream=stream, indent=2), file=stream)
    elif output_format == "csv":
        writer = csv.DictWriter(stream, [field.name for field in fields(Entry)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(map(asdict, entries))
    else:
        print_entries(entries, root=root, now_s=now_s, stream=stream)


def print_entries(entries: Sequence[Entry], *, root: str, now_s: float, stream: TextIO) -> None:
    """Prints a row for each entry, and how to continue those that were interrupted.

    Args:
        entries: In the order of the rows.
        root: The folder that they are below.
        now_s: The time in seconds since 1970.
        stream: Where to print.
    """
    console = make_console(stream)
    if not entries:
        print_line(console, f"{root}: no runs, searches, cross-validations or prepared data below it")
        return
    columns = ("folder", "kind", "state", "what", "score", "of", "MiB", "age")
    table = TextTable(root, *columns, text=["kind", "state", "what", "of"], long=["what"], hidden_if_equal=["kind"])
    for entry in entries:
        table.add_row(
            _relative(entry.path, root=root),
            entry.kind,
            entry.state,
            "" if entry.state == DAMAGED else entry.details,
            _NONE if entry.score is None else f"{entry.score:.3f}",
            entry.score_of,
            f"{entry.size_bytes / 2**20:,.1f}",
            age_text(now_s - entry.updated_s),
        )
    console.print(table)
    for entry in entries:
        if entry.state == DAMAGED:
            print_line(console, f"damaged: {entry.path}: {entry.details}")
        elif entry.state == INTERRUPTED:
            print_line(console, f"to continue {entry.path}: {entry.resume or 'run its command again'}")


def _relative(path: str, *, root: str) -> str:
    return path.removeprefix(root.rstrip("/")).lstrip("/") or "."


def age_text(age_s: float) -> str:
    """Returns "3 d", "2 h", "5 min" or "10 s"."""
    for unit, unit_s in _AGE_UNITS:
        if age_s >= unit_s:
            return f"{age_s // unit_s:.0f} {unit}"
    return f"{max(age_s, 0):.0f} s"
