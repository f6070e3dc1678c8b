"""A track: one audio file with its genre, its group and its official split, before any audio is read."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from beam_pipelines.common.errors import UserError

# The official split of a track that its data set's authors leave out.
EXCLUDED = "excluded"


@dataclass(frozen=True, slots=True)
class Track:
    """One audio file of a data set.

    Attributes:
        track_id: Its name in the data set, the same wherever the data set lies: the path below the data set's folder.
        uri: Where the file is.
        label: The genre.
        group: What must stay on one side of a split: the artist, album or recording. Where nothing is known of that, it
            is the track's own id.
        size_bytes: The size of the file, from which the length of the audio is estimated.
        split: The official split that the data set puts it in, EXCLUDED where it leaves the track out, or None.
        known_fault: What is known to be wrong with it, or None.
    """

    track_id: str
    uri: str
    label: str
    group: str
    size_bytes: int
    split: str | None = None
    known_fault: str | None = None


@dataclass(frozen=True)
class Listing:
    """What a data set holds.

    Attributes:
        tracks: Its tracks.
        official_split: The name of the split that tracks have, where the data set names one.
        notes: What a person should know of it, a sentence each: files without a row, rows without a genre.
    """

    tracks: Sequence[Track]
    official_split: str = "official"
    notes: Sequence[str] = ()


def genre_names(tracks: Sequence[Track]) -> list[str]:
    """Returns the genres in the order of their label indices: sorted by name."""
    return sorted({track.label for track in tracks})


def check_tracks(tracks: Sequence[Track], *, source: str) -> None:
    """Makes sure that there is something to learn from.

    Args:
        tracks: What a data set listed.
        source: Where it was listed from, for the message.

    Raises:
        UserError: There are no tracks, there is only one genre, a genre's name is not one line, or two tracks have the
            same id.
    """
    if not tracks:
        raise UserError(f"{source} holds no audio files: expected <genre>/<file> below it, or rows that name files")
    genres = genre_names(tracks)
    if len(genres) < 2:
        raise UserError(f"{source} holds one genre only, {genres[0]!r}: a classifier needs at least two")
    for genre in genres:
        if genre.splitlines() != [genre]:
            raise UserError(f"{source} has a genre named {genre!r}: a name must be one line, and not empty")
    track_id, count = Counter(track.track_id for track in tracks).most_common(1)[0]
    if count > 1:
        raise UserError(f"{source} names the track {track_id!r} {count} times: every track must be there once")
