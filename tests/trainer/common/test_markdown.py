import pytest

from trainer.common.markdown import markdown_table, plain_text, preformatted


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("rock & roll", "rock &amp; roll"),
        ("<b>a|b</b>", "&lt;b&gt;a&#124;b&lt;/b&gt;"),
        ("*a* `b` [c](d) \\", "&#42;a&#42; &#96;b&#96; &#91;c&#93;(d) &#92;"),
        ("log_mel, attention_pool", "log_mel, attention_pool"),
        ("_log_mel_ __init__ a_", "&#95;log_mel&#95; &#95;&#95;init&#95;&#95; a&#95;"),
        ("a track's", "a track's"),
        ("two\nlines\tand  more", "two lines and more"),
        ("", ""),
    ],
)
def test_markup_is_escaped(text: str, shown: str) -> None:
    assert plain_text(text) == shown


def test_a_name_does_not_turn_the_text_after_it():
    assert plain_text("a\u202eb \x1b[2J") == "a&#92;u202eb &#92;x1b&#91;2J"


def test_a_table_has_as_many_cells_as_it_was_given() -> None:
    assert markdown_table(["a", "b_c"], [["1|2", "3"]]) == "| a | b_c |\n| --- | --- |\n| 1&#124;2 | 3 |"


def test_a_block_is_not_changed() -> None:
    assert preformatted("a: *b*\n  c") == "    a: *b*\n      c"
