"""Music composed by beamtune: mp3 files by invented artists, written on first use."""

from beam_pipelines.common.progress import ProgressReporter
from beam_pipelines.datasets import csv_table
from beam_pipelines.datasets.config import CsvDatasetConfig, SyntheticDatasetConfig
from beam_pipelines.datasets.track import Listing
from beam_pipelines.synthetic.collection import CollectionSpec, SyntheticTrack, plan_collection, write_collection


def list_tracks(config: SyntheticDatasetConfig) -> Listing:
    """Writes the missing tracks, and lists the collection by its table.

    Raises:
        UserError: The folder holds other files, or a collection with other settings.
    """
    write_tracks(config, num_workers=None)
    return csv_table.list_tracks(CsvDatasetConfig(name=config.name, path=f"{config.root}/tracks.csv"))


def write_tracks(config: SyntheticDatasetConfig, *, num_workers: int | None) -> list[SyntheticTrack]:
    """Composes and encodes the missing tracks, and shows the progress.

    Raises:
        UserError: The folder holds other files, or a collection with other settings.
    """
    spec = CollectionSpec(
        artists_per_genre=config.artists_per_genre,
        tracks_per_artist=config.tracks_per_artist,
        duration_s=config.duration_s,
        seed=config.seed,
    )
    num_done = 0
    with ProgressReporter("composing", total=len(plan_collection(spec)), unit="tracks") as progress:

        def on_track_done(track: SyntheticTrack) -> None:
            nonlocal num_done
            num_done += 1
            progress.update(completed=num_done, details=track.path)

        return write_collection(config.root, spec, num_workers=num_workers, on_track_done=on_track_done)
