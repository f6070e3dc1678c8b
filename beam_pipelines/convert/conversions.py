"""Which file becomes which, and which of them are still to be converted."""

import os
import posixpath
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from beam_pipelines.convert.reports import ConvertedFile, RejectedFile

# What local file systems take; the name of a source may be as long, but have a shorter ending.
_MAX_NAME_BYTES = 255
_MAX_BATCH_FILES = 32
# So that no worker is left with a long batch while the others have nothing to do.
_BATCHES_PER_WORKER = 4


@dataclass(frozen=True)
class SourceFile:
    """A file of the source folder.

    Attributes:
        path: Its path in the source folder.
        uri: Its full path.
        size_bytes: Its size.
        updated_s: When it was last written, in seconds since 1970.
    """

    path: str
    uri: str
    size_bytes: int
    updated_s: float


@dataclass(frozen=True)
class Conversion:
    """One file to convert, and the path of what is to be made of it, in the output directory."""

    source: SourceFile
    output: str


@dataclass(frozen=True)
class Batch:
    """Files that one worker converts, one after the other.

    Attributes:
        name: A name of its own among the batches of a run.
    """

    name: str
    conversions: Sequence[Conversion]


@dataclass(frozen=True)
class ConvertPlan:
    """What is to do, and what is not.

    Attributes:
        missing: Files to convert.
        kept: Files that earlier runs have converted, those included whose source has gone since.
        rejects: Files that cannot be converted because of their names.
        stale: Files of earlier runs, by their paths in the output directory, that are not to stay as they are.
    """

    missing: Sequence[Conversion]
    kept: Sequence[ConvertedFile]
    rejects: Sequence[RejectedFile]
    stale: Sequence[str]

    @property
    def num_files(self) -> int:
        """How many files there are to report on."""
        return len(self.missing) + len(self.kept) + len(self.rejects)


def make_plan(
    sources: Sequence[SourceFile],
    *,
    ending: str,
    converted: Sequence[ConvertedFile],
    outputs: Mapping[str, float],
) -> ConvertPlan:
    """Finds out what an earlier run has left to do.

    A file is kept as it is if it was made from a source of the same path and size that is not newer. Files whose
    source has gone are kept too: they may be all that is left of it.

    Args:
        sources: The files of the source folder.
        ending: The ending of the files to make, e.g. "wav".
        converted: What earlier runs have converted, with the same settings.
        outputs: The files in the output directory: when each was written, in seconds since 1970, by its path there.
    """
    names = name_outputs([source.path for source in sources], ending=ending)
    records = {record.source: record for record in converted if record.output in outputs}
    planned = set(names.values())
    folders = _folders_of(planned)
    missing, kept, rejects = [], [], []
    for source in sources:
        output, record = names[source.path], records.pop(source.path, None)
        why_not = _why_not_a_name(output, folders=folders)
        if why_not is not None:
            rejects.append(RejectedFile(path=source.path, stage="name", reason="unwritable_name", message=why_not))
        elif record is not None and _is_current(record, source, output=output, written_s=outputs[record.output]):
            kept.append(record)
        else:
            missing.append(Conversion(source=source, output=output))
    kept += [record for record in records.values() if record.output not in planned]
    kept_outputs = {record.output for record in kept}
    stale = {record.output for record in converted} | {conversion.output for conversion in missing}
    return ConvertPlan(
        missing=missing,
        kept=sorted(kept, key=lambda record: record.source),
        rejects=rejects,
        stale=sorted(output for output in stale if output in outputs and output not in kept_outputs),
    )


def name_outputs(paths: Sequence[str], *, ending: str) -> dict[str, str]:
    """Returns what each file becomes: a/b.mp3 → a/b.wav, and a/b.mp3.wav where others would become a/b.wav too.

    Names that only differ in case, or in how their accents are written, count as the same: they are on many systems.

    Args:
        paths: Paths in the source folder.
        ending: The new ending, without its dot.
    """
    whole: set[str] = set()  # those that keep their old ending in the new name
    while True:
        names = {path: f"{path if path in whole else posixpath.splitext(path)[0]}.{ending}" for path in paths}
        counts = Counter(_as_compared(name) for name in names.values())
        counts.update(_as_compared(folder) for folder in _folders_of(set(names.values())))
        colliding = {path for path, name in names.items() if counts[_as_compared(name)] > 1} - whole
        if not colliding:
            return names
        whole |= colliding


def make_batches(conversions: Sequence[Conversion], *, num_workers: int) -> list[Batch]:
    """Divides files into batches, small enough for all workers to have some."""
    size = min(max(len(conversions) // (num_workers * _BATCHES_PER_WORKER), 1), _MAX_BATCH_FILES)
    return [
        Batch(name=f"{start:08d}", conversions=conversions[start : start + size])
        for start in range(0, len(conversions), size)
    ]


def _is_current(record: ConvertedFile, source: SourceFile, *, output: str, written_s: float) -> bool:
    return record.output == output and record.source_bytes == source.size_bytes and source.updated_s <= written_s


def _why_not_a_name(output: str, *, folders: set[str]) -> str | None:
    """Returns why no file can be written under a name, for a person; None where one can."""
    num_bytes = len(os.fsencode(posixpath.basename(output)))
    if num_bytes > _MAX_NAME_BYTES:
        return f"the name of {output} has {num_bytes} bytes: expected at most {_MAX_NAME_BYTES}"
    if output in folders:
        return f"{output} would have to be a file and a folder"
    return None


def _folders_of(paths: set[str]) -> set[str]:
    """Returns all folders on the way to files."""
    folders: set[str] = set()
    for path in paths:
        while (path := posixpath.dirname(path)) and path not in folders:
            folders.add(path)
    return folders


def _as_compared(path: str) -> str:
    return unicodedata.normalize("NFC", path).casefold()
