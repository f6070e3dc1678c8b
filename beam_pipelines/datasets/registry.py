"""The function that lists the tracks of each kind of data set. No audio is read."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from beam_pipelines.common.errors import UserError
from beam_pipelines.common.paths import is_local
from beam_pipelines.datasets import csv_table, fma, folder, gtzan, synthetic
from beam_pipelines.datasets.config import (
    CsvDatasetConfig,
    DatasetConfig,
    FmaDatasetConfig,
    FolderDatasetConfig,
    GtzanDatasetConfig,
    SyntheticDatasetConfig,
)
from beam_pipelines.datasets.tagged_artists import tagged_artists_notes
from beam_pipelines.datasets.track import Listing, Track, check_tracks, genre_names

_LIST_TRACKS: Mapping[type[DatasetConfig], Callable[[Any], Listing]] = {
    SyntheticDatasetConfig: synthetic.list_tracks,
    FolderDatasetConfig: folder.list_tracks,
    CsvDatasetConfig: csv_table.list_tracks,
    GtzanDatasetConfig: gtzan.list_tracks,
    FmaDatasetConfig: fma.list_tracks,
}


def list_tracks(config: DatasetConfig) -> Listing:
    """Returns the tracks of a data set, ordered by id.

    Raises:
        UserError: The data set is missing, or a classifier cannot be trained on it.
    """
    listing = _LIST_TRACKS[type(config)](config)
    try:
        check_tracks(listing.tracks, source=config.source)
    except UserError as error:
        if not isinstance(config, FolderDatasetConfig) or len(genre_names(listing.tracks)) > 1:
            raise
        raise UserError(f"{error}{folder.level_hint(config)}") from error
    return replace(listing, tracks=sorted(listing.tracks, key=lambda track: track.track_id))


def notes_on_tags(config: DatasetConfig, tracks: Sequence[Track]) -> list[str]:
    """Returns sentences about tags in the files of a local folder that contradict its groups.

    Other data sets name the artists in a table, and reading remote files takes too long.
    """
    if not isinstance(config, FolderDatasetConfig) or not is_local(config.root):
        return []
    return tagged_artists_notes(tracks)
