"""The content of an HTML page, for tests that compare it with numbers."""

from dataclasses import dataclass, field
from html.parser import HTMLParser


@dataclass
class PageParts:
    """The content of a page.

    Attributes:
        title: The text of <title>.
        headings: The texts of all headings, in order.
        tables: The texts of all cells of each table, by its id and then by row.
        texts: The text of every element with an id, by its id.
        images: The attributes of every <img>.
        charts: The descriptions of all elements that are an image to a screen reader.
        audio: The attributes of every <audio>.
        links: The targets of all links.
        ids: All ids.
        tags: The names of all elements, each once.
        missing: The notes of genres without an example.
        policy: The content security policy.
        marks: The number of <mark>s.
    """

    title: str = ""
    headings: list[str] = field(default_factory=list)
    tables: dict[str, list[list[str]]] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    images: list[dict[str, str]] = field(default_factory=list)
    charts: list[str] = field(default_factory=list)
    audio: list[dict[str, str]] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    tags: set[str] = field(default_factory=set)
    missing: list[str] = field(default_factory=list)
    policy: str = ""
    marks: int = 0


_VOID = ("meta", "img", "br", "link", "input", "hr")


class _Parser(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.parts = PageParts()
        self._open: list[tuple[str, dict[str, str], list[str]]] = []

    def handle_starttag(self, tag, attrs):
        attributes = {key: value or "" for key, value in attrs}
        parts = self.parts
        parts.tags.add(tag)
        parts.marks += tag == "mark"
        if "id" in attributes:
            parts.ids.append(attributes["id"])
        if attributes.get("role") == "img":
            parts.charts.append(attributes["aria-label"])
        if tag == "img":
            parts.images.append(attributes)
        elif tag == "audio":
            parts.audio.append(attributes)
        elif tag == "a":
            parts.links.append(attributes["href"])
        elif tag == "table":
            parts.tables[attributes["id"]] = []
        elif tag == "tr":
            parts.tables[self._attributes_of("table")["id"]].append([])
        if attributes.get("http-equiv") == "Content-Security-Policy":
            parts.policy = attributes["content"]
        if tag not in _VOID:
            self._open.append((tag, attributes, []))

    def handle_data(self, data):
        for _, _, texts in self._open:
            texts.append(data)

    def handle_endtag(self, tag):
        opened, attributes, texts = self._open.pop()
        assert opened == tag, f"<{opened}> is closed by </{tag}>"
        text = "".join(texts).strip()
        if tag == "title" and not self.parts.title:  # figures have titles, too
            self.parts.title = text
        elif tag in ("h1", "h2", "h3"):
            self.parts.headings.append(text)
        elif tag in ("th", "td"):
            self.parts.tables[self._attributes_of("table")["id"]][-1].append(text)
        if "id" in attributes:
            self.parts.texts[attributes["id"]] = " ".join(text.split())
        if attributes.get("class") == "missing":
            self.parts.missing.append(text)

    def _attributes_of(self, tag):
        return next(attributes for name, attributes, _ in reversed(self._open) if name == tag)


def parse_page(text: str) -> PageParts:
    """Parses a page; fails if its elements are not closed in order."""
    parser = _Parser()
    parser.feed(text)
    parser.close()
    assert not parser._open, f"<{parser._open[-1][0]}> is not closed"
    return parser.parts
