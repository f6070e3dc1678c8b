"""The files of an unfinished preparation, in the folder `.build` of the output directory.

    <output_dir>/.build/scratch/         temporary files, renamed when they are complete
    <output_dir>/.build/fingerprints/    the acoustic fingerprints of each finished shard's tracks
    <output_dir>/.build/reports/         a report for each finished shard, which a later run does not build again
    <output_dir>/.build/progress/        the progress of each shard, where the runner does not report Beam's counters
    <output_dir>/.build/resolution.json  how duplicates are handled, written after the search

The folder is deleted when the data set is finished.
"""

import io
import json
import os
import posixpath
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import BinaryIO

import numpy as np

from beam_pipelines.common import storage
from beam_pipelines.common.errors import UserError
from beam_pipelines.common.paths import is_local
from beam_pipelines.prepare.plan import ShardPlan
from beam_pipelines.prepare.shard import BuiltShard
from beam_pipelines.prepare.shard_report import ShardReport
from beam_pipelines.records.record_index import BYTES_PER_RECORD, encode_index
from beam_pipelines.records.schema import BUILD_FOLDER, DATASET_INFO_FILE, index_filename
from beam_pipelines.runners.work_progress import WorkProgress
from beam_pipelines.splits.acoustic_fingerprint import Codes
from beam_pipelines.splits.resolve_duplicates import Resolution


@dataclass(frozen=True)
class BuildDir:
    """The build folder of one output directory.

    Attributes:
        output_dir: The prepared data set's directory.
    """

    output_dir: str

    @property
    def path(self) -> str:
        return storage.join(self.output_dir, BUILD_FOLDER)

    @property
    def scratch_dir(self) -> str:
        return storage.join(self.path, "scratch")

    @property
    def progress_dir(self) -> str:
        return storage.join(self.path, "progress")

    def exists(self) -> bool:
        """Returns whether an unfinished run has left the folder."""
        return storage.exists(self.path) or bool(storage.list_files(self.path))

    def write_text(self, filename: str, pieces: Iterable[str]) -> None:
        """Writes a file of the output directory atomically; the pieces are its text in order."""
        path = storage.join(self.output_dir, filename)

        def write(file: BinaryIO) -> None:
            for piece in pieces:
                file.write(piece.encode())

        storage.write_atomically(path, write=write, scratch_dir=self.scratch_dir)

    def write_bytes(self, filename: str, data: bytes) -> None:
        """Writes a file of the output directory, or of a folder in it, atomically."""
        path = storage.join(self.output_dir, filename)
        storage.make_folder(posixpath.dirname(path))
        self._write_bytes(path, data)

    def write_shard(self, filename: str, write: Callable[[BinaryIO], None]) -> None:
        """Writes a shard atomically."""
        path = storage.join(self.output_dir, filename)
        storage.write_atomically(path, write=write, scratch_dir=self.scratch_dir)

    def write_results(self, built: BuiltShard) -> None:
        """Writes the index and the results of a shard, after its file: they mark it as finished."""
        report = built.report
        index_path = storage.join(self.output_dir, index_filename(report.filename))
        self._write_bytes(index_path, encode_index(built.record_ends))
        if built.acoustic_fingerprints:
            buffer = io.BytesIO()
            np.savez(
                buffer,
                codes=np.concatenate(built.acoustic_fingerprints),
                lengths=np.array([len(codes) for codes in built.acoustic_fingerprints]),
            )
            self._write_bytes(self._acoustic_fingerprints_path(report.filename), buffer.getvalue())
        else:  # those of an earlier plan would be taken for those of this one
            storage.delete_files([self._acoustic_fingerprints_path(report.filename)])
        # The report is written last: a shard with a report is complete.
        self._write(self._report_path(report.filename), report.to_json())

    def read_acoustic_fingerprints(self, filename: str) -> list[Codes]:
        """Returns the acoustic fingerprint of each track of a finished shard, in the order of its report."""
        path = self._acoustic_fingerprints_path(filename)
        try:
            content = storage.read_bytes(path)
        except FileNotFoundError:
            return []
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            return np.split(arrays["codes"], np.cumsum(arrays["lengths"])[:-1])

    def write_resolution(self, resolution: Resolution, *, cache_key: str) -> None:
        """Writes how duplicates are handled."""
        self._write(self._resolution_path, resolution.to_json(cache_key=cache_key))

    def read_resolution(self, *, cache_key: str) -> Resolution | None:
        """Returns the resolution of a preparation with this cache key, or None if there is none."""
        if not storage.exists(self._resolution_path):
            return None
        return Resolution.from_json(storage.read_text(self._resolution_path), cache_key=cache_key)

    def finished_reports(
        self, plans: Sequence[ShardPlan], *, needs_fingerprints: bool = False
    ) -> dict[str, ShardReport]:
        """Returns the reports of the shards that are finished and built from the same plans, by file name.

        Args:
            plans: The shards.
            needs_fingerprints: Whether a shard without the acoustic fingerprints of its tracks counts as not finished.
        """
        sizes_bytes = {entry.path: entry.size_bytes for entry in storage.list_files(self.output_dir)}
        reports = {}
        for plan in plans:
            if self._report_path(plan.filename) not in sizes_bytes:
                continue
            report = ShardReport.from_json(storage.read_text(self._report_path(plan.filename)))
            expected_bytes = {
                plan.filename: report.num_bytes,
                index_filename(plan.filename): report.num_examples * BYTES_PER_RECORD,
            }
            is_current = report.cache_key == plan.cache_key and all(
                sizes_bytes.get(storage.join(self.output_dir, name)) == size for name, size in expected_bytes.items()
            )
            if needs_fingerprints and report.tracks:
                is_current = is_current and self._acoustic_fingerprints_path(plan.filename) in sizes_bytes
            if is_current:
                reports[plan.filename] = report
        return reports

    def write_progress(self, filename: str, progress: WorkProgress) -> None:
        """Writes the progress of a shard."""
        self._write(storage.join(self.progress_dir, f"{filename}.json"), json.dumps(asdict(progress)))

    def start(self, *, keep_shards: Sequence[str]) -> None:
        """Deletes the files of an earlier run, except the reports of the shards to keep."""
        storage.delete_folder(self.scratch_dir)
        storage.delete_folder(self.progress_dir)
        kept_reports = {f"{filename}.json" for filename in keep_shards}
        reports_dir = storage.join(self.path, "reports")
        reports = [entry.path for entry in storage.list_files(reports_dir)]
        storage.delete_files([path for path in reports if path.rsplit("/", 1)[-1] not in kept_reports])
        for folder in (self.scratch_dir, self.progress_dir, reports_dir, storage.join(self.path, "fingerprints")):
            storage.make_folder(folder)

    def forget_unexpected_rejects(self) -> None:
        """Deletes the reports of shards with an unexpected error, so that the shards are built again.

        The cause, e.g. too little memory, may be gone. Duplicates are then searched again.
        """
        paths = [entry.path for entry in storage.list_files(storage.join(self.path, "reports"))]
        stale = [path for path in paths if ShardReport.from_json(storage.read_text(path)).has_unexpected_rejects]
        if stale:
            storage.delete_files([self._resolution_path, *stale])

    def remove(self) -> None:
        """Removes the build folder."""
        storage.delete_folder(self.path)

    @property
    def _resolution_path(self) -> str:
        return storage.join(self.path, "resolution.json")

    def _acoustic_fingerprints_path(self, filename: str) -> str:
        return storage.join(self.path, "fingerprints", f"{filename}.npz")

    def _report_path(self, filename: str) -> str:
        return storage.join(self.path, "reports", f"{filename}.json")

    def _write(self, path: str, text: str) -> None:
        storage.write_text_atomically(path, text, scratch_dir=self.scratch_dir)

    def _write_bytes(self, path: str, data: bytes) -> None:
        storage.write_atomically(path, write=lambda file: storage.write_all(file, data), scratch_dir=self.scratch_dir)


