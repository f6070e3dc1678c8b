"""The output of each source file, and the files that remain to be converted."""

import os
import posixpath
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from beam_pipelines.convert.reports import ConvertedFile, RejectedFile

# The limit of local file systems. The extension of the output may be longer than that of the source.
_MAX_NAME_BYTES = 255
_MAX_BATCH_FILES = 32
# So that workers finish at about the same time.
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
    """A file to convert, and the path of its output in the output directory."""

    source: SourceFile
    output: str


@dataclass(frozen=True)
class Batch:
    """Files that one worker converts, one after the other.

    Attributes:
        name: Unique among the batches of a run.
    """

    name: str
    conversions: Sequence[Conversion]


@dataclass(frozen=True)
class ConvertPlan:
    """The work of one run.

    Attributes:
        missing: Files to convert.
        kept: Files that earlier runs have converted, including those whose source was deleted since.
        rejects: Files that cannot be converted because of their names.
        stale: Outputs of earlier runs to delete, by their paths in the output directory.
    """

    missing: Sequence[Conversion]
    kept: Sequence[ConvertedFile]
    rejects: Sequence[RejectedFile]
    stale: Sequence[str]

    @property
    def num_files(self) -> int:
        """The number of files in the report."""
        return len(self.missing) + len(self.kept) + len(self.rejects)


def make_plan(
    sources: Sequence[SourceFile],
    *,
    extension: str,
    converted: Sequence[ConvertedFile],
    outputs: Mapping[str, float],
) -> ConvertPlan:
    """Plans a run that resumes an earlier one.

    An output is kept if its source has the same path and size and is not newer. Outputs whose source was deleted are
    kept too: they may be the only copy.

    Args:
        sources: The files of the source folder.
        extension: The extension of the outputs, e.g. "wav".
        converted: What earlier runs have converted, with the same settings.
        outputs: The modification time of each file in the output directory, in seconds since 1970, by its path there.
    """
    names = name_outputs([source.path for source in sources], extension=extension)
    records = {record.source: record for record in converted if record.output in outputs}
    planned = set(names.values())
    folders = _folders_of(planned)
    missing, kept, rejects = [], [], []
    for source in sources:
        output, record = names[source.path], records.pop(source.path, None)
        problem = _name_problem(output, folders=folders)
        if problem is not None:
            rejects.append(RejectedFile(path=source.path, stage="name", reason="unwritable_name", message=problem))
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


def name_outputs(paths: Sequence[str], *, extension: str) -> dict[str, str]:
    """Returns the output of each file: a/b.mp3 → a/b.wav, or a/b.mp3.wav if several files would become a/b.wav.

    Names that differ only in case, or in the normal form of accents, count as equal, as on many file systems.

    Args:
        paths: Paths in the source folder.
        extension: The new extension, without its dot.
    """
    whole: set[str] = set()  # paths whose output name contains the old extension
    while True:
        names = {path: f"{path if path in whole else posixpath.splitext(path)[0]}.{extension}" for path in paths}
        counts = Counter(_normalized(name) for name in names.values())
        counts.update(_normalized(folder) for folder in _folders_of(set(names.values())))
        colliding = {path for path, name in names.items() if counts[_normalized(name)] > 1} - whole
        if not colliding:
            return names
        whole |= colliding


def make_batches(conversions: Sequence[Conversion], *, num_workers: int) -> list[Batch]:
    """Divides files into batches of at most 32 files, several for each worker."""
    size = min(max(len(conversions) // (num_workers * _BATCHES_PER_WORKER), 1), _MAX_BATCH_FILES)
    return [
        Batch(name=f"{start:08d}", conversions=conversions[start : start + size])
        for start in range(0, len(conversions), size)
    ]


def _is_current(record: ConvertedFile, source: SourceFile, *, output: str, written_s: float) -> bool:
    return record.output == output and record.source_bytes == source.size_bytes and source.updated_s <= written_s


def _name_problem(output: str, *, folders: set[str]) -> str | None:
    """Returns why a file of this name cannot be written, as a sentence; None if it can."""
    num_bytes = len(os.fsencode(posixpath.basename(output)))
    if num_bytes > _MAX_NAME_BYTES:
        return f"the name of {output} has {num_bytes} bytes: expected at most {_MAX_NAME_BYTES}"
    if output in folders:
        return f"{output} would have to be a file and a folder"
    return None


def _folders_of(paths: set[str]) -> set[str]:
    """Returns all parent folders of the paths."""
    folders: set[str] = set()
    for path in paths:
        while (path := posixpath.dirname(path)) and path not in folders:
            folders.add(path)
    return folders


def _normalized(path: str) -> str:
    return unicodedata.normalize("NFC", path).casefold()
