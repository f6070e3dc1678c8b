"""The page escapes names, and lets a browser run its own script alone."""

import base64
import hashlib
import json
import re
from dataclasses import replace

from trainer.review.page import Entry, render_page

HOSTILE = '</script><img src=x onerror="alert(1)">\u2028'
ENTRY = Entry(
    row=0,
    track_id=HOSTILE,
    genre="a",
    suggested="b",
    probability_of_genre=0.25,
    probability_of_suggested=0.75,
    artist=HOSTILE,
    mp3=b"\x00\xff",
    problem=None,
)


def page_of(*entries: Entry) -> str:
    return render_page(
        name=HOSTILE,
        num_tracks=2,
        num_suspected=1,
        split_leak=HOSTILE,
        genres=["a", "b", HOSTILE],
        suspects=entries,
        uncertain=[],
        rows=[(HOSTILE, "a", HOSTILE), ("x", HOSTILE, "")],
    )


def test_names_are_text() -> None:
    page = page_of(replace(ENTRY, genre="a", suggested=HOSTILE), replace(ENTRY, row=1, mp3=None, problem=HOSTILE))
    assert "<img" not in page
    assert page.count("<script") == page.count("</script>") == 2


def test_the_table_is_in_the_page() -> None:
    found = re.search(r'<script type="application/json" id="table">(.*?)</script>', page_of(ENTRY), re.DOTALL)
    assert found is not None
    assert json.loads(found[1]) == {
        "columns": ["path", "genre", "artist"],
        "rows": [[HOSTILE, "a", HOSTILE], ["x", HOSTILE, ""]],
    }


def test_the_only_script_is_allowed_by_its_hash() -> None:
    page = page_of(ENTRY)
    [script] = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"default-src 'none'; media-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'" in page
    assert "data:audio/mpeg;base64,AP8=" in page
    assert not re.search(r'(src|href)="(?!data:|#)', page)
