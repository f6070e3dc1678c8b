"""Music composed by beamtune: mp3 files by invented artists, written on first use."""

import io
import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import BinaryIO

from beam_pipelines.common import storage
from beam_pipelines.common.errors import UserError
from beam_pipelines.common.paths import is_local
from beam_pipelines.common.progress import ProgressReporter
from beam_pipelines.datasets import csv_table
from beam_pipelines.datasets.config import CsvDatasetConfig, DatasetConfig, SyntheticDatasetConfig
from beam_pipelines.datasets.track import Listing, Track
from beam_pipelines.synthetic.collection import (
    MARKER_NAME,
    TABLE_NAME,
    CollectionSpec,
    SyntheticTrack,
    check_marker,
    encode_track,
    missing_tracks,
    plan_collection,
    write_collection,
)

# Of the mp3s that are written, on average; the number of shards of music to compose is estimated from it.
_BYTES_PER_S = 12_100


@dataclass(frozen=True)
class PlannedMusic:
    """Music that `list_tracks` would compose.

    Attributes:
        tracks: Its tracks, as they would be listed, by id, with sizes that are estimated.
        num_missing: How many of them are not in the folder yet.
        duration_s: The length of each.
        spec: The parameters of the collection.
    """

    tracks: Sequence[Track]
    num_missing: int
    duration_s: float
    spec: CollectionSpec

    def open(self, uri: str) -> BinaryIO:
        """Composes one of the tracks in memory; a stand-in for opening its file."""
        [track_id] = [track.track_id for track in self.tracks if track.uri == uri]
        return io.BytesIO(_encode(track_id, self.spec))


def plan_music(config: DatasetConfig) -> PlannedMusic | None:
    """Returns the music that `list_tracks` would compose for a data set, or None if it would write nothing.

    Raises:
        UserError: The folder holds other files, or a collection with other settings.
    """
    if not isinstance(config, SyntheticDatasetConfig) or not is_local(config.root):
        return None
    spec = _spec(config)
    missing = missing_tracks(config.root, spec)
    if not missing and os.path.exists(os.path.join(config.root, TABLE_NAME)):
        return None
    tracks = [
        Track(
            track_id=track.path,
            uri=storage.join(config.root, track.path),
            label=track.genre,
            group=track.artist,
            size_bytes=round(spec.duration_s * _BYTES_PER_S),
        )
        for track in plan_collection(spec)
    ]
    return PlannedMusic(
        tracks=sorted(csv_table.with_one_name_per_artist(tracks), key=lambda track: track.track_id),
        num_missing=len(missing),
        duration_s=spec.duration_s,
        spec=spec,
    )


@lru_cache(maxsize=1)
def _encode(path: str, spec: CollectionSpec) -> bytes:
    [track] = [track for track in plan_collection(spec) if track.path == path]
    return encode_track(track, spec)


def list_tracks(config: SyntheticDatasetConfig) -> Listing:
    """Writes the missing tracks, and lists the collection by its table. In a bucket the tracks must exist.

    Raises:
        UserError: The folder holds other files, or a collection with other settings; or a bucket holds none.
    """
    if is_local(config.root):
        write_tracks(config, num_workers=None)
    else:
        marker = storage.join(config.root, MARKER_NAME)
        if not storage.exists(marker):
            raise _not_local(config.root)
        check_marker(storage.read_text(marker), _spec(config), root=config.root)
    return csv_table.list_tracks(CsvDatasetConfig(name=config.name, path=storage.join(config.root, TABLE_NAME)))


def write_tracks(config: SyntheticDatasetConfig, *, num_workers: int | None) -> list[SyntheticTrack]:
    """Composes and encodes the missing tracks, and shows the progress where there are any.

    Raises:
        UserError: The folder is in a bucket, or holds other files, or a collection with other settings.
    """
    if not is_local(config.root):
        raise _not_local(config.root)
    spec = _spec(config)
    if not missing_tracks(config.root, spec):
        return write_collection(config.root, spec, num_workers=num_workers)
    num_done = 0
    with ProgressReporter("composing", total=len(plan_collection(spec)), unit="tracks") as progress:

        def on_track_done(track: SyntheticTrack) -> None:
            nonlocal num_done
            num_done += 1
            progress.update(completed=num_done, details=track.path)

        return write_collection(config.root, spec, num_workers=num_workers, on_track_done=on_track_done)


def _spec(config: SyntheticDatasetConfig) -> CollectionSpec:
    return CollectionSpec(
        artists_per_genre=config.artists_per_genre,
        tracks_per_artist=config.tracks_per_artist,
        duration_s=config.duration_s,
        seed=config.seed,
    )


def _not_local(root: str) -> UserError:
    return UserError(
        f"dataset.root={root}: music is composed in a local folder; to have it there, run beamtune synthesize "
        f"dataset.root=music, then beamtune sync music {shlex.quote(root)}"
    )
