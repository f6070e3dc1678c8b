"""The table and the summary."""

from collections import Counter

import pytest

from trainer.tag.rows import Row, State, Table, summary

PATHS = ["a.mp3", "music/b.mp3"]


@pytest.mark.parametrize(
    ("row", "line"),
    [
        (
            Row("a.mp3", State.CHANGED, ("Rock",), [("techno", 0.8125)]),
            "a.mp3        Rock   → techno 0.812  would change\n",
        ),
        (Row("music/b.mp3", State.UNKNOWN, (), [("funk", 0.25)]), "music/b.mp3  none   → funk 0.250    unknown\n"),
        (
            Row("a.mp3", State.UNCHANGED, ("techno", "funk"), [("techno", 0.5), ("funk", 0.4)]),
            "a.mp3        techno, funk → techno 0.500, funk 0.400  unchanged\n",
        ),
        (Row("a.mp3", State.CHANGED, ("techno",), []), "a.mp3        techno → none          would change\n"),
        (Row("a.mp3", State.UNCHANGED, ("Rock",), [("Rock", None)]), "a.mp3        Rock   → Rock          unchanged\n"),
    ],
    ids=["change", "unknown", "two", "removed", "restored"],
)
def test_a_line_for_each_file(row: Row, line: str) -> None:
    assert Table(PATHS, genres=["techno", "funk"], write=False).line(row) == line


def test_what_was_written_is_changed() -> None:
    row = Row("a.mp3", State.CHANGED, (), [("techno", 1.0)])
    assert Table(PATHS, genres=["techno"], write=True).line(row).endswith("  changed\n")


def test_no_name_and_no_tag_sends_commands_to_the_terminal_or_breaks_a_line() -> None:
    row = Row("a\n.mp3", State.CHANGED, ("\x1b[31mRock\tand",), [("tech\nno", 0.5)])
    line = Table(["a\n.mp3"], genres=["tech\nno"], write=False).line(row)
    assert line == "a\\n.mp3  \\x1b[31mRock\\tand → tech\\nno 0.500  would change\n"


def test_the_summary_counts_all_states() -> None:
    states = Counter({State.CHANGED: 2, State.FAILED: 1})
    assert summary(states, write=True) == "3 files: 2 changed, 0 unchanged, 0 unknown, 1 failed"
    assert summary(states, write=False) == "3 files: 2 would change, 0 unchanged, 0 unknown, 1 failed"
