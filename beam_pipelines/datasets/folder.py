"""A folder with a folder of audio files for each genre."""

import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import replace

from beam_pipelines.common import storage
from beam_pipelines.common.errors import UserError
from beam_pipelines.common.paths import is_utf8
from beam_pipelines.common.terminal import counted
from beam_pipelines.datasets.compared_artists import artist_key, artist_names, is_nobody
from beam_pipelines.datasets.config import FolderDatasetConfig
from beam_pipelines.datasets.find_audio import find_audio
from beam_pipelines.datasets.track import Listing, Track

# With fewer, a small collection may well have one artist for each genre.
_LEAST_FOLDERS = 4


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
    if _seem_to_be_artists(tracks, artists):
        notes.append(
            f"most folders in {config.root} hold music of one artist, and are taken for genres: expected "
            "GENRE/ARTIST/…/FILE below dataset.root; if the level of genres is missing, add it, or use dataset=csv"
        )
    return Listing(tracks=tracks, notes=notes)


def _seem_to_be_artists(tracks: Sequence[Track], artists: Mapping[str, str]) -> bool:
    """Returns whether most of several genres have one artist each, as in a folder of artists with their albums."""
    artists_of: dict[str, set[str]] = {}
    for track in tracks:
        # A file directly in the folder of its genre says that there is no level of artists.
        artists_of.setdefault(track.label, set()).add(artists.get(track.track_id, track.track_id))
    with_one = [genre for genre, names in artists_of.items() if len(names) == 1]
    has_folders = all(track.track_id in artists for track in tracks if track.label in with_one)
    return len(artists_of) >= _LEAST_FOLDERS and 2 * len(with_one) > len(artists_of) and has_folders


def level_hint(config: FolderDatasetConfig) -> str:
    """Returns a hint to the folders above, for a root with fewer than two genres, or "" where it holds no audio.

    A folder with files directly in it may be that of an artist, whose genre's folder is in the root.
    """
    root = config.root.rstrip("/") or "/"
    found = find_audio(root).files
    if not found:
        return ""
    parent = posixpath.dirname(root) or "."
    hint = f"; if {root} is the folder of one genre, set dataset.root={parent}"
    has_songs = any(posixpath.dirname(entry.path) == root for entry in found)
    above = posixpath.dirname(parent)
    return f"{hint}; if it is that of one artist, dataset.root={above}" if has_songs and above else hint


def _artist(track_id: str) -> str | None:
    """Returns the name of the first folder below the genre, or None if there is none or it names no artist."""
    _, *folders, _ = track_id.split("/")
    return folders[0] if folders and not is_nobody(folders[0]) else None
