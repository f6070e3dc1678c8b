"""Checks that a user's own copy of GTZAN, a folder or an archive, has each clip once."""

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator

from beam_pipelines.common.errors import UserError
from beam_pipelines.common.terminal import counted, next_steps
from beam_pipelines.download.catalog import GTZAN
from beam_pipelines.download.download_progress import DownloadProgress
from beam_pipelines.download.extract import list_names

GENRES = ("blues", "classical", "country", "disco", "hiphop", "jazz", "metal", "pop", "reggae", "rock")
CLIPS_PER_GENRE = 100

_CLIP_PATTERN = re.compile(
    rf"(?:.*/)?(?P<genre>{'|'.join(GENRES)})/(?P=genre)\.(?P<number>[0-9]{{5}})\.(?:au|wav)", re.DOTALL
)
_LAYOUTS = "genres/<genre>/<genre>.00000.au or genres_original/<genre>/<genre>.00000.wav"
# The clips take 1.3 GB; some copies also hold pictures and tables.
_MAX_BYTES = 2**33
_MAX_NAMED = 10

_Clip = tuple[str, int]


def check_gtzan(path: str | None) -> None:
    """Prints which clips of GTZAN a folder or an archive has, and the next command. Extracts nothing.

    Args:
        path: The user's copy, or None where none is given.

    Raises:
        UserError: There is no copy, it cannot be read, or clips are missing, unknown or not unique.
    """
    if path is None:
        raise UserError(
            "gtzan cannot be downloaded: its original server is offline and the rights to the music are not cleared; "
            f"expected your own copy, a folder or an archive that contains {_LAYOUTS}: "
            f"beamtune download {GTZAN} gtzan_path=PATH"
        )
    counts = Counter(_clips(_names(path)))
    if not counts:
        raise UserError(f"{path} has no clips of GTZAN: expected {_LAYOUTS} in it")
    print(_table(counts))
    problems = _problems(counts)
    if problems:
        raise UserError(
            f"{path}: {'; '.join(problems)}: expected clips 00000 to {CLIPS_PER_GENRE - 1:05d} of each genre once; "
            "fix the copy or get another"
        )
    print("jazz.00054 of the common .wav copy cannot be decoded: beamtune prepare skips it and reports it")
    print(*next_steps(["prepare", "dataset=gtzan", f"dataset.root={path}"]), sep="\n")


def _names(path: str) -> Iterator[str]:
    """Yields the paths of the files in a folder or an archive."""
    if not os.path.exists(path):
        raise UserError(
            f"gtzan_path={path}: no such file or folder: expected a folder or an archive that contains {_LAYOUTS}"
        )
    if not os.path.isdir(path):
        with DownloadProgress(os.path.basename(path), estimated_bytes=os.path.getsize(path)) as progress:
            yield from list_names(path, max_bytes=_MAX_BYTES, on_progress=progress.update)
        return
    # An absolute path has the genre's name in it even if the path is the folder of one genre, or "." in it.
    for folder, _, files in os.walk(os.path.abspath(path)):
        for name in files:
            yield f"{folder}/{name}"


def _clips(names: Iterable[str]) -> Iterator[_Clip]:
    """Yields the clips among the names. Metadata files of macOS, such as ._blues.00000.wav, are not clips."""
    for name in names:
        found = _CLIP_PATTERN.fullmatch(name)
        if found is not None:
            yield found["genre"], int(found["number"])


def _table(counts: Counter[_Clip]) -> str:
    lines = [f"{'genre':<9}  {'clips':>5}  missing"]
    for genre in GENRES:
        num_clips = sum(count for (of_genre, _), count in counts.items() if of_genre == genre)
        missing = [number for number in range(CLIPS_PER_GENRE) if (genre, number) not in counts]
        lines.append(f"{genre:<9}  {num_clips:>5}  {_ranges(missing) or '-'}")
    return "\n".join(lines)


def _problems(counts: Counter[_Clip]) -> list[str]:
    """Returns a text for each kind of problem, with the clips that have it."""
    expected = {(genre, number) for genre in GENRES for number in range(CLIPS_PER_GENRE)}
    problems = {
        "missing": expected - set(counts),
        "present more than once": {clip for clip, count in counts.items() if count > 1},
        "unknown": set(counts) - expected,
    }
    return [f"{counted(len(clips), 'clip')} {problem} ({_some(clips)})" for problem, clips in problems.items() if clips]


def _some(clips: Iterable[_Clip]) -> str:
    names = [f"{genre}.{number:05d}" for genre, number in sorted(clips)]
    shown = ", ".join(names[:_MAX_NAMED])
    return f"{shown} and {len(names) - _MAX_NAMED} more" if len(names) > _MAX_NAMED else shown


def _ranges(numbers: list[int]) -> str:
    """Returns numbers in ascending order as text, e.g. "00003, 00010-00099"."""
    ranges: list[list[int]] = []
    for number in numbers:
        if ranges and number == ranges[-1][-1] + 1:
            ranges[-1] = [ranges[-1][0], number]
        else:
            ranges.append([number])
    return ", ".join("-".join(f"{number:05d}" for number in part) for part in ranges)
