"""The genre atom of MP4 and M4A files. mutagen writes all other atoms back, also those that it does not know."""

from collections.abc import Sequence
from typing import Any, BinaryIO

from mutagen.mp4 import MP4

_KEY = "\xa9gen"


class Mp4Tags:
    """The tags of an open file.

    Attributes:
        genres: The genres, or the name of the number in an atom `gnre`, which older versions of iTunes wrote.
        others: All other tags, to compare.
    """

    def __init__(self, file: BinaryIO) -> None:
        """Reads the tags of a file that is open for reading and seeking.

        Raises:
            mutagen.MutagenError: The file or its tags are damaged.
        """
        file.seek(0)
        self._file: Any = MP4(file)
        if self._file.tags is None:
            self._file.add_tags()
        self.genres = tuple(self._file.tags.get(_KEY, ()))
        self.others = {key: list(values) if isinstance(values, list) else values for key, values in self._file.items()}
        self.others.pop(_KEY, None)

    def save(self, file: BinaryIO, genres: Sequence[str]) -> None:
        """Replaces the genres in a copy of the file, open for reading and writing."""
        self._file.tags.pop(_KEY, None)
        if genres:
            self._file.tags[_KEY] = list(genres)
        file.seek(0)
        self._file.save(file)
