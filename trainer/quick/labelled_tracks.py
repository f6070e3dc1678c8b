"""Reads a prepared data set into memory: one vector for each segment of all splits."""

import numpy as np

from beam_pipelines.common.errors import UserError
from trainer.baselines.vectors import Vectors, check_fits_memory, make_vectorizer, read_vectors
from trainer.crossval.source import open_source
from trainer.quick.nested import LabelledTracks

_MOST_MIB = 8192


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
