"""Cells of wide tables name their column, for a narrow page."""

from markupsafe import Markup

from trainer.common.table_labels import labelled


def table(head: str, *rows: list[str], kind: str = "") -> Markup:
    cells = ("".join(f'<td class="number">{text}</td>' for text in row) for row in rows)
    body = "".join(f"<tr>{row}</tr>" for row in cells)
    return Markup(f"<table{kind}><thead>{head}</thead><tbody>{body}</tbody></table>")  # noqa: S704


def heads(*names: str) -> str:
    return f"<tr>{''.join(f'<th>{name}</th>' for name in names)}</tr>"


def test_each_cell_of_a_wide_table_has_the_head_of_its_column() -> None:
    found = labelled(table(heads("a", "<bdi>b &lt; &#34;c</bdi>", "", "d", "e"), list("12345")))
    assert isinstance(found, Markup)
    assert found.startswith('<table class="stack"><thead><tr><th>a</th>')
    for number, label in enumerate(("a", "b &lt; &#34;c", "", "d", "e"), start=1):
        assert f'<td class="number" data-label="{label}">{number}</td>' in found


def test_heads_of_two_rows_are_joined() -> None:
    head = '<tr><th rowspan="2">genre</th><th colspan="2">train</th><th colspan="2">test</th></tr>' + heads(*"xyxy")
    found = labelled(table(head, list("12345")))
    labels = [part.partition('"')[0] for part in found.split('data-label="')[1:]]
    assert labels == ["genre", "train x", "train y", "test x", "test y"]


def test_tables_that_fit_a_telephone_stay_as_they_are() -> None:
    short, two = table(heads(*"abcd"), list("1234")), table(heads("a", "b"), ["1", "long " * 20])
    matrix = table(heads(*"abcdef"), list("123456"), kind=' class="matrix"')
    compact = table(heads(*"abcd"), ["long " * 20] * 4, kind=' id="x" class="compact"')
    for one in (short, two, matrix, compact):
        assert labelled(one) == one


def test_few_columns_of_long_texts_are_below_each_other() -> None:
    assert labelled(table(heads(*"abc"), ["1", "0.712 [0.61, 0.80]" * 2, "x" * 9])).startswith(
        '<table class="stack long">'
    )
