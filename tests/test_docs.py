"""The documentation's pictures agree with their sources."""

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
