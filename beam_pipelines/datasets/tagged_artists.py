"""Comparing the artist tags of files with the groups of a data set, which come from its folders."""

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue

from beam_pipelines.audio.decode import AudioError
from beam_pipelines.audio.ffmpeg import read_tags
from beam_pipelines.common import storage
from beam_pipelines.common.terminal import counted
from beam_pipelines.datasets.compared_artists import artist_key, artist_names, is_nobody
from beam_pipelines.datasets.track import Track

# A file takes about 1 ms on a local disk. Threads help on a network's file system, which takes long to answer.
_MAX_DURATION_S = 30.0
_THREADS = 8
# A longer tag names no artist, but holds a text.
_MAX_NAME_CHARACTERS = 200
_MAX_ARTISTS_SHOWN = 5
_MAX_GROUPS_SHOWN = 3


def tagged_artists_notes(tracks: Sequence[Track], *, max_duration_s: float = _MAX_DURATION_S) -> list[str]:
    """Returns a note about artists whose files are in several groups according to the files' tags, if there are any.

    Files are read until the time is over, one of each group first, then a second one, and so on. A file without an
    artist tag, or one that cannot be read, contradicts nothing.

    Args:
        tracks: The tracks, local files. Their groups are compared with the tags.
        max_duration_s: After this time no file is waited for.
    """
    tags = _read_artists(_one_of_each_group_first(tracks), max_duration_s=max_duration_s)
    group_of = {track.track_id: track.group for track in tracks}
    artists = {track_id: name for track_id, name in tags.items() if name}
    names = artist_names(artists.values())
    groups_of: dict[str, set[str]] = defaultdict(set)
    for track_id, name in artists.items():
        groups_of[names[artist_key(name)]].add(group_of[track_id])
    divided = {name: sorted(groups) for name, groups in sorted(groups_of.items()) if len(groups) > 1}
    read = f"the tags of {len(tags)} of {len(tracks)} files were read in {max_duration_s:g} s"
    if divided:
        scope = f" ({read})" if len(tags) < len(tracks) else ""
        are = "artist is" if len(divided) == 1 else "artists are"
        return [
            f"artist tags in the files contradict the folders{scope}: {len(divided)} {are} in several groups, so that "
            f"tracks of one artist may be in training and in the test: {_shown(divided)}. Put all files of an artist "
            "into one folder below the genre, or use dataset=csv with a column of artists"
        ]
    return [f"{read}, and their artists do not contradict the folders"] if len(tags) < len(tracks) else []


def _one_of_each_group_first(tracks: Sequence[Track]) -> list[Track]:
    num_before: Counter[str] = Counter()
    rank_of = {}
    for track in tracks:
        rank_of[track.track_id] = num_before[track.group]
        num_before[track.group] += 1
    return sorted(tracks, key=lambda track: rank_of[track.track_id])


def _read_artists(tracks: Sequence[Track], *, max_duration_s: float) -> dict[str, str | None]:
    """Returns the artist of each file that is read in time, by track id; None where no tag names one."""
    end_s = time.monotonic() + max_duration_s
    waiting: SimpleQueue[Track] = SimpleQueue()
    for track in tracks:
        waiting.put(track)
    found: dict[str, str | None] = {}

    def read() -> None:
        with suppress(Empty):
            while time.monotonic() < end_s:
                track = waiting.get_nowait()
                found[track.track_id] = _artist(track.uri)

    # Not an executor, which waits for its threads: FFmpeg takes hours for a file with a million different tags.
    threads = [threading.Thread(target=read, name="tags", daemon=True) for _ in range(_THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, end_s - time.monotonic()))
    return {track.track_id: found[track.track_id] for track in tracks if track.track_id in found}


def _artist(path: str) -> str | None:
    """Returns the artist of the track, or of its album where the track has none, according to the tags of a file."""
    try:
        with storage.open_file(path) as file:
            tags = read_tags(file)
    except (AudioError, OSError):
        return None
    for key in ("artist", "album_artist"):
        # FFmpeg joins several values of a tag.
        name = tags.get(key, "").split(";")[0].strip()
        if 0 < len(name) <= _MAX_NAME_CHARACTERS and not is_nobody(name):
            return name
    return None


def _shown(groups_of: Mapping[str, Sequence[str]]) -> str:
    """Returns artists with their groups, as Python writes text: tags may hold any character."""
    shown = []
    for name, groups in list(groups_of.items())[:_MAX_ARTISTS_SHOWN]:
        others = len(groups) - _MAX_GROUPS_SHOWN
        more = f" and {counted(others, 'other')}" if others > 0 else ""
        shown.append(f"{name!r} in {', '.join(map(repr, groups[:_MAX_GROUPS_SHOWN]))}{more}")
    if len(groups_of) > _MAX_ARTISTS_SHOWN:
        shown.append(f"and {len(groups_of) - _MAX_ARTISTS_SHOWN} more")
    return "; ".join(shown)
