"""A folder with a folder of audio files for each genre."""

import posixpath
from dataclasses import replace

from beam_pipelines.common import storage
from beam_pipelines.common.errors import UserError
from beam_pipelines.common.paths import is_utf8
from beam_pipelines.common.terminal import counted
from beam_pipelines.datasets.compared_artists import artist_key, artist_names, is_nobody
from beam_pipelines.datasets.config import FolderDatasetConfig
from beam_pipelines.datasets.find_audio import find_audio
from beam_pipelines.datasets.track import Listing, Track


def list_tracks(config: FolderDatasetConfig) -> Listing:
    """Lists root/<genre>/…/<file>. Hidden files and files without an audio extension are left out.

    The first folder below the genre is the artist, who is the same in all genres and however the name is written
    (`artist_key`). A file directly in the genre's folder, or below "Various Artists", is a group by itself.

    Raises:
        UserError: The folder does not exist.
    """
    root = config.root.rstrip("/") or "/"
    found = find_audio(root)
    entries = found.files
    if not entries and not storage.exists(root):
        raise UserError(f"dataset.root={config.root}: there is no such folder")
    readable = [entry for entry in entries if is_utf8(entry.path)]
    notes = list(found.notes)
    if len(readable) < len(entries):
        notes.append(f"{counted(len(entries) - len(readable), 'file')} left out: names that are not UTF-8")
    tracks = []
    for entry in readable:
        track_id = entry.path[len(root) :].lstrip("/")
        if "/" in track_id:
            genre = track_id.split("/")[0]
            tracks.append(
                Track(track_id=track_id, uri=entry.path, label=genre, group=track_id, size_bytes=entry.size_bytes)
            )
    loose = len(readable) - len(tracks)
    if loose:
        notes.append(f"{counted(loose, 'audio file')} left out: directly in {config.root}, in no genre's folder")
    artists = {track.track_id: artist for track in tracks if (artist := _artist(track.track_id)) is not None}
    names = artist_names(artists.values())
    tracks = [
        replace(track, group=names[artist_key(artists[track.track_id])]) if track.track_id in artists else track
        for track in tracks
    ]
    return Listing(tracks=tracks, notes=notes)


def level_hint(config: FolderDatasetConfig) -> str:
    """Returns a hint to the parent folder, for a root with fewer than two genres, or "" where it holds no audio."""
    root = config.root.rstrip("/") or "/"
    if not find_audio(root).files:
        return ""
    return f"; if {root} is the folder of one genre, set dataset.root={posixpath.dirname(root) or '.'}"


def _artist(track_id: str) -> str | None:
    """Returns the name of the first folder below the genre, or None if there is none or it names no artist."""
    _, *folders, _ = track_id.split("/")
    return folders[0] if folders and not is_nobody(folders[0]) else None
