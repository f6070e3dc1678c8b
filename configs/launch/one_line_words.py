"""The words of a command that runs elsewhere: in a manifest, a script or a request."""

import re
from collections.abc import Mapping, Sequence

from beam_pipelines.common.errors import UserError
from beam_pipelines.common.paths import is_utf8

_RESOLVER = re.compile(r"\$\{\s*[A-Za-z_][\w.]*\s*:")


def check_means_the_same(words: Sequence[str]) -> None:
    """Raises a UserError for a setting with ${NAME:…}, which is a variable or the time of the machine that reads it."""
    for word in words:
        found = _RESOLVER.search(word)
        if found is not None:
            raise UserError(
                f"{word!r}: expected the value itself: {found[0]}…}} may have another one where the command runs"
            )


def check_words(words: Sequence[str]) -> None:
    """Raises a UserError unless each word of a command is one line of text.

    Nothing of a word can then begin a line of a script, and each is the same in UTF-8 and in YAML.
    """
    for word in words:
        if not is_utf8(word) or not word.isprintable():
            raise UserError(f"{word!r}: expected printable text on one line, without control characters")


def check_values(environment: Mapping[str, str]) -> None:
    """Raises a UserError unless the value of each variable is one line of text."""
    for name, value in environment.items():
        if not is_utf8(value) or not value.isprintable():
            raise UserError(f"launch.environment.{name}: expected printable text on one line")
