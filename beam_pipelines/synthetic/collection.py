"""The collection: the list of its tracks, and writing them as mp3 files."""

from __future__ import annotations

import concurrent.futures
import csv
import io
import json
import math
import multiprocessing
import os
import shlex
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath

import soundfile

from beam_pipelines.common.errors import UserError
from beam_pipelines.common.lease import LEASE_FILES, holding
from beam_pipelines.synthetic.artists import (
    Stream,
    artist_name,
    genre_key,
    make_artist,
    random_stream,
    track_title,
)
from beam_pipelines.synthetic.composer import compose_score
from beam_pipelines.synthetic.genres import GENRE_RULES, GENRES
from beam_pipelines.synthetic.instruments import SAMPLE_RATE_HZ, FloatArray
from beam_pipelines.synthetic.render import render_score

#: Incremented whenever the same parameters give other sounds.
COMPOSER_VERSION = 2

MARKER_NAME = "synthetic.json"
TABLE_NAME = "tracks.csv"
TABLE_COLUMNS = ("path", "genre", "artist", "title")

_MIN_DURATION_S = 1.0
_MAX_DURATION_S = 600.0
_PARTIAL_SUFFIX = ".partial"


@dataclass(frozen=True)
class CollectionSpec:
    """The parameters of a collection; equal parameters give equal files.

    Attributes:
        artists_per_genre: artists in each genre, at least 1. More artists leave the first ones as they are.
        tracks_per_artist: tracks of each artist, at least 1. More tracks leave the first ones as they are.
        duration_s: length of every track in seconds, 1 to 600.
        seed: 0 or above; another seed gives other artists and other music.

    Raises:
        UserError: a value is of the wrong type or out of its range.
    """

    artists_per_genre: int = 8
    tracks_per_artist: int = 4
    duration_s: float = 20.0
    seed: int = 0

    def __post_init__(self) -> None:
        _require_int("artists_per_genre", self.artists_per_genre, minimum=1)
        _require_int("tracks_per_artist", self.tracks_per_artist, minimum=1)
        _require_int("seed", self.seed, minimum=0)
        duration_s = self.duration_s
        is_number = isinstance(duration_s, (int, float)) and not isinstance(duration_s, bool)
        if not is_number or not math.isfinite(duration_s) or not _MIN_DURATION_S <= duration_s <= _MAX_DURATION_S:
            raise UserError(
                f"duration_s={duration_s!r}: expected a number of seconds "
                f"from {_MIN_DURATION_S:g} to {_MAX_DURATION_S:g}"
            )


@dataclass(frozen=True)
class SyntheticTrack:
    """One track of a collection.

    Attributes:
        genre: one of ``GENRES``.
        artist: the artist's name.
        title: the track's title.
        path: the mp3 file relative to the collection's root, with forward slashes.
        artist_index: 0 and above, counted in the genre.
        track_index: 0 and above, counted in the artist's tracks.
    """

    genre: str
    artist: str
    title: str
    path: str
    artist_index: int
    track_index: int


def plan_collection(spec: CollectionSpec) -> list[SyntheticTrack]:
    """Lists the tracks by genre, artist and track number; makes no audio."""
    tracks = []
    for genre in GENRES:
        for artist_index in range(spec.artists_per_genre):
            artist = artist_name(genre, artist_index, seed=spec.seed)
            slug = artist.lower().replace(" ", "-")
            for track_index in range(spec.tracks_per_artist):
                tracks.append(
                    SyntheticTrack(
                        genre=genre,
                        artist=artist,
                        title=track_title(GENRE_RULES[genre], artist_index, track_index, seed=spec.seed),
                        path=str(PurePosixPath(genre, f"{slug}.{track_index:02d}.mp3")),
                        artist_index=artist_index,
                        track_index=track_index,
                    )
                )
    return tracks


def compose_track(track: SyntheticTrack, spec: CollectionSpec) -> tuple[FloatArray, int]:
    """Composes and renders a track.

    Args:
        track: a track of ``plan_collection(spec)``.
        spec: the collection's parameters.

    Returns:
        The samples, float32 (frames, 2) in [-1, 1], and the sample rate in Hz. They depend on the seed, the duration
        and the track's genre and numbers alone.
    """
    rules = GENRE_RULES[track.genre]
    artist = make_artist(rules, track.artist_index, seed=spec.seed)
    key = genre_key(track.genre)
    track_rng = random_stream(Stream.TRACK, spec.seed, key, track.artist_index, track.track_index)
    room_rng = random_stream(Stream.ROOM, spec.seed, key, track.artist_index)
    score = compose_score(
        rules, artist, track_index=track.track_index, duration_s=float(spec.duration_s), rng=track_rng
    )
    return render_score(score, artist, room_rng=room_rng), SAMPLE_RATE_HZ


