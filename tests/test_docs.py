"""The documentation's pictures agree with their sources."""

import json
import re
from html import unescape
from pathlib import Path

import pytest

IMAGES = Path(__file__).resolve().parents[1] / "docs/images"


@pytest.mark.parametrize("source", sorted(IMAGES.glob("*.dot")), ids=lambda path: path.name)
def test_a_picture_was_drawn_from_its_source(source):
    labels = re.findall(r'label="([^"]*)"', source.read_text(encoding="utf-8"))
    lines = [line.strip() for label in labels for line in label.split(r"\n")]
    svg = source.with_suffix(".svg").read_text(encoding="utf-8")
    drawn = [unescape(text).strip() for text in re.findall(r"<text[^>]*>([^<]*)</text>", svg)]
    assert sorted(drawn) == sorted(lines)


def test_the_table_of_accuracy_and_cost_has_the_figures_of_the_picture():
    rows = json.loads((IMAGES / "cost.json").read_text(encoding="utf-8"))
    expected = [
        f"| `{row['model']}` | `{row['input']}` | {row['track_accuracy']:.3f} ± {row['sd']:.3f} | "
        f"{row['cpu_s_per_min']:.2f} |"
        for row in rows
    ]
    lines = (IMAGES.parent / "results.md").read_text(encoding="utf-8").splitlines()
    start = lines.index("| learner | input | track accuracy | CPU seconds per minute |") + 2
    assert lines[start : start + len(rows) + 1] == [*expected, ""]
    assert {row["kind"] for row in rows} <= {"computed", "pretrained"}
