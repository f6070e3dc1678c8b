"""No console interprets what it prints: a genre, a path or a reason may hold "[/]"."""

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.progress import TextColumn

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("beam_pipelines", "trainer", "configs", "beamtune", "scripts")
ONLY_CONSOLE = Path("beam_pipelines/common/terminal.py")
# Without a console of ours, these print through rich's own, which interprets markup.
NEED_A_CONSOLE = ("Live", "Progress", "Status")
INTERPRET = ("get_console", "rich_print", "from_markup", "render_markup", "RichHandler")


def faults(source: str) -> Iterator[str]:
    """Yields the calls in a module that print, or may print, with markup."""
    for call in (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)):
        name = call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")
        keywords = {keyword.arg: keyword.value for keyword in call.keywords}
        is_console = name.lstrip("_") == "Console" or name in INTERPRET
        lacks_console = name in NEED_A_CONSOLE and "console" not in keywords
        markup = keywords.get("markup")
        is_off = isinstance(markup, ast.Constant) and markup.value is False
        if is_console or lacks_console or (name == TextColumn.__name__ and not is_off) or (markup and not is_off):
            yield f"line {call.lineno}: {ast.unparse(call)}"


def modules() -> list[Path]:
    return sorted(path.relative_to(ROOT) for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))


def test_the_modules_are_found():
    assert ONLY_CONSOLE in modules()
    assert len(modules()) > 100


@pytest.mark.parametrize("path", modules(), ids=str)
def test_every_console_is_that_of_one_module(path):
    found = list(faults((ROOT / path).read_text(encoding="utf-8")))
    if path == ONLY_CONSOLE:
        assert len(found) == 1 and "Console(file=stream" in found[0] and "markup=False" in found[0]
    else:
        assert found == []


@pytest.mark.parametrize(
    "source",
    [
        "Console(file=stream)",
        "rich.console.Console(markup=False)",
        "_Console(file=stream)",
        "Progress(BarColumn())",
        "Live(auto_refresh=False)",
        "TextColumn('{task.description}')",
        "console.print(line, markup=True)",
        "Text.from_markup(genre)",
    ],
)
def test_a_call_that_interprets_markup_is_found(source):
    assert len(list(faults(source))) == 1


def test_the_text_columns_of_rich_interpret_markup_by_default():
    assert inspect.signature(TextColumn).parameters["markup"].default is True
