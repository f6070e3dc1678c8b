"""Settings of each data set: frozen dataclasses that check their values."""

import re
from dataclasses import dataclass, field

from beam_pipelines.common.checks import MISSING, check, check_choice, check_path


@dataclass(frozen=True)
class DatasetConfig:
    """The audio to prepare. Each kind of data set is a subclass.

    Attributes:
        name: The name of the data set: the first part of the shard names.
    """

    name: str = MISSING

    def __post_init__(self) -> None:
        check(
            re.fullmatch(r"[A-Za-z0-9_]{1,64}", self.name) is not None,
            key="dataset.name",
            value=self.name,
            expected="1 to 64 letters, digits or underscores",
        )

    @property
    def source(self) -> str:
        """The path of the data set."""
        raise NotImplementedError

    @property
    def source_key(self) -> str:
        """The name of the setting that `source` is the value of."""
        return "root"


@dataclass(frozen=True)
class RootDatasetConfig(DatasetConfig):
    """A data set that is a folder, or an archive of one.

    Attributes:
        root: Its path.
    """

    root: str = MISSING

    def __post_init__(self) -> None:
        super().__post_init__()
        check_path(self.root, key="dataset.root")

    @property
    def source(self) -> str:
        return self.root


@dataclass(frozen=True)
class FolderDatasetConfig(RootDatasetConfig):
    """A folder with a folder of audio files for each genre: root/<genre>/…/<file>.

    The first folder below the genre is the artist (root/<genre>/<artist>/…/<file>), and an artist is one group in all
    genres; a file directly in the genre's folder, or below "Various Artists", is a group by itself.

    Attributes:
        root: The folder, local or gs://.
    """

    name: str = "folder"


@dataclass(frozen=True)
class CsvDatasetConfig(DatasetConfig):
    """A table with a header row and a row for each audio file.

    Attributes:
        path: The CSV file. Relative audio paths start from its folder.
        path_column: The column of the audio file's path.
        label_column: The column of the genre.
        group_column: The column of the group that must be in one split, such as the artist; None makes every file a
            group of its own. Case, accents and "feat." do not distinguish groups.
        split_column: The column of an official split (train, validation, test), or None.
        encoding: The encoding of the file, such as cp1252; None is UTF-8, or UTF-16 where the file has its mark.
        delimiter: The character between two columns, or "tab"; None is a comma, or another one that the header shows.
    """

    name: str = "csv"
    path: str = MISSING
    path_column: str = "path"
    label_column: str = "genre"
    group_column: str | None = "artist"
    split_column: str | None = None
    encoding: str | None = None
    delimiter: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_path(self.path, key="dataset.path")
        check(
            self.encoding is None or _is_text_encoding(self.encoding),
            key="dataset.encoding",
            value=self.encoding,
            expected="an encoding that Python knows, such as utf-8, cp1252 or utf-16",
        )
        if self.delimiter in ("tab", "\\t"):
            object.__setattr__(self, "delimiter", "\t")
        check(
            self.delimiter is None or (len(self.delimiter) == 1 and self.delimiter not in '"\r\n\0 '),
            key="dataset.delimiter",
            value=self.delimiter,
            expected="one character, such as ; or |, or tab",
        )

    @property
    def source(self) -> str:
        return self.path

    @property
    def source_key(self) -> str:
        return "path"


def _is_text_encoding(name: str) -> bool:
    try:
        "".encode(name)
    except (LookupError, ValueError):
        return False
    return True


@dataclass(frozen=True)
class SyntheticDatasetConfig(RootDatasetConfig):
    """Music composed by beamtune: five genres by invented artists, written as mp3 files on first use.

    Attributes:
        root: The folder that the mp3 files are written to.
        artists_per_genre: Invented artists in each genre.
        tracks_per_artist: Tracks of each artist.
        duration_s: Length of a track in seconds.
        seed: The seed of all the music.
    """

    name: str = "synthetic"
    root: str = "data/synthetic"
    artists_per_genre: int = 8
    tracks_per_artist: int = 4
    duration_s: float = 20.0
    seed: int = 0


@dataclass(frozen=True)
class GtzanDatasetConfig(RootDatasetConfig):
    """GTZAN (Tzanetakis & Cook 2002): 10 genres of 100 clips. Its owner must supply it.

    Attributes:
        root: A folder that contains <genre>/<genre>.NNNNN.au or .wav at any depth, local or gs://; or a local .tar.gz
            or .zip of one, which is unpacked to <root>.unpacked.
    """

    name: str = "gtzan"


@dataclass(frozen=True)
class FmaDatasetConfig(RootDatasetConfig):
    """The Free Music Archive data set (Defferrard et al., ISMIR 2017), as `beamtune download` unpacks it.

    Attributes:
        root: The folder that holds fma_<subset>/ and fma_metadata/, local or gs://.
        subset: small, medium, large or full.
        group: What must be in one split, unless the splits are official: artist, album or track.
        genres: The genres to use; None is all of the subset.
    """

    name: str = "fma_small"
    root: str = "data/fma"
    subset: str = "small"
    group: str = "artist"
    genres: list[str] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice(self.subset, ("small", "medium", "large", "full"), key="dataset.subset")
        check_choice(self.group, ("artist", "album", "track"), key="dataset.group")
        check(
            self.genres is None or len(self.genres) >= 2,
            key="dataset.genres",
            value=self.genres,
            expected="two genres or more, or null for all",
        )


@dataclass(frozen=True)
class SynthesizeConfig:
    """The settings of `beamtune synthesize`.

    Attributes:
        num_workers: Processes that compose and encode at the same time; None is the number of cores.
        dataset: The music to write.
    """

    num_workers: int | None = None
    dataset: SyntheticDatasetConfig = field(default_factory=SyntheticDatasetConfig)
