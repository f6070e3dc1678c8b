"""The function that lists the tracks of each kind of data set. No audio is read."""

from dataclasses import replace

from beam_pipelines.datasets import csv_table, fma, folder, gtzan, synthetic
from beam_pipelines.datasets.config import (
    CsvDatasetConfig,
    DatasetConfig,
    FmaDatasetConfig,
    FolderDatasetConfig,
    GtzanDatasetConfig,
    SyntheticDatasetConfig,
)
from beam_pipelines.datasets.track import Listing, check_tracks


def list_tracks(config: DatasetConfig) -> Listing:
    """Returns the tracks of a data set, ordered by id.

    Raises:
        UserError: The data set is missing, or a classifier cannot be trained on it.
    """
    if isinstance(config, SyntheticDatasetConfig):
        listing, source = synthetic.list_tracks(config), config.root
    elif isinstance(config, FolderDatasetConfig):
        listing, source = folder.list_tracks(config), config.root
    elif isinstance(config, CsvDatasetConfig):
        listing, source = csv_table.list_tracks(config), config.path
    elif isinstance(config, GtzanDatasetConfig):
        listing, source = gtzan.list_tracks(config), config.root
    elif isinstance(config, FmaDatasetConfig):
        listing, source = fma.list_tracks(config), config.root
    else:
        raise TypeError(f"no function lists the tracks of a {type(config).__name__}")
    check_tracks(listing.tracks, source=source)
    return replace(listing, tracks=sorted(listing.tracks, key=lambda track: track.track_id))
