"""The page of a review: excerpts to hear, genres to choose, and the corrected table to save.

Names come from the user's files: the template escapes them. The page loads nothing; its one script is allowed by its
hash, so that no name can be run as another one.
"""

import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

from trainer.common.pages import page_template, read_text
from trainer.review.tables import TABLE_COLUMNS

_TEMPLATE, _SCRIPT = "page.html.jinja", "page.js"


@dataclass(frozen=True)
class Entry:
    """A track on the page.

    Attributes:
        row: The index of the track in the table of the data set.
        track_id: The track.
        genre: The genre that the data set states.
        suggested: The most probable genre.
        probability_of_genre: The probability of the stated genre.
        probability_of_suggested: The probability of the most probable one.
        artist: The artist, or "".
        mp3: An excerpt; None if the audio cannot be read.
        problem: Why it cannot be read, or None.
    """

    row: int
    track_id: str
    genre: str
    suggested: str
    probability_of_genre: float
    probability_of_suggested: float
    artist: str
    mp3: bytes | None
    problem: str | None


def render_page(
    *,
    name: str,
    num_tracks: int,
    num_suspected: int,
    split_leak: str | None,
    genres: Sequence[str],
    suspects: Sequence[Entry],
    uncertain: Sequence[Entry],
    rows: Sequence[tuple[str, str, str]],
) -> str:
    """Returns the HTML of the page.

    Args:
        name: The name of the data set.
        num_tracks: The tracks of the data set.
        num_suspected: Those of them that are suspected.
        split_leak: Why the predictions may be too good, or None.
        genres: The genres.
        suspects: The suspected tracks that are shown, the most likely errors first.
        uncertain: Other tracks that are shown, the least certain first.
        rows: Path, genre and artist of all tracks, which the page saves with the corrections.
    """
    script = read_text(__package__, _SCRIPT)
    return page_template(__package__, _TEMPLATE).render(
        name=name,
        num_tracks=num_tracks,
        num_suspected=num_suspected,
        split_leak=split_leak,
        genres=genres,
        sections=(("suspects", "Suspected label errors", suspects), ("uncertain", "Least certain tracks", uncertain)),
        # In a script element only "<" could end it.
        table=json.dumps({"columns": TABLE_COLUMNS, "rows": rows}).replace("<", "\\u003c"),
        script=script,
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )
