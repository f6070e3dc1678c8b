"""The parts of a table of predictions: files of JSON lines that are each written once, and what they hold already."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from beam_pipelines.common.errors import UserError
from beam_pipelines.common.paths import is_local
from trainer.common import files

_PARTS_ENDING = ".parts"
_SETTINGS_ENDING = ".settings.json"
_PART_BEGINNING, _PART_ENDING = "part-", ".jsonl"
_JOINED = f"{_PART_BEGINNING}joined.tmp"


@dataclass(frozen=True)
class Part:
    """Files that one worker predicts.

    Attributes:
        index: The number of the part; parts are joined in this order.
        paths: The audio files.
    """

    index: int
    paths: tuple[str, ...]


class PartsDir:
    """The folder beside a table, in which its parts are until they are joined. Local or gs://."""

    def __init__(self, output: str) -> None:
        self.output = output
        self.path = f"{output}{_PARTS_ENDING}"
        # Where the parts become a table. What a killed process leaves of it is replaced or removed with the parts.
        self.joined = files.join(self.path, _JOINED)

    def names(self) -> list[str]:
        """Returns the names of the finished parts, in their order."""
        return sorted(name for name in files.list_if_exists(self.path) if name.endswith(_PART_ENDING))

    def write(self, index: int, rows: Sequence[Mapping[str, Any]]) -> None:
        """Writes a part, so that a reader finds all of it or none."""
        lines = "".join(f"{json.dumps(row)}\n" for row in rows)
        files.write_text(files.join(self.path, part_name(index)), lines)

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yields the rows of all finished parts.

        Raises:
            UserError: A part is damaged.
        """
        for path in self._paths():
            try:
                yield from map(json.loads, files.read_text(path).splitlines())
            except (*files.READ_ERRORS, ValueError) as error:
                raise UserError(f"{path} is damaged ({error!r}): delete it, and run the same command again") from error

    def next_index(self) -> int:
        """Returns a number that is larger than those of all finished parts."""
        names = self.names()
        return int(names[-1].removeprefix(_PART_BEGINNING).removesuffix(_PART_ENDING)) + 1 if names else 0

    def remove(self) -> None:
        """Removes the parts, also those that a killed process has begun."""
        for name in files.list_if_exists(self.path):
            if name.startswith(_PART_BEGINNING):
                files.remove(files.join(self.path, name))

    def remove_folder(self) -> None:
        """Removes the local folder, unless another command has begun to use it; a bucket has none."""
        if is_local(self.path):
            with suppress(OSError):
                os.rmdir(self.path)

    def _paths(self) -> list[str]:
        return [files.join(self.path, name) for name in self.names()]


def part_name(index: int) -> str:
    """Returns the name of the file of a part; sorted, names are in the order of the numbers up to a million."""
    return f"{_PART_BEGINNING}{index:06d}{_PART_ENDING}"


def make_parts(paths: Sequence[str], *, first_index: int, size: int) -> list[Part]:
    """Cuts a list of files into parts of at most `size`."""
    starts = range(0, len(paths), size)
    return [Part(first_index + number, tuple(paths[start : start + size])) for number, start in enumerate(starts)]


def require_same_settings(output: str, settings: Mapping[str, Any]) -> None:
    """Checks that a table is continued with the settings that it was begun with, which are written beside it.

    Raises:
        UserError: A setting is another one, or it is not known with which settings what is there was begun.
    """
    path = f"{output}{_SETTINGS_ENDING}"
    if not files.exists(path):
        if files.exists(output):
            raise UserError(f"output={output} exists and was not written by beamtune predict: choose another output")
        if PartsDir(output).names():
            raise UserError(f"{path} is missing: delete the folder {output}{_PARTS_ENDING}, which cannot be continued")
        files.write_text(path, json.dumps(settings, indent=2) + "\n")
        return
    try:
        found = dict(json.loads(files.read_text(path)))
    except (*files.READ_ERRORS, ValueError, TypeError) as error:
        raise UserError(f"{path} is damaged ({error!r}): choose another output") from error
    changed = [key for key in settings if found.get(key) != settings[key]]
    if changed:
        others = ", ".join(f"{key}={found.get(key)} (now {settings[key]})" for key in changed)
        raise UserError(
            f"output={output} was begun with {others}: choose another output, or delete {output}, {path} and "
            f"{output}{_PARTS_ENDING}, as far as they exist"
        )
