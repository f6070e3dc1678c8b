"""HTML pages of one look: `page.html.jinja`, which the template of each page extends, and its style sheet.

Names in a page come from the user's files: the templates escape all of them, and the content security policy lets a
browser load nothing.
"""

import base64
from functools import partial
from importlib import resources

import jinja2

from beam_pipelines.common.output_streams import visible_line
from trainer.common.code_words import DUPLICATE_KINDS, DUPLICATE_OUTCOMES, REJECT_REASONS, SPLIT_SOURCES, words_of
from trainer.common.table_labels import labelled

_FRAME, _PARTS, _STYLE = "page.html.jinja", "page_parts.html.jinja", "page.css"
_COMMON = ("common/" + _FRAME, "common/" + _PARTS)


def page_template(package: str, name: str) -> jinja2.Template:
    """Returns the template of a page; it extends `common/page.html.jinja`.

    Its filters are `labelled`, of a table that may be wide, `whole` (1,234), `tenths` (1,234.5), `data_uri`, whose
    argument is the media type, and `visible`, for sentences with names in them: those that turn the direction of text
    are escaped, so that no other words turn.
    `split_words`, `reason_words`, `kind_words` and `outcome_words` turn the codes of a data set's tables into words.

    Args:
        package: The package that holds the template, and others that it includes.
        name: The name of its file.
    """

    def load(wanted: str) -> str:
        if wanted in _COMMON:
            return read_text(__package__, wanted.removeprefix("common/"))
        return read_text(package, wanted)

    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, loader=jinja2.FunctionLoader(load)
    )
    environment.filters.update(whole=whole, tenths=tenths, data_uri=data_uri, visible=visible_line)
    environment.filters["labelled"] = labelled
    for name_of_filter, words in (
        ("split_words", SPLIT_SOURCES),
        ("reason_words", REJECT_REASONS),
        ("kind_words", DUPLICATE_KINDS),
        ("outcome_words", DUPLICATE_OUTCOMES),
    ):
        environment.filters[name_of_filter] = partial(words_of, words=words)
    environment.globals.update(page_style=read_text(__package__, _STYLE))
    return environment.get_template(name)


def read_text(package: str, name: str) -> str:
    """Returns a text file of a package."""
    return resources.files(package).joinpath(name).read_text(encoding="utf-8")


def whole(number: int) -> str:
    """Returns a number such as "1,234"."""
    return f"{number:,}"


def tenths(number: float) -> str:
    """Returns a number such as "1,234.5"."""
    return f"{number:,.1f}"


def data_uri(content: bytes, media_type: str) -> str:
    """Returns the address of content that is in the page itself."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"
