"""Artists' names, compared as people compare them, so that one artist is one group however the name is written."""

import re
import unicodedata
from collections.abc import Iterable

# The guests of a track: "Queen feat. David Bowie", "Queen (ft David Bowie)".
_GUESTS = re.compile(r"[\s(\[]+(?:(?:feat|ft)\.\s*|(?:feat|ft|featuring)\s+)\S.*")

# Names that are not of one artist. Taggers and players write these where the artist is unknown.
_NOBODY = frozenset(
    [
        "various artists",
        "various artist",
        "various",
        "various interprets",
        "va",
        "v.a.",
        "v.a",
        "v/a",
        "v. a.",
        "compilation",
        "compilations",
        "unknown artist",
        "unknown artists",
        "unknown",
        "[unknown]",
        "<unknown>",
        "no artist",
    ]
)


def artist_key(name: str) -> str:
    """Returns what two spellings of one artist have in common.

    Case, accents and the width of characters (NFKD, case folding), underscores, repeated spaces and the guests of a
    track ("feat.", "ft.", "featuring") do not count.
    """
    plain = _plain(name)
    # A name of marks only, or one that begins with "feat.", stays as it is.
    return _GUESTS.sub("", plain) or plain or name


def is_nobody(name: str) -> bool:
    """Returns whether a name means several or unknown artists, such as "Various Artists", "VA", "Unknown"."""
    return _plain(name) in _NOBODY


def artist_names(names: Iterable[str]) -> dict[str, str]:
    """Returns one spelling for each artist, by `artist_key`: the first in alphabetical order."""
    spellings: dict[str, str] = {}
    for name in names:
        key = artist_key(name)
        spellings[key] = min(spellings.get(key, name), name)
    return spellings


def _plain(name: str) -> str:
    decomposed = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", name).casefold())
    without_accents = "".join(character for character in decomposed if not unicodedata.combining(character))
    return " ".join(without_accents.replace("_", " ").split())
