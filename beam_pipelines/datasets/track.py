"""A track: one audio file with its genre, its group and its official split, before any audio is read."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from beam_pipelines.common.errors import UserError

# The official split of a track that the data set's authors left out.
EXCLUDED = "excluded"


@dataclass(frozen=True, slots=True)
class Track:
    """One audio file of a data set.

    Attributes:
        track_id: Its name in the data set, which does not depend on where the data set is: the path below its folder.
        uri: The full path of the file, local or gs://.
        label: The genre.
        group: What must be in one split: the artist, album or recording; the track's own id where that is unknown.
        size_bytes: The size of the file, from which the length of the audio is estimated.
        split: The official split, EXCLUDED where the data set leaves the track out, or None.
        known_fault: A known fault of the track, or None.
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
    """The tracks of a data set.

    Attributes:
        tracks: Its tracks.
        official_split: The name of the official split.
        notes: Sentences for the user, such as the number of files without a row.
    """

    tracks: Sequence[Track]
    official_split: str = "official"
    notes: Sequence[str] = ()


def genre_names(tracks: Sequence[Track]) -> list[str]:
    """Returns the genres sorted by name, which is the order of their label indices."""
    return sorted({track.label for track in tracks})


def check_tracks(tracks: Sequence[Track], *, source: str) -> None:
    """Checks that a classifier can be trained on the tracks.

    Args:
        tracks: The tracks of a data set.
        source: The path of the data set, for the message.

    Raises:
        UserError: There are no tracks, there is only one genre, a genre's name is not one line, or two tracks have the
            same id.
    """
    if not tracks:
        raise UserError(f"{source} holds no audio files: expected <genre>/<file> in it, or rows with paths of files")
    genres = genre_names(tracks)
    if len(genres) < 2:
        raise UserError(f"{source} holds one genre only, {genres[0]!r}: a classifier needs at least two")
    for genre in genres:
        if genre.splitlines() != [genre]:
            raise UserError(f"{source} has a genre named {genre!r}: a name must be one line, and not empty")
    track_id, count = Counter(track.track_id for track in tracks).most_common(1)[0]
    if count > 1:
        raise UserError(f"{source} names the track {track_id!r} {count} times: expected every track once")
