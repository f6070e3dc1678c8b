"""Writes the tables of the pages in docs/ whose figures are in JSON files of the repository.

    scripts/bench tables
    scripts/bench tables --check     # exits with 1 if a page has another table than its file

A table is between two comments of HTML; the first names the file: `<!-- table of docs/benchmarks/start.json -->`. A
file can have several tables, of which all but one have names: `<!-- table of docs/benchmarks/train.json: device -->`.
"""

import argparse
import json
import re
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from figures import audio_tables, model_tables
from figures.markdown import machine_line, markdown

REPOSITORY = Path(__file__).resolve().parents[2]
_TABLE = re.compile(r"(<!-- table of (([^\s:]+)(?:: \w+)?) -->\n).*?(<!-- end -->)", re.DOTALL)


def main() -> int:
    """Writes or checks the pages."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench tables", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="write nothing")
    arguments = parser.parse_args()
    is_other = False
    for page in pages():
        text = page.read_text(encoding="utf-8")
        new_text = with_tables(text)
        if new_text == text:
            continue
        if arguments.check:
            is_other = True
            print(f"{page.relative_to(REPOSITORY)} has other tables than its files: run scripts/bench tables")
        else:
            page.write_text(new_text, encoding="utf-8")
    return int(is_other)


def pages() -> list[Path]:
    """Returns the pages of the documentation."""
    return sorted((REPOSITORY / "docs").glob("*.md"))


def names_in(text: str) -> list[str]:
    """Returns the names of the tables of a page, as in its comments."""
    return [match[2] for match in _TABLE.finditer(text)]


def with_tables(text: str) -> str:
    """Returns a page with the tables of the files that it names."""

    def replace(match: re.Match[str]) -> str:
        content = json.loads((REPOSITORY / match[3]).read_text(encoding="utf-8"))
        return f"{match[1]}\n{TABLES[match[2]](content)}\n{match[4]}"

    return _TABLE.sub(replace, text)


def ratios_table(content: Mapping[str, Any]) -> str:
    """Returns the ratios of `scripts/bench all`, and a line for the machine and the versions."""
    rows = [[content["titles"][name], f"{value:.2f}"] for name, value in content["ratios"].items()]
    return markdown(["the other / beamtune", "ratio"], rows) + machine_line(content)


def start_table(content: Mapping[str, Any]) -> str:
    """Returns the medians of the start-up of commands in the last checkout, of `scripts/bench start`."""
    rows = []
    for title, checkouts in content["commands"].items():
        results = checkouts[-1]
        medians = [statistics.median(one[key] for one in results) for key in ("first_line_s", "cpu_s")]
        rows.append([title, *(f"{value:.2f}" for value in medians), ", ".join(results[-1]["heavy"]) or "none"])
    return markdown(["command", "first line, CPU s", "all, CPU s", "imports"], rows) + machine_line(content)


def alternatives_table(content: Mapping[str, Any]) -> str:
    """Returns the costs of `scripts/bench alternatives`, of audio without start-up, and lines for what was measured.

    Ratios are to the first subject.
    """
    minutes = content["minutes"][1] - content["minutes"][0]

    def per_minute(both: Sequence[Sequence[Mapping[str, float]]], key: str) -> float:
        low, high = (min(cost[key] for cost in costs) for costs in both)
        return (high - low) / minutes

    def time_and_ratio(both: Sequence[Sequence[Mapping[str, float]]], key: str) -> list[str]:
        cost_s = per_minute(both, key)
        return [f"{1e3 * cost_s:.0f}", f"{cost_s / per_minute(reference, key):.2f}"]

    reference = next(iter(content["figures"].values()))
    rows = [
        [
            title,
            *time_and_ratio(both, "cpu_s"),
            *time_and_ratio(both, "wall_s"),
            f"{max(cost['peak_mb'] for cost in both[1]):.0f}",
            f"{per_minute(both, 'disk_mb'):.2f}",
        ]
        for title, both in content["figures"].items()
    ]
    titles = ["", "CPU, ms/min", "ratio", "wall, ms/min", "ratio", "peak MB", "MB/min on disk"]
    machine = content["machine"]
    versions = "; ".join(
        f"{title}: {', '.join(f'{name} {version}' for name, version in packages.items())}"
        for title, packages in content["versions"].items()
        if packages
    )
    failures = "".join(f"- Not measured: {title}: {reason}\n" for title, reason in content["not_run"].items())
    return (
        f"{markdown(titles, rows)}\n{failures}"
        f"- {machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']} GiB. {versions}.\n"
    )


def cost_table(content: Sequence[Mapping[str, Any]]) -> str:
    """Returns the accuracy and the cost of learners, of `scripts/bench cost`."""
    rows = [
        [
            f"`{row['model']}`",
            f"`{row['input']}`",
            f"{row['track_accuracy']:.3f} ± {row['sd']:.3f}",
            f"{row['cpu_s_per_min']:.2f}",
        ]
        for row in content
    ]
    return markdown(["learner", "input", "track accuracy", "CPU seconds per minute"], rows)


TABLES: Mapping[str, Callable[[Any], str]] = {
    "docs/benchmarks/alternatives.json": alternatives_table,
    "docs/benchmarks/decoding.json": audio_tables.decoding_table,
    "docs/benchmarks/decoding.json: damaged": audio_tables.damaged_table,
    "docs/benchmarks/duplicates.json": audio_tables.copies_table,
    "docs/benchmarks/duplicates.json: random": audio_tables.random_table,
    "docs/benchmarks/explore.json": model_tables.explore_table,
    "docs/benchmarks/plan.json": model_tables.plan_table,
    "docs/benchmarks/predict.json": model_tables.predict_table,
    "docs/benchmarks/prepare.json": audio_tables.prepare_table,
    "docs/benchmarks/prepare_parts.json": audio_tables.prepare_parts_table,
    "docs/benchmarks/ratios.json": ratios_table,
    "docs/benchmarks/readers.json": model_tables.readers_table,
    "docs/benchmarks/runners.json": audio_tables.runners_table,
    "docs/benchmarks/start.json": start_table,
    "docs/benchmarks/train.json": model_tables.train_table,
    "docs/benchmarks/train.json: device": model_tables.device_table,
    "docs/images/cost.json": cost_table,
}


if __name__ == "__main__":
    sys.exit(main())
