"""A prepared data set in memory: one vector for each segment of all splits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from beam_pipelines.common.errors import UserError
from beam_pipelines.records.json_lines import TrackRecord
from trainer.baselines.vectors import Vectors, check_fits_memory, make_vectorizer, read_vectors
from trainer.crossval.source import open_source
from trainer.data.group_word import read_group_word

_MOST_MIB = 8192


@dataclass(frozen=True, eq=False)
class LabelledTracks:
    """The tracks that classifiers are fitted to and scored on.

    Attributes:
        vectors: Their segments.
        tracks: Their rows of the table of tracks, each with at least one segment.
        joined: For groups that share recordings with others, the group that represents all of them.
        num_classes: The number of genres.
    """

    vectors: Vectors
    tracks: Sequence[TrackRecord]
    joined: Mapping[str, str]
    num_classes: int

    def only(self, track_ids: set[str]) -> "LabelledTracks":
        """Returns some of the tracks."""
        rows = np.array([name in track_ids for name in self.vectors.track_ids], dtype=bool)
        return replace(
            self,
            vectors=Vectors(
                values=self.vectors.values[rows],
                labels=self.vectors.labels[rows],
                track_ids=tuple(name for name in self.vectors.track_ids if name in track_ids),
                starts_s=self.vectors.starts_s[rows],
            ),
            tracks=[track for track in self.tracks if track.track_id in track_ids],
        )


def read_labelled_tracks(data_dir: str, features: list[str]) -> LabelledTracks:
    """Returns all tracks of a prepared data set, whose vectors are the joined means of features over patches.

    Raises:
        UserError: There is no such data set, it has a single genre, or its vectors do not fit into memory.
        RunFailedError: A shard is damaged.
    """
    source = open_source(data_dir)
    data = source.data
    genres = {track.label for track in source.tracks}
    if len(genres) < 2:
        raise UserError(
            f"all songs of {data_dir} are of the genre {', '.join(genres) or '–'}: a classifier needs at least two "
            "genres, each a folder with its songs"
        )
    splits = [split.name for split in data.info.splits if split.num_examples > 0]
    vectorizer = make_vectorizer(data, features, pooling="mean")
    check_fits_memory(data, splits, vectorizer=vectorizer, max_mib=_MOST_MIB)
    return LabelledTracks(
        vectors=_concatenated([read_vectors(data, split, vectorizer=vectorizer) for split in splits]),
        tracks=[track for track in source.tracks if track.num_segments > 0],
        joined=source.joined,
        num_classes=len(data.labels),
    )


def _concatenated(splits: list[Vectors]) -> Vectors:
    """Returns the segments of all splits, one split after the other."""
    return Vectors(
        values=np.concatenate([one.values for one in splits]),
        labels=np.concatenate([one.labels for one in splits]),
        track_ids=tuple(name for one in splits for name in one.track_ids),
        starts_s=np.concatenate([one.starts_s for one in splits]),
    )


def read_artist_word(data_dir: str, tracks: Sequence[TrackRecord]) -> str:
    """Returns what the groups of the tracks are: "artist" also where the artists are not known."""
    has_groups = any(track.group != track.track_id for track in tracks)
    return read_group_word(data_dir, has_groups=has_groups) if has_groups else "artist"


def artists_text(tracks: Sequence[TrackRecord], word: str) -> str:
    """Returns the number of artists, and how many tracks are of an unknown one: these are groups by themselves.

    Args:
        tracks: The tracks.
        word: What a group is, such as "artist".
    """
    num_unknown = sum(track.group == track.track_id for track in tracks)
    known = len({track.group for track in tracks if track.group != track.track_id})
    if not known:
        return f"not known: scores are by song, and an {word} may be on both sides"
    return str(known) if not num_unknown else f"{known}, and {num_unknown} songs whose {word} is not known"
