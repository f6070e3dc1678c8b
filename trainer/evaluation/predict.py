"""`beamtune predict`: the most probable genres of audio files."""

from collections.abc import Iterator, Sequence

import numpy as np

from beam_pipelines.audio.choose_decoder import is_partial
from beam_pipelines.common.output_streams import reader_is_gone
from beam_pipelines.common.progress import ProgressReporter
from beam_pipelines.common.terminal import stdout
from beam_pipelines.features.frontend import AudioError
from trainer.evaluation.confidence import check_min_confidence, label_of
from trainer.evaluation.config import PredictConfig
from trainer.evaluation.exported_model import ExportedModel
from trainer.evaluation.inference import Inference
from trainer.evaluation.open_model import open_model
from trainer.evaluation.prediction_writers import WRITERS, Prediction


def predict(run_dir: str, paths: Sequence[str], *, config: PredictConfig, output_format: str) -> int:
    """Prints the top genres of each file on standard output, and a line on standard error for each that failed.

    A file that is damaged or cut short is predicted from what can be decoded; a line on standard error says so.
    A file's result is printed before the next file is read. A list in JSON is closed whatever ends the work.

    Args:
        run_dir: The run or the export, which needs no other files.
        paths: Audio files, local or gs://, of any length.
        config: Batch size, number of genres, and the confidence that a label needs.
        output_format: "table", "json" or "csv".

    Returns:
        The number of files that could not be read.

    Raises:
        UserError: There is no such run or export, the run has no checkpoint yet, the export is not complete, or
            `min_confidence` cannot be used with its genres.
        RunFailedError: A checkpoint or a saved model is damaged.
    """
    inference = open_model(run_dir, batch_size=config.batch_size)
    check_min_confidence(config.min_confidence, labels=inference.labels)
    # Before the bar starts: on a terminal, Rich then replaces sys.stdout.
    stream = stdout()
    writer = WRITERS[output_format](stream, paths=paths, labels=inference.labels, has_unknown=config.min_confidence > 0)
    num_failed = 0
    with ProgressReporter("predicting", total=len(paths), unit="files") as progress:
        progress.print_result(writer.start(), stream=stream)
        try:
            for prediction in _predict_files(paths, inference=inference, config=config, progress=progress):
                if prediction is None:
                    num_failed += 1
                    continue
                progress.print_result(writer.add(prediction), stream=stream)
                if reader_is_gone(stream):
                    break
        finally:
            progress.print_result(writer.finish(), stream=stream)
    return num_failed


def _predict_files(
    paths: Sequence[str], *, inference: Inference | ExportedModel, config: PredictConfig, progress: ProgressReporter
) -> Iterator[Prediction | None]:
    """Yields the prediction for each file, or None where it cannot be read."""
    for num_done, path in enumerate(paths, start=1):
        try:
            yield predict_file(path, inference=inference, config=config, progress=progress)
        except AudioError as error:
            progress.log(f"error: {path}: {error.message}")
            yield None
        progress.update(completed=num_done)


def predict_file(
    path: str, *, inference: Inference | ExportedModel, config: PredictConfig, progress: ProgressReporter
) -> Prediction:
    """Returns the prediction for a file, and logs a note where only a part of it can be decoded.

    Raises:
        AudioError: The file cannot be read or decoded, or is silent.
    """
    scores = inference.score(path)
    if is_partial(scores.duration_s, scores.expected_s):
        progress.log(
            f"note: {path}: {scores.duration_s:.2f} of {scores.expected_s:.2f} s can be decoded; the rest is damaged "
            "or missing"
        )
    top = np.argsort(-scores.mean, kind="stable")[: config.top_k]
    return Prediction(
        file=path,
        duration_s=scores.duration_s,
        num_segments=len(scores.starts_s),
        label=label_of(scores.mean, inference.labels, min_confidence=config.min_confidence),
        genres=tuple((inference.labels[index], float(scores.mean[index])) for index in top),
    )
