"""`beamtune predict`: the most probable genres of audio files."""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from beam_pipelines.audio.choose_decoder import is_partial
from beam_pipelines.common.output_streams import reader_is_gone
from beam_pipelines.common.progress import ProgressReporter
from beam_pipelines.common.terminal import counted, stdout
from trainer.evaluation.confidence import UNKNOWN, check_min_confidence, label_of
from trainer.evaluation.config import PredictConfig
from trainer.evaluation.exported_model import ExportedModel
from trainer.evaluation.inference import Inference, SegmentValues
from trainer.evaluation.open_model import open_model
from trainer.evaluation.prediction_writers import Failure, Prediction, SegmentGenre, make_writer
from trainer.evaluation.score_files import FailedFile, ScoredFile, score_files


def predict(run_dir: str, paths: Sequence[str], *, config: PredictConfig, output_format: str) -> int:
    """Prints the top genres of each file on standard output, and a line on standard error for each that failed.

    A file that is damaged or cut short is predicted from what can be decoded; a line on standard error says so.
    A file's result is printed as soon as its last batch is computed. A list in JSON is closed whatever ends the work.

    Args:
        run_dir: The run or the export, which needs no other files.
        paths: Audio files, local or gs://, of any length.
        config: The settings; `output` and `runner` are not used.
        output_format: "table", "json", "jsonl" or "csv".

    Returns:
        The number of files that could not be read.

    Raises:
        UserError: There is no such run or export, the run has no checkpoint yet, the export is not complete, or
            `min_confidence` cannot be used with its genres.
        RunFailedError: A checkpoint or a saved model is damaged.
    """
    model = open_model(run_dir, batch_size=config.batch_size)
    check_min_confidence(config.min_confidence, labels=model.labels)
    # Before the bar starts: on a terminal, Rich then replaces sys.stdout.
    stream = stdout()
    writer = make_writer(
        output_format,
        stream,
        paths=paths,
        labels=model.labels,
        has_unknown=config.min_confidence > 0,
        has_timeline=config.timeline,
        num_genres=config.top_k,
    )
    tally = Tally()
    with ProgressReporter("predicting", total=len(paths), unit="files") as progress:
        progress.print_result(writer.start(), stream=stream)
        scored = score_files(paths, model=model, num_threads=num_threads_of(config), with_embedding=config.embeddings)
        try:
            for one in scored:
                found = result_of(one, labels=model.labels, config=config)
                tally = tally.add(found)
                report_file(one, progress=progress)
                progress.update(completed=tally.num_files, details=tally.rate if len(paths) > 1 else "")
                progress.print_result(writer.add(found), stream=stream)
                if reader_is_gone(stream):
                    break
        finally:
            progress.print_result(writer.finish(), stream=stream)
            if tally.num_files > 1:
                progress.log(tally.summary())
    return tally.num_failed


def num_threads_of(config: PredictConfig) -> int:
    """Returns the number of files that are decoded at the same time."""
    return config.num_threads or len(os.sched_getaffinity(0))


def result_of(scored: ScoredFile | FailedFile, *, labels: Sequence[str], config: PredictConfig) -> Prediction | Failure:
    """Returns what is printed and written about a file.

    Args:
        scored: What the model found.
        labels: The genres, in the order of the probabilities.
        config: The number of genres, the confidence that a label needs, and what else is asked for.
    """
    if isinstance(scored, FailedFile):
        return Failure(file=scored.path, reason=scored.error.reason, message=scored.error.message)
    return _prediction(scored, labels=labels, config=config)


def _prediction(scored: ScoredFile, *, labels: Sequence[str], config: PredictConfig) -> Prediction:
    scores = scored.scores
    top = np.argsort(-scores.mean, kind="stable")[: config.top_k]
    return Prediction(
        file=scored.path,
        duration_s=scores.duration_s,
        num_segments=len(scores.starts_s),
        label=label_of(scores.mean, labels, min_confidence=config.min_confidence),
        genres=tuple((labels[index], float(scores.mean[index])) for index in top),
        timeline=_timeline(scores, labels) if config.timeline else None,
        # The shortest decimal numbers that are read as the same float32.
        embedding=None if scored.embedding is None else tuple(float(f"{value:.9g}") for value in scored.embedding),
    )


def _timeline(scores: SegmentValues, labels: Sequence[str]) -> tuple[SegmentGenre, ...]:
    top = scores.values.argmax(axis=1)
    return tuple(
        SegmentGenre(start_s=float(start_s), genre=labels[index], probability=float(row[index]))
        for start_s, index, row in zip(scores.starts_s, top, scores.values, strict=True)
    )


def report_file(scored: ScoredFile | FailedFile, *, progress: ProgressReporter) -> None:
    """Prints a line on standard error about a file that failed, or is damaged."""
    if isinstance(scored, FailedFile):
        progress.log(f"error: {scored.path}: {scored.error.message}")
    elif is_partial(scored.scores.duration_s, scored.scores.expected_s):
        progress.log(
            f"note: {scored.path}: {scored.scores.duration_s:.2f} of {scored.scores.expected_s:.2f} s can be decoded; "
            "the rest is damaged or missing"
        )


@dataclass(frozen=True)
class Tally:
    """The numbers of files since the start.

    Attributes:
        num_done: Files with a prediction.
        num_unknown: Those of them whose label is "unknown".
        num_failed: Files that could not be read.
        started_s: When the work began, in seconds of `time.monotonic`.
    """

    num_done: int = 0
    num_unknown: int = 0
    num_failed: int = 0
    started_s: float = field(default_factory=time.monotonic)

    @property
    def num_files(self) -> int:
        """The number of all files."""
        return self.num_done + self.num_failed

    @property
    def rate(self) -> str:
        """The files per second since the start, in words."""
        return f"{self.num_files / max(time.monotonic() - self.started_s, 1e-3):.1f} files/s"

    def add(self, found: Prediction | Failure) -> "Tally":
        """Returns the numbers with one more file."""
        if isinstance(found, Failure):
            return replace(self, num_failed=self.num_failed + 1)
        return replace(self, num_done=self.num_done + 1, num_unknown=self.num_unknown + (found.label == UNKNOWN))

    def summary(self) -> str:
        """Returns the numbers in words."""
        unknown = f" ({self.num_unknown} unknown)" if self.num_unknown else ""
        return f"{counted(self.num_files, 'file')}: {self.num_done} predicted{unknown}, {self.num_failed} failed"


def predict_file(
    path: str, *, model: Inference | ExportedModel, config: PredictConfig, progress: ProgressReporter
) -> Prediction:
    """Returns the prediction for one file, and prints a note where only a part of it can be decoded.

    Raises:
        AudioError: The file cannot be read or decoded, or is silent.
    """
    scored = ScoredFile(path, model.score(path), None)
    report_file(scored, progress=progress)
    return _prediction(scored, labels=model.labels, config=config)
