import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from beam_pipelines.common.tables import TextTable
from beam_pipelines.common.terminal import make_console

INTERVALS = ("0.954 [0.62, 1.00]", "1.000 [0.69, 1.00]", "0.975 [0.65, 1.00]")


def shown(table: TextTable, width: int | None) -> str:
    """Returns a table as a terminal of this width shows it, or as it is piped."""
    stream = io.StringIO()
    if width is None:
        console = make_console(stream)
    else:
        console = Console(file=stream, force_terminal=True, color_system=None, width=width)
    console.print(table)
    return "".join(f"{line.rstrip()}\n" for line in stream.getvalue().splitlines())


def scores() -> TextTable:
    table = TextTable("test", "metric", "segment", "track", "track_vote")
    table.add_row("balanced accuracy", *INTERVALS)
    return table


def comparison() -> TextTable:
    texts = ("model", "input")
    table = TextTable("test split", "run", *texts, "accuracy", "F1", text=texts, long=["run"], hidden_if_equal=texts)
    table.add_row("runs/of-november/with-a-long-name-1", "svm", "log_mel", INTERVALS[0], INTERVALS[1])
    table.add_row("runs/2", "cnn2d", "log_mel", INTERVALS[2], INTERVALS[1])
    return table


@pytest.mark.parametrize("width", [None, 40])
def test_a_row_is_one_line_whatever_is_in_its_cells(width: int | None) -> None:
    table = TextTable("a\nb", "c\td", "e", text=["e"])
    table.add_row("x\ny", "z\r\x1b[1m")
    expected = {
        None: ["a\\nb", "c\\td  e", "x\\ny  z\\r\\x1b[1m"],
        40: [
            *("a\\nb", "╭──────┬────────────╮", "│ c\\td │ e          │", "├──────┼────────────┤"),
            *("│ x\\ny │ z\\r\\x1b[1m │", "╰──────┴────────────╯"),
        ],
    }
    assert [line.strip() for line in shown(table, width).splitlines()] == expected[width]


def test_a_table_that_fits_has_borders():
    assert shown(scores(), 100) == (
        "test\n"
        "╭───────────────────┬────────────────────┬────────────────────┬────────────────────╮\n"
        "│ metric            │            segment │              track │         track_vote │\n"
        "├───────────────────┼────────────────────┼────────────────────┼────────────────────┤\n"
        "│ balanced accuracy │ 0.954 [0.62, 1.00] │ 1.000 [0.69, 1.00] │ 0.975 [0.65, 1.00] │\n"
        "╰───────────────────┴────────────────────┴────────────────────┴────────────────────╯\n"
    )


def test_borders_are_left_out_before_a_number_is_wrapped():
    assert shown(scores(), 80) == (
        "test\n"
        "metric                        segment               track          track_vote\n"
        "balanced accuracy  0.954 [0.62, 1.00]  1.000 [0.69, 1.00]  0.975 [0.65, 1.00]\n"
    )


def test_columns_that_do_not_fit_are_in_further_tables():
    assert shown(scores(), 60) == (
        "test\n"
        "metric                        segment               track\n"
        "balanced accuracy  0.954 [0.62, 1.00]  1.000 [0.69, 1.00]\n"
        "\n"
        "metric                     track_vote\n"
        "balanced accuracy  0.975 [0.65, 1.00]\n"
    )


def test_equal_columns_are_in_a_line_and_long_texts_below():
    assert shown(comparison(), 80) == (
        "test split\n"
        "in all rows: input log_mel\n"
        "╭───┬───────┬────────────────────┬────────────────────╮\n"
        "│   │ model │           accuracy │                 F1 │\n"
        "├───┼───────┼────────────────────┼────────────────────┤\n"
        "│ 1 │ svm   │ 0.954 [0.62, 1.00] │ 1.000 [0.69, 1.00] │\n"
        "│ 2 │ cnn2d │ 0.975 [0.65, 1.00] │ 1.000 [0.69, 1.00] │\n"
        "╰───┴───────┴────────────────────┴────────────────────╯\n"
        "1 runs/of-november/with-a-long-name-1\n"
        "2 runs/2\n"
    )


def test_a_pipe_has_all_columns_and_one_line_for_each_row():
    assert shown(comparison(), None) == (
        "test split\n"
        " run                                  model  input              accuracy                  F1\n"
        " runs/of-november/with-a-long-name-1  svm    log_mel  0.954 [0.62, 1.00]  1.000 [0.69, 1.00]\n"
        " runs/2                               cnn2d  log_mel  0.975 [0.65, 1.00]  1.000 [0.69, 1.00]\n"
    )


def test_a_pipe_has_no_spaces_at_the_end_and_no_limit_of_width():
    table = TextTable("title", "name", "text", text=["text"])
    table.add_row("a", "x " * 10_000)
    table.add_row("b", "")
    stream = io.StringIO()
    make_console(stream).print(table)
    assert stream.getvalue() == f"title\n name  text\n a     {'x ' * 9_999}x\n b\n"


def test_what_belongs_to_all_rows_is_above_and_a_long_last_column_below():
    table = TextTable("2 trials", "trial", "score", "settings", long=["settings"])
    table.add_to_all_rows("norm=batch")
    table.add_row("0000", "0.5", "time_masks=2 rate=0.01 depth=3")
    table.add_row("0001", "0.75", "")
    assert shown(table, 30) == (
        "2 trials\n"
        "in all rows: norm=batch\n"
        "╭───────┬───────╮\n"
        "│ trial │ score │\n"
        "├───────┼───────┤\n"
        "│ 0000  │   0.5 │\n"
        "│ 0001  │  0.75 │\n"
        "╰───────┴───────╯\n"
        "0000 time_masks=2 rate=0.01\n"
        "    depth=3\n"
        "0001\n"
    )


def test_texts_are_wrapped_between_words_and_wide_characters_count_twice():
    table = TextTable("models", "model", "what it is", text=["what it is"])
    table.add_row("音楽", "a network of several layers")
    assert shown(table, 30) == (
        "models\n"
        "╭───────┬────────────────────╮\n"
        "│ model │ what it is         │\n"
        "├───────┼────────────────────┤\n"
        "│ 音楽  │ a network of       │\n"
        "│       │ several layers     │\n"
        "╰───────┴────────────────────╯\n"
    )


def test_a_table_without_rows_has_its_heads():
    assert shown(TextTable("jobs", "job", "state", hidden_if_equal=["state"]), None) == "jobs\n job  state\n"


def test_no_cell_sends_commands_to_a_terminal():
    table = TextTable("\x1b[31mred", "\x07", "text", text=["text"], long=["text"])
    table.add_row("[b]", "\x9b2J" * 20)
    for width in (None, 40):
        assert not set("\x1b\x07\x9b") & set(shown(table, width))
        assert "[b]" in shown(table, width)


@settings(max_examples=50, deadline=None)
@given(
    rows=st.lists(
        st.lists(st.from_regex(r"[0-9]{1,9}( \[[0-9]{1,4}, [0-9]{1,4}\])?", fullmatch=True), min_size=7, max_size=7),
        max_size=4,
    ),
    width=st.sampled_from([80, 100, 120]),
)
@pytest.mark.parametrize("first", ["short", "genre " * 10, "a-long-path/" * 12])
def test_numbers_are_never_cut_or_wrapped(first, rows, width):
    table = TextTable("title", "first column", *map(str, range(7)))
    for row in rows:
        table.add_row(first, *row)
    lines = shown(table, width).splitlines()
    assert max(map(len, lines)) <= width
    assert all(any(cell in line for line in lines) for row in rows for cell in row)
