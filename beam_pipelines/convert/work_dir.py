"""The output directory of a conversion, and its files while the conversion runs.

    <output_dir>/convert.yaml               the settings, from the start
    <output_dir>/.convert/scratch/          temporary files, renamed when they are complete
    <output_dir>/.convert/kept.jsonl        files that earlier runs have converted
    <output_dir>/.convert/reports/          a report for each batch, updated after every file (in a bucket: every 10 s)
    <output_dir>/{converted,rejects}.jsonl  all reports merged, at the end; .convert is then deleted

A file is reported before it is renamed. One without a report, as after an interruption in a bucket, is converted again.
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

import yaml

from beam_pipelines.common import storage
from beam_pipelines.common.errors import UserError
from beam_pipelines.common.lease import LEASE_FILES
from beam_pipelines.convert.conversions import ConvertPlan
from beam_pipelines.convert.reports import (
    ConvertedFile,
    Report,
    converted_from_json_lines,
    converted_to_json_lines,
    rejects_to_json_lines,
)

WORK_FOLDER = ".convert"
SETTINGS_FILE = "convert.yaml"
CONVERTED_FILE = "converted.jsonl"
REJECTS_FILE = "rejects.jsonl"
_KEPT_FILE = "kept.jsonl"

_COPY_BYTES = 1 << 20


@dataclass(frozen=True)
class WorkDir:
    """One output directory, local or gs://."""

    output_dir: str

    @property
    def path(self) -> str:
        return storage.join(self.output_dir, WORK_FOLDER)

    @property
    def scratch_dir(self) -> str:
        return storage.join(self.path, "scratch")

    @property
    def reports_dir(self) -> str:
        return storage.join(self.path, "reports")

    def list_outputs(self) -> dict[str, float]:
        """Returns the modification time of each file in the output directory, by its path there."""
        files = {
            relative_path(entry.path, self.output_dir): entry.updated_s for entry in storage.list_files(self.output_dir)
        }
        return {
            path: updated_s
            for path, updated_s in files.items()
            if not path.startswith(f"{WORK_FOLDER}/") and path not in LEASE_FILES
        }

    def read_settings(self) -> Mapping[str, Any] | None:
        """Returns the settings of the conversion in the directory, or None.

        Raises:
            UserError: They cannot be read.
        """
        path = storage.join(self.output_dir, SETTINGS_FILE)
        if not storage.exists(path):
            return None
        try:
            settings = yaml.safe_load(storage.read_text(path))
        except (yaml.YAMLError, UnicodeDecodeError):
            settings = None
        if not isinstance(settings, dict):
            raise UserError(f"{path} does not hold the settings of a conversion: choose another output_dir")
        return settings

    def read_converted(self) -> list[ConvertedFile]:
        """Returns the files that earlier runs have converted, finished or interrupted."""
        paths = [storage.join(self.output_dir, CONVERTED_FILE), storage.join(self.path, _KEPT_FILE)]
        earlier = [
            Report(converted=converted_from_json_lines(storage.read_text(path)))
            for path in paths
            if storage.exists(path)
        ]
        return list(Report.merge([*earlier, *ReportReader(self).read()]).converted)

    def start(self, plan: ConvertPlan, *, settings: Mapping[str, Any]) -> None:
        """Prepares the directory: writes the list of kept files, then deletes stale ones."""
        storage.delete_folder(self.scratch_dir)
        for folder in (self.scratch_dir, self.reports_dir):
            storage.make_folder(folder)
        self._write_text(storage.join(self.path, _KEPT_FILE), converted_to_json_lines(plan.kept))
        storage.delete_files([entry.path for entry in storage.list_files(self.reports_dir)])
        stale = (CONVERTED_FILE, REJECTS_FILE, *plan.stale)
        storage.delete_files([storage.join(self.output_dir, name) for name in stale])
        text = yaml.safe_dump(dict(settings), sort_keys=False, allow_unicode=True)
        self._write_text(storage.join(self.output_dir, SETTINGS_FILE), text)

    def write_report(self, batch_name: str, report: Report) -> None:
        """Writes the report of a batch so far."""
        self._write_text(storage.join(self.reports_dir, f"{batch_name}.json"), report.to_json())

    def write_output(self, name: str, content: BinaryIO) -> None:
        """Writes a converted file atomically, and creates its folders."""
        path = storage.join(self.output_dir, name)
        storage.make_folder(path.rpartition("/")[0])
        storage.write_atomically(
            path,
            write=lambda sink: shutil.copyfileobj(content, sink, _COPY_BYTES),
            scratch_dir=self.scratch_dir,
        )

    def finish(self, report: Report) -> None:
        """Writes `rejects.jsonl`, then `converted.jsonl` if any file was converted; deletes the work folder."""
        self._write_text(storage.join(self.output_dir, REJECTS_FILE), rejects_to_json_lines(report.rejects))
        if report.converted:
            text = converted_to_json_lines(report.converted)
            self._write_text(storage.join(self.output_dir, CONVERTED_FILE), text)
        storage.delete_folder(self.path)

    def _write_text(self, path: str, text: str) -> None:
        storage.write_text_atomically(path, text, scratch_dir=self.scratch_dir)


class ReportReader:
    """Reads the reports of a run repeatedly. A report only grows, and is read again when its size has changed."""

    def __init__(self, work_dir: WorkDir) -> None:
        self._work_dir = work_dir
        self._known: dict[str, tuple[int, Report]] = {}

    def read(self) -> list[Report]:
        """Returns the report of each batch so far."""
        entries = storage.list_files(self._work_dir.reports_dir)
        for entry in entries:
            if entry.path not in self._known or self._known[entry.path][0] != entry.size_bytes:
                self._known[entry.path] = (entry.size_bytes, Report.from_json(storage.read_text(entry.path)))
        return [self._known[entry.path][1] for entry in entries]


def relative_path(path: str, folder: str) -> str:
    """Returns the path of a file relative to a folder that contains it."""
    return path[len(folder.rstrip("/")) :].lstrip("/")