def encode_track(track: SyntheticTrack, spec: CollectionSpec) -> bytes:
    """Composes a track and returns its mp3 file."""
    samples, sample_rate_hz = compose_track(track, spec)
    encoded = io.BytesIO()
    soundfile.write(encoded, samples, sample_rate_hz, format="MP3", subtype="MPEG_LAYER_III")
    return encoded.getvalue()


def write_collection(
    root: str | os.PathLike[str],
    spec: CollectionSpec,
    *,
    num_workers: int | None = None,
    on_track_done: Callable[[SyntheticTrack], None] | None = None,
) -> list[SyntheticTrack]:
    """Writes the collection's mp3 files and ``tracks.csv`` under a folder, or completes an interrupted run.

    Files appear whole or not at all, and ``tracks.csv`` appears after all of them, so a folder with a ``tracks.csv``
    is finished. One call at a time writes to a folder.

    Args:
        root: the folder; created where it is missing.
        spec: the collection's parameters.
        num_workers: processes that compose; None is one per core, 1 uses this process.
        on_track_done: called in this process for every track as it is finished or found finished.

    Returns:
        The tracks, as ``plan_collection`` lists them.

    Raises:
        UserError: the folder holds something else or a collection of other parameters, cannot be written to, or is
            in use by another command; or ``num_workers`` is not a positive number.
    """
    if num_workers is not None:
        _require_int("num_workers", num_workers, minimum=1)
    root = Path(root)
    tracks = plan_collection(spec)
    report = on_track_done if on_track_done is not None else _ignore
    # First without the lease: a finished collection may be read-only, and nothing is written into another folder.
    if not missing_tracks(root, spec) and (root / TABLE_NAME).exists():
        for track in tracks:
            report(track)
        return tracks
    with holding(str(root), key="dataset.root"):
        if not _is_claimed(root, spec):
            _write_atomically(root / MARKER_NAME, (json.dumps(_marker(spec), indent=2) + "\n").encode("utf-8"))
        _complete(root, spec, tracks, num_workers=num_workers, report=report)
    return tracks


def missing_tracks(root: str | os.PathLike[str], spec: CollectionSpec) -> list[SyntheticTrack]:
    """Returns the tracks that ``write_collection`` would compose; writes nothing.

    Raises:
        UserError: the folder holds something else or a collection of other parameters.
    """
    root = Path(root)
    is_claimed = _is_claimed(root, spec)
    return [track for track in plan_collection(spec) if not (is_claimed and _is_written(root / track.path))]


def _complete(
    root: Path,
    spec: CollectionSpec,
    tracks: list[SyntheticTrack],
    *,
    num_workers: int | None,
    report: Callable[[SyntheticTrack], None],
) -> None:
    """Writes the missing tracks, and the table at the end."""
    pending = []
    for track in tracks:
        if _is_written(root / track.path):
            report(track)
        else:
            pending.append(track)
    table_path = root / TABLE_NAME
    if not pending and table_path.exists():
        return
    table_path.unlink(missing_ok=True)
    for genre in GENRES:
        (root / genre).mkdir(exist_ok=True)
        for leftover in (root / genre).glob(f".*{_PARTIAL_SUFFIX}"):
            # A process that a killed command left may still write its last track.
            leftover.unlink(missing_ok=True)
    for track in _write_tracks(root, pending, spec=spec, num_workers=num_workers):
        report(track)
    _write_atomically(table_path, _table_of(tracks).encode("utf-8"))


def _marker(spec: CollectionSpec) -> dict[str, object]:
    return {"composer_version": COMPOSER_VERSION, **asdict(spec), "duration_s": float(spec.duration_s)}


