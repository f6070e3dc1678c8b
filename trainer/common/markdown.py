"""Text and tables in Markdown, as TensorBoard shows it."""

import html
import re
from collections.abc import Sequence

# What Markdown would take as markup, in a line or in a cell of a table. An underscore within a word is none.
_MARKUP = re.compile(r"[\\|`*\[\]]|(?<![^\W_])_|_(?![^\W_])")


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Returns a table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(plain_text(cell) for cell in cells) + " |" for cells in lines)


def plain_text(text: str) -> str:
    """Returns text that is nothing but text in a line or in a cell of a table, whatever it holds."""
    escaped = html.escape(" ".join(text.split()), quote=False)
    return _MARKUP.sub(lambda found: f"&#{ord(found.group())};", escaped)


def preformatted(text: str) -> str:
    """Returns text as a block that is shown as it stands."""
    return "\n".join(f"    {line}" for line in text.splitlines())
