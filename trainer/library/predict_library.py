"""`beamtune predict output=…`: the genres of many files as one table, in this process or by Apache Beam."""

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from beam_pipelines.common.bucket_writes import forget_writes_below
from beam_pipelines.common.errors import RunFailedError
from beam_pipelines.common.lease import Lease, holding
from beam_pipelines.common.lease_owner import check_lease_owner
from beam_pipelines.common.paths import is_local, is_utf8
from beam_pipelines.common.progress import ProgressReporter, RateLimit, polling, progress_interval_s
from beam_pipelines.common.terminal import kept_from_earlier
from trainer.common import files
from trainer.evaluation.confidence import check_min_confidence
from trainer.evaluation.config import PredictConfig
from trainer.evaluation.exported_model import ExportedModel
from trainer.evaluation.inference import Inference
from trainer.evaluation.open_model import open_model
from trainer.evaluation.predict import Tally, num_threads_of, report_file, result_of
from trainer.evaluation.prediction_writers import Failure, Prediction, as_json, from_json
from trainer.evaluation.score_files import score_files
from trainer.library.parts import Part, PartsDir, make_parts, part_name, require_same_settings
from trainer.library.tables import extend_table, files_of, table_of

# A part of what this process predicts is written after so many files, or so long: what a kill may lose.
_FILES_IN_PART = 200
_SECONDS_IN_PART = 30.0
# Parts that a worker predicts one after the other, so that no worker is idle at the end for long.
_PARTS_A_WORKER = 4
FAILED_ENDING = ".failed.jsonl"

# Predicts parts, on several machines or not.
RunParts = Callable[[Sequence[Part], Callable[[Part], str]], None]


def predict_library(
    run_dir: str,
    paths: Sequence[str],
    *,
    config: PredictConfig,
    run_parts: RunParts | None = None,
) -> int:
    """Writes the predictions for files to a table, or adds those that it does not hold yet, and prints a summary.

    Finished files are kept in parts beside the table until all are done, so that the same command continues after an
    interruption. Files that fail are listed beside the table, and tried again by the next command.

    Args:
        run_dir: The run or the export.
        paths: Audio files, local or gs://, each once.
        config: The settings, with `output`.
        run_parts: Predicts parts by Apache Beam; None is this process.

    Returns:
        The number of files that could not be read.

    Raises:
        UserError: There is no such run or export, the table is damaged, or was begun with other settings.
        RunFailedError: The model is damaged, the disk is full, or Beam failed.
    """
    output = str(config.output)
    model = open_model(run_dir, batch_size=config.batch_size)
    check_min_confidence(config.min_confidence, labels=model.labels)
    parts_dir = PartsDir(output)
    with _naming_output(output), holding(parts_dir.path, key="output") as lease:
        require_same_settings(output, _settings(model, config))
        in_table = files_of(output, table=table_of(output, has_timeline=config.timeline))
        done = in_table.union(found.file for found in _rows(parts_dir) if isinstance(found, Prediction))
        missing = [path for path in paths if path not in done]
        num_kept = len(paths) - len(missing)
        with ProgressReporter("predicting", total=len(paths), unit="files") as progress:
            if num_kept:
                progress.log(kept_from_earlier(num_kept, len(paths), "file"))
            if run_parts is None:
                _predict_here(missing, model=model, parts_dir=parts_dir, config=config, lease=lease, progress=progress)
            elif missing:
                work = PredictPart(run_dir, config, lease_owner=lease.owner)
                parts = _plan(missing, parts_dir=parts_dir, config=config)
                with _watching(parts, parts_dir=parts_dir, num_kept=num_kept, progress=progress):
                    run_parts(parts, work)
        lease.check()
        tally = _join(parts_dir, in_table=in_table, wanted=set(missing), config=config)
        parts_dir.remove()
    parts_dir.remove_folder()
    kept = f", {num_kept} kept from earlier" if num_kept else ""
    print(f"{tally.summary()}{kept}: {output}")
    if tally.num_failed:
        print(f"{output}{FAILED_ENDING} has the reasons; the same command tries these files again")
    return tally.num_failed


@contextmanager
def _naming_output(output: str) -> Iterator[None]:
    """Says of an error of the disk, such as that it is full, what to do. Audio that cannot be read raises none."""
    try:
        yield
    except files.FileError as error:
        if not is_local(output):
            raise
        raise RunFailedError(
            f"output={output} cannot be written: {error.strerror}; finished parts are kept: the same command continues"
        ) from error


def _settings(model: Inference | ExportedModel, config: PredictConfig) -> dict[str, Any]:
    """Returns what the rows of a table depend on."""
    return {
        "model": model.weights_hash(),
        "labels": list(model.labels),
        "top_k": config.top_k,
        "min_confidence": config.min_confidence,
        "timeline": config.timeline,
        "embeddings": config.embeddings,
    }


def _rows(parts_dir: PartsDir) -> Iterator[Prediction | Failure]:
    return map(from_json, parts_dir.rows())


