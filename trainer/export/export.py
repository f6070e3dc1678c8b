"""`beamtune export`: a finished run → a folder with a model that other software runs, checked against `predict`."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import TextIO

import tensorflow as tf

from beam_pipelines.common.errors import RunFailedError, UserError
from beam_pipelines.common.lease import LEASE_FILES, holding
from beam_pipelines.common.package_builds import beamtune_version
from beam_pipelines.common.paths import check_apart, is_in_bucket
from beam_pipelines.common.tables import TextTable
from beam_pipelines.common.terminal import counted, make_console, print_line
from trainer.common import files
from trainer.evaluation.export_files import REPORT_FILE, SIGNATURE_FILE
from trainer.export import checks, segment_formats, texts
from trainer.export.accuracy import AccuracyChange, accuracy_change
from trainer.export.checks import FormatRun, Outputs
from trainer.export.config import (
    DIFFERENCE_FACTORS,
    KERAS,
    SAVED_MODEL,
    SAVED_MODEL_BYTES,
    SEGMENT_FORMATS,
    ExportConfig,
)
from trainer.export.reference_clips import NUM_SYNTHETIC, ReferenceClip, reference_clips
from trainer.export.saved_model import SERVE_BYTES, write_saved_model, write_saved_model_bytes
from trainer.export.served_bytes import why_not_decoded
from trainer.export.source import ExportSource, open_source
from trainer.metrics.intervals import clopper_pearson
from trainer.metrics.score_tables import score_text
from trainer.model_card.model_card import CARD_FILE
from trainer.runs.run_dir import METRICS_FILE

# In output_dir, until the export is complete and its checks pass.
_WORK_DIR = ".beamtune-export"
# What the formats that are one file contain too.
_ATTACHED_FILES = (SIGNATURE_FILE, texts.LABELS_FILE, texts.LICENSE_FILE)
# All that an export may have besides the report. The first without the report is of one that was interrupted.
_FILES = (
    *(SIGNATURE_FILE, texts.LABELS_FILE, texts.LICENSE_FILE, CARD_FILE, METRICS_FILE, texts.EXAMPLE_FILE),
    *(texts.EXAMPLE_BYTES_FILE, texts.VERTEX_DIR, *texts.PATHS.values()),
)


def export(run_dir: str, config: ExportConfig, *, stream: TextIO) -> None:
    """Writes the formats of a run and the files beside them, compares them with `predict`, and prints a table.

    The files are written to a temporary folder and get to their places when the checks pass. An export that was
    interrupted meanwhile is replaced.

    Args:
        run_dir: The run, local or gs://.
        config: The settings.
        stream: Where the table goes.

    Raises:
        UserError: There is no such finished run, a feature of its model has no graph, or the folder is not empty.
        RunFailedError: The exported model cannot be run, or differs from `predict` by more than the limit.
    """
    check_apart({"RUN": run_dir}, {"output_dir": config.output_dir})
    _check_is_empty(config.output_dir)
    source = open_source(run_dir)
    segment_formats.check_can_be_written(config.formats, source)
    with holding(config.output_dir, key="output_dir") as lease, _work_dir(config.output_dir) as work_dir:
        _check_is_empty(config.output_dir)
        formats = _formats_to_write(config.formats, stream=stream)
        _write(source, work_dir, formats=formats)
        clips = reference_clips(source.run, most=config.reference_clips)
        if len(clips) == NUM_SYNTHETIC < NUM_SYNTHETIC + config.reference_clips:
            print(
                f"note: the audio of the data of {run_dir} is not there, or has relative paths of another folder: "
                "synthetic sounds are compared",
                file=stream,
            )
        expected = checks.predict_clips(source.inference, clips)
        runs = {name: _run(name, source, work_dir, clips) for name in formats}
        changes = {
            name: accuracy_change(run.outputs, expected, clips=clips, labels=source.labels)
            for name, run in runs.items()
        }
        _print_table(runs, clips, expected, changes, stream=stream)
        _check_differences(runs, expected, limit=config.max_difference)
        report = _report(runs, clips, expected, changes, work_dir=work_dir, limit=config.max_difference)
        files.write_text(files.join(work_dir, REPORT_FILE), json.dumps(report, indent=2) + "\n")
        lease.check()
        _publish(work_dir, config.output_dir)
    print(f"exported to {config.output_dir}", file=stream)


def _formats_to_write(formats: Sequence[str], *, stream: TextIO) -> list[str]:
    """Returns formats with the saved model of encoded files, if it can be written; otherwise prints why it cannot."""
    if SAVED_MODEL not in formats:
        return [*formats]
    reason = why_not_decoded()
    if reason is None:
        return [*formats, SAVED_MODEL_BYTES]
    print(f"note: {SERVE_BYTES}, which takes mp3, FLAC and WAV files, is left out: {reason}", file=stream)
    return [*formats]


def _check_is_empty(output_dir: str) -> None:
    """Raises a UserError if a folder holds other files than those of an interrupted export."""
    names = files.list_if_exists(output_dir)
    replaced = _files_of_interrupted(names)
    others = [name for name in names if name not in (*LEASE_FILES, _WORK_DIR, *replaced)]
    if others:
        raise UserError(f"output_dir={output_dir} is not empty ({others[0]}): choose a new or empty folder")


def _files_of_interrupted(names: Sequence[str]) -> list[str]:
    """Returns those names in a folder that an export has written which was interrupted before its end."""
    is_interrupted = SIGNATURE_FILE in names and REPORT_FILE not in names
    return [name for name in _FILES if name in names] if is_interrupted else []


@contextmanager
def _work_dir(output_dir: str) -> Iterator[str]:
    """Makes a local folder for the files until they are complete, on the disk of a local output folder.

    Raises:
        UserError: A file cannot be written, there or in the folder for temporary files.
    """
    if is_in_bucket(output_dir):
        with tempfile.TemporaryDirectory(prefix="beamtune-export-") as scratch_dir:
            yield scratch_dir
        return
    path = os.path.join(output_dir, _WORK_DIR)
    shutil.rmtree(path, ignore_errors=True)  # of an interrupted export
    try:
        with files.file_errors(path):
            os.makedirs(path)
        yield path
    except files.FileError as error:
        raise UserError(f"the export to output_dir={output_dir} cannot be written: {error.message}") from error
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _write(source: ExportSource, directory: str, *, formats: list[str]) -> None:
    """Writes the formats and the files beside them."""
    for name in formats:
        path = os.path.join(directory, texts.PATHS[name])
        with files.file_errors(path):
            if name == SAVED_MODEL:
                write_saved_model(source, path)
            elif name == SAVED_MODEL_BYTES:
                write_saved_model_bytes(source, path)
            elif name == KERAS:
                source.inference.model.save(path)
    segment_paths = {name: os.path.join(directory, texts.PATHS[name]) for name in formats if name in SEGMENT_FORMATS}
    segment_formats.write_segment_formats(source, segment_paths)
    found = {
        SIGNATURE_FILE: texts.signature_json(source, formats=formats),
        texts.LABELS_FILE: "".join(f"{label}\n" for label in source.labels),
        CARD_FILE: texts.card_text(source, formats=formats),
    }
    metrics = source.run.metrics()
    if metrics is not None:
        found[METRICS_FILE] = metrics.to_json()
    license_text = texts.license_text(source)
    if license_text is not None:
        found[texts.LICENSE_FILE] = license_text
    attached = {name: found[name] for name in _ATTACHED_FILES if name in found}
    for name, path in segment_paths.items():
        segment_formats.attach_files(name, path, attached)
    found |= texts.example_files(formats)
    if SAVED_MODEL in formats:
        for name, text in texts.vertex_files(source).items():
            found[os.path.join(texts.VERTEX_DIR, name)] = text
    for name, text in found.items():
        path = os.path.join(directory, name)
        files.make_dirs(os.path.dirname(path))
        files.write_text(path, text)


def _run(name: str, source: ExportSource, directory: str, clips: Sequence[ReferenceClip]) -> FormatRun:
    path = os.path.join(directory, texts.PATHS[name])
    if name == KERAS:
        return checks.run_keras_file(path, clips, inference=source.inference)
    if name in SEGMENT_FORMATS:
        return segment_formats.run_segment_format(name, path, clips, source=source)
    if name == SAVED_MODEL_BYTES:
        return checks.run_saved_model_bytes(path, clips, labels=source.labels)
    return checks.run_saved_model(path, clips, labels=source.labels)


def _print_table(
    runs: Mapping[str, FormatRun],
    clips: Sequence[ReferenceClip],
    expected: Sequence[Outputs],
    changes: Mapping[str, AccuracyChange | None],
    *,
    stream: TextIO,
) -> None:
    console = make_console(stream)
    table = TextTable("largest difference from predict", "clip", *runs)
    for index, clip in enumerate(clips):
        cells = [_cell(run.outputs[index], expected[index]) for run in runs.values()]
        table.add_row(clip.name, *cells)
    console.print(table)
    for name, run in runs.items():
        largest = checks.largest_difference(run.outputs, expected)
        same, num_compared = checks.num_same_top(run.outputs, expected)
        line = f"{name}: at most {largest:.1e}; the same top genre for {same} of {num_compared} sounds"
        print_line(console, line + _accuracy_text(changes[name]))


def _accuracy_text(change: AccuracyChange | None) -> str:
    if change is None:
        return ""
    of_format = f"{score_text(change.of_format, change.of_format_interval)} on {counted(change.num_clips, 'clip')}"
    lost = score_text(change.lost, change.lost_interval)
    return f"; accuracy {of_format}, of predict {change.of_predict:.3f} (lost {lost}; intervals over clips)"


def _cell(found: Outputs | None, expected: Outputs) -> str:
    if found is None:
        return "not compared"
    if expected.probabilities is None and found.probabilities is None:
        return "silent in both"
    return f"{checks.probability_difference(found, expected):.1e}"


def _check_differences(runs: Mapping[str, FormatRun], expected: Sequence[Outputs], *, limit: float) -> None:
    for name, run in runs.items():
        largest, factor = checks.largest_difference(run.outputs, expected), DIFFERENCE_FACTORS.get(name, 1)
        if largest > limit * factor:
            times = "" if factor == 1 else f"{factor} times "
            raise RunFailedError(
                f"{name} differs from beamtune predict by {largest:.2e}, more than {times}max_difference={limit:g}: it "
                "is not written; a larger max_difference accepts it"
            )


def _report(
    runs: Mapping[str, FormatRun],
    clips: Sequence[ReferenceClip],
    expected: Sequence[Outputs],
    changes: Mapping[str, AccuracyChange | None],
    *,
    work_dir: str,
    limit: float,
) -> dict[str, object]:
    """Returns the content of `export.json`."""
    return {
        "beamtune_version": beamtune_version(),
        "tensorflow_version": tf.__version__,
        "max_difference": limit,
        "formats": {
            name: {
                "largest_difference": checks.largest_difference(run.outputs, expected),
                "bytes": _size_bytes(os.path.join(work_dir, texts.PATHS[name])),
                "load_s": run.load_s,
                "ms_per_clip": run.ms_per_clip,
                "same_top_genre": _share_json(*checks.num_same_top(run.outputs, expected)),
                "accuracy": None if change is None else asdict(change),
                "clips": [
                    {
                        "name": clip.name,
                        "duration_s": len(clip.samples) / clip.sample_rate_hz,
                        "sample_rate_hz": clip.sample_rate_hz,
                        "is_silent": one.probabilities is None,
                        "probability_difference": checks.probability_difference(one, other),
                        "embedding_difference": checks.embedding_difference(one, other),
                        "same_top_genre": checks.has_same_top(one, other),
                    }
                    for clip, one, other in zip(clips, run.outputs, expected, strict=True)
                    if one is not None
                ],
            }
            for (name, run), change in zip(runs.items(), changes.values(), strict=True)
        },
    }


def _share_json(num: int, of: int) -> dict[str, object] | None:
    """Returns a share of clips with its 95 % interval; None without clips."""
    if of == 0:
        return None
    return {"share": num / of, "interval": asdict(clopper_pearson(num / of, of))}


def _size_bytes(path: str) -> int:
    return sum(os.path.getsize(one) for one in _files_in(path))


def _files_in(path: str) -> Iterator[str]:
    """Yields a file, or all files in a folder."""
    if os.path.isfile(path):
        yield path
    for folder, _, names in os.walk(path):
        yield from (os.path.join(folder, name) for name in sorted(names))


def _publish(work_dir: str, output_dir: str) -> None:
    """Moves the files to their places, the report last; into a bucket they are copied.

    The signature is there as long as others are, and so tells that a folder without a report is of an export.
    """
    for name in reversed(_files_of_interrupted(files.list_if_exists(output_dir))):
        files.remove(files.join(output_dir, name))
    for name in sorted(os.listdir(work_dir), key=lambda name: (name != SIGNATURE_FILE, name == REPORT_FILE, name)):
        source = os.path.join(work_dir, name)
        if not is_in_bucket(output_dir):
            files.replace(source, os.path.join(output_dir, name))
            continue
        for path in _files_in(source):
            files.copy(path, files.join(output_dir, os.path.relpath(path, work_dir)))
