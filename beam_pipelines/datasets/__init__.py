"""Data sets: each lists its tracks and reads no audio."""

from collections.abc import Sequence

from beam_pipelines.config import CsvDatasetConfig, DatasetConfig, FolderDatasetConfig, SyntheticDatasetConfig
from beam_pipelines.datasets import csv_table, folder, synthetic
from beam_pipelines.tracks import Track, check_tracks


def list_tracks(config: DatasetConfig) -> Sequence[Track]:
    """Returns the tracks of the data set that the configuration describes, ordered by id.

    Raises:
        UserError: The data set is not there, or there is nothing in it to learn from.
    """
    if isinstance(config, SyntheticDatasetConfig):
        tracks, source = synthetic.list_tracks(config), config.root
    elif isinstance(config, FolderDatasetConfig):
        tracks, source = folder.list_tracks(config), config.root
    elif isinstance(config, CsvDatasetConfig):
        tracks, source = csv_table.list_tracks(config), config.path
    else:
        raise TypeError(f"no data set is described by a {type(config).__name__}")
    check_tracks(tracks, source=source)
    return sorted(tracks, key=lambda track: track.track_id)