class ProgressReader:
    """Reads the progress of shards repeatedly; that of a finished shard is read once."""

    def __init__(self, build_dir: BuildDir, plans: Sequence[ShardPlan]) -> None:
        self._folder = build_dir.progress_dir
        self._num_tracks = {f"{plan.filename}.json": len(plan.tracks) for plan in plans}
        self._known: dict[str, WorkProgress] = {}

    def read(self) -> WorkProgress:
        """Returns the total progress of all shards."""
        for entry in storage.list_files(self._folder):
            name = entry.path.rsplit("/", 1)[-1]
            known = self._known.get(name)
            if known is None or known.num_done < self._num_tracks.get(name, 0):
                self._known[name] = WorkProgress(**json.loads(storage.read_text(entry.path)))
        return sum(self._known.values(), WorkProgress())


def check_is_in_no_other(output_dir: str) -> None:
    """Raises a UserError if a local folder lies in a prepared data set, whose files would be listed with its own."""
    folder = os.path.dirname(os.path.abspath(output_dir.rstrip("/"))) if is_local(output_dir) else "/"
    while folder != os.path.dirname(folder):
        if os.path.exists(os.path.join(folder, DATASET_INFO_FILE)):
            raise UserError(
                f"output_dir={output_dir} lies in the prepared data set {folder}: choose a folder beside it"
            )
        folder = os.path.dirname(folder)
