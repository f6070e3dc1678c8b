"""Text and tables in Markdown, for TensorBoard and model cards."""

import html
import re
from collections.abc import Sequence

from beam_pipelines.common.output_streams import visible

# Characters that are markup in a line or in a table cell. An underscore within a word is not markup.
_MARKUP = re.compile(r"[\\|`*\[\]]|(?<![^\W_])_|_(?![^\W_])")


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Returns a table in Markdown; the cells are escaped."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(plain_text(cell) for cell in cells) + " |" for cells in lines)


def plain_text(text: str) -> str:
    """Returns text on one line, with HTML, Markdown and control characters, also those of the direction, escaped."""
    escaped = html.escape(visible(" ".join(text.split())), quote=False)
    return _MARKUP.sub(lambda found: f"&#{ord(found.group())};", escaped)


def preformatted(text: str) -> str:
    """Returns text as a code block."""
    return "\n".join(f"    {line}" for line in text.splitlines())