def _predict_here(
    paths: Sequence[str],
    *,
    model: Inference | ExportedModel,
    parts_dir: PartsDir,
    config: PredictConfig,
    lease: Lease,
    progress: ProgressReporter,
) -> None:
    """Predicts files in this process, and writes a part from time to time, and when it is interrupted."""
    rows: list[dict[str, Any]] = []
    index, due = parts_dir.next_index(), RateLimit(_SECONDS_IN_PART, is_due_at_once=False)
    num_kept, tally = progress.total - len(paths), Tally()
    try:
        for found in _results(paths, model=model, config=config, progress=progress):
            rows.append(as_json(found))
            tally = tally.add(found)
            progress.update(completed=num_kept + tally.num_files, details=tally.rate)
            if len(rows) == _FILES_IN_PART or due.is_due():
                lease.check()
                parts_dir.write(index, rows)
                index, rows = index + 1, []
    finally:
        if rows:
            lease.check()
            parts_dir.write(index, rows)


def _results(
    paths: Sequence[str], *, model: Inference | ExportedModel, config: PredictConfig, progress: ProgressReporter | None
) -> Iterator[Prediction | Failure]:
    """Yields the result for each file, in the order of the paths."""
    named = [path for path in paths if is_utf8(path)]
    for path in paths:
        if not is_utf8(path):
            message = "its name is not UTF-8, and a table has no other names: rename it"
            yield Failure(file=path.encode(errors="backslashreplace").decode(), reason="name", message=message)
    scored = score_files(named, model=model, num_threads=num_threads_of(config), with_embedding=config.embeddings)
    for one in scored:
        if progress is not None:
            report_file(one, progress=progress)
        yield result_of(one, labels=model.labels, config=config)


def _plan(paths: Sequence[str], *, parts_dir: PartsDir, config: PredictConfig) -> list[Part]:
    num_workers = 1 if config.runner is None else config.runner.num_slots()
    size = min(_FILES_IN_PART, max(1, len(paths) // (num_workers * _PARTS_A_WORKER)))
    return make_parts(paths, first_index=parts_dir.next_index(), size=size)


@dataclass(frozen=True)
class PredictPart:
    """Predicts a part on a worker and writes it. Workers get it by pickle.

    Attributes:
        run_dir: The run or the export.
        config: The settings, with `output`.
        lease_owner: The command that started the work.
    """

    run_dir: str
    config: PredictConfig
    lease_owner: str | None

    def __call__(self, part: Part) -> str:
        """Returns the name of the part."""
        parts_dir = PartsDir(str(self.config.output))
        forget_writes_below(parts_dir.path)  # another worker may have written the part since this one did
        model = _model_of_process(self.run_dir, self.config.batch_size)
        # A runner has a thread for each part that a machine predicts at the same time.
        config = replace(self.config, num_threads=1)
        rows = [as_json(found) for found in _results(part.paths, model=model, config=config, progress=None)]
        check_lease_owner(parts_dir.path, self.lease_owner)
        parts_dir.write(part.index, rows)
        return f"part {part.index}"


_model_lock = threading.Lock()


def _model_of_process(run_dir: str, batch_size: int) -> Inference | ExportedModel:
    """Returns the model, which the threads of a worker share."""
    with _model_lock:
        return _cached_model(run_dir, batch_size)


@cache
def _cached_model(run_dir: str, batch_size: int) -> Inference | ExportedModel:
    return open_model(run_dir, batch_size=batch_size)


@contextmanager
def _watching(
    parts: Sequence[Part], *, parts_dir: PartsDir, num_kept: int, progress: ProgressReporter
) -> Iterator[None]:
    """Shows how many files are in finished parts while workers write these."""
    sizes = {part_name(part.index): len(part.paths) for part in parts}

    def show() -> None:
        finished = [sizes.get(name, 0) for name in parts_dir.names()]
        progress.update(completed=num_kept + sum(finished))

    with polling(show, interval_s=progress_interval_s(parts_dir.path)):
        yield


def _join(parts_dir: PartsDir, *, in_table: set[str], wanted: set[str], config: PredictConfig) -> Tally:
    """Adds the parts to the table, and lists the files that failed; returns the numbers of the files of this command.

    A file that is in the table already, because an earlier command ended just then, is not added again.
    """
    tally, written = Tally(), set(in_table)
    failures: dict[str, Failure] = {}

    def new() -> Iterator[Prediction]:
        nonlocal tally
        for found in _rows(parts_dir):
            if isinstance(found, Failure):
                failures[found.file] = found
            elif found.file not in written:
                written.add(found.file)
                tally = tally.add(found) if found.file in wanted else tally
                yield found

    table = table_of(str(config.output), has_timeline=config.timeline)
    extend_table(str(config.output), new(), table=table, temporary=parts_dir.joined)
    failed = [failure for failure in failures.values() if failure.file not in written]
    path = f"{config.output}{FAILED_ENDING}"
    if failed:
        files.write_text(path, "".join(f"{json.dumps(as_json(failure))}\n" for failure in failed))
    elif files.exists(path):
        files.remove(path)
    for failure in failed:
        tally = tally.add(failure)
    return tally