def check_marker(text: str, spec: CollectionSpec, *, root: str) -> None:
    """Checks that a collection has these parameters.

    Args:
        text: The content of its ``synthetic.json``.
        spec: The parameters that it must have.
        root: Its folder, for the message.

    Raises:
        UserError: It has others.
    """
    expected = _marker(spec)
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if found == expected:
        return
    version = "composer_version"
    if not isinstance(found, dict) or found.keys() != expected.keys() or found[version] != expected[version]:
        raise UserError(
            f"{root} holds music that another version of beamtune has composed: choose another dataset.root; "
            f"to prepare it as it is: dataset=csv dataset.path={shlex.quote(f'{root}/{TABLE_NAME}')}"
        )
    differing = [key for key in expected if found[key] != expected[key]]
    changes = (
        f"dataset.{key}={_shown(found[key])} in the folder, {_shown(expected[key])} asked for" for key in differing
    )
    settings = " ".join(f"dataset.{key}={_shown(found[key])}" for key in differing)
    raise UserError(
        f"{root} holds composed music with other settings: {'; '.join(changes)}: "
        f"give {settings}, or another dataset.root"
    )


def _shown(value: object) -> object:
    """Returns 20 for 20.0, as it is typed."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _is_claimed(root: Path, spec: CollectionSpec) -> bool:
    """Returns whether a folder is this collection's, and False for a new or empty one; refuses anything else."""
    if not root.exists():
        return False
    if not root.is_dir():
        raise UserError(f"{root} is not a folder: choose another root for the synthetic collection")
    marker_path = root / MARKER_NAME
    if marker_path.exists():
        check_marker(marker_path.read_text(encoding="utf-8"), spec, root=str(root))
        return True
    names = [entry.name for entry in root.iterdir()]
    if any(name not in LEASE_FILES and not (name.startswith(".") and name.endswith(_PARTIAL_SUFFIX)) for name in names):
        raise UserError(
            f"{root} is not empty and holds no {MARKER_NAME}, so it is not a synthetic collection: did you mean "
            f"dataset=folder dataset.root={root}, to prepare your own music? For composed music choose another root"
        )
    return False


def _write_tracks(
    root: Path, pending: list[SyntheticTrack], *, spec: CollectionSpec, num_workers: int | None
) -> Iterator[SyntheticTrack]:
    """Writes the tracks and yields each one when its file is complete, in any order."""
    workers = min(len(pending), num_workers if num_workers is not None else _available_cores())
    if workers <= 1:
        for track in pending:
            _write_track(root, track, spec)
            yield track
        return
    # Not fork: the caller may have started threads, TensorFlow's for example.
    context = multiprocessing.get_context("spawn")
    with _without_warnings_of_leaks():
        pool = concurrent.futures.ProcessPoolExecutor(workers, context, initializer=_exit_with_parent)
    with pool:
        futures = {pool.submit(_write_track, root, track, spec): track for track in pending}
        try:
            for future in concurrent.futures.as_completed(futures):
                future.result()
                yield futures[future]
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


@contextmanager
def _without_warnings_of_leaks() -> Iterator[None]:
    """Starts Python's resource tracker silently: of a killed command it deletes the semaphores, and would warn."""
    before = os.environ.get("PYTHONWARNINGS")
    os.environ["PYTHONWARNINGS"] = ",".join(filter(None, [before, "ignore:resource_tracker:UserWarning"]))
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONWARNINGS"]
        else:
            os.environ["PYTHONWARNINGS"] = before


def _exit_with_parent() -> None:
    """Ends this worker process when the command ends in whatever way: a pool's workers would wait for work for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, name="parent", daemon=True).start()


def _write_track(root: Path, track: SyntheticTrack, spec: CollectionSpec) -> None:
    _write_atomically(root / track.path, encode_track(track, spec))


def _write_atomically(path: Path, content: bytes) -> None:
    partial_path = path.with_name(f".{path.name}.{uuid.uuid4().hex}{_PARTIAL_SUFFIX}")
    partial_path.write_bytes(content)
    os.replace(partial_path, path)


def _is_written(path: Path) -> bool:
    # After a power failure a renamed file may be empty.
    return path.is_file() and path.stat().st_size > 0


def _table_of(tracks: list[SyntheticTrack]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(TABLE_COLUMNS)
    writer.writerows((track.path, track.genre, track.artist, track.title) for track in tracks)
    return text.getvalue()


def _available_cores() -> int:
    if hasattr(os, "sched_getaffinity"):  # respects the limits of a container or taskset; Linux only
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _require_int(name: str, value: int, *, minimum: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < minimum:
        raise UserError(f"{name}={value!r}: expected a whole number of at least {minimum}")


def _ignore(track: SyntheticTrack) -> None:
    """The callback where none is given."""
