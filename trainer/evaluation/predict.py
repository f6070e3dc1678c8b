"""`beamtune predict`: the most probable genres of audio files."""

import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from beam_pipelines.common.progress import ProgressReporter
from beam_pipelines.features.frontend import AudioError, FrontEnd, Segment
from trainer.common import files
from trainer.devices.config import StrategyConfig
from trainer.devices.strategy import make_strategy
from trainer.evaluation.config import PredictConfig
from trainer.metrics.metrics import softmax
from trainer.runs.restored_model import load_best_model
from trainer.runs.run_dir import RunDir


@dataclass(frozen=True)
class Prediction:
    """The prediction for a file.

    Attributes:
        file: The path from the command line.
        duration_s: Duration of the audio.
        num_segments: Segments whose probabilities were averaged.
        genres: The most probable genres and their probabilities, the most probable first.
    """

    file: str
    duration_s: float
    num_segments: int
    genres: tuple[tuple[str, float], ...]


def predict(run_dir: str, paths: Sequence[str], *, config: PredictConfig, output_format: str) -> int:
    """Prints the top genres of each file on standard output, and a line on standard error for each that failed.

    A file that is damaged or cut short is predicted from what can be decoded; a line on standard error says so.

    Args:
        run_dir: The run, which needs no other files.
        paths: Audio files, local or gs://, of any length.
        config: Batch size and number of genres.
        output_format: "table", "json" or "csv".

    Returns:
        The number of files that could not be read.

    Raises:
        UserError: There is no such run, or it has no checkpoint yet.
        RunFailedError: The checkpoint is damaged.
    """
    run = RunDir(run_dir)
    model = load_best_model(run, strategy=make_strategy(StrategyConfig()))
    front_end = run.prepare_yaml().front_end()
    labels = run.dataset().labels
    with ProgressReporter("predicting", total=len(paths), unit="files") as progress:
        predictions = list(
            _predict_files(paths, model=model, front_end=front_end, labels=labels, config=config, progress=progress)
        )
    print(_FORMATTERS[output_format](predictions), end="")
    return len(paths) - len(predictions)


def _predict_files(
    paths: Sequence[str],
    *,
    model: keras.Model,
    front_end: FrontEnd,
    labels: Sequence[str],
    config: PredictConfig,
    progress: ProgressReporter,
) -> Iterator[Prediction]:
    for num_done, path in enumerate(paths, start=1):
        try:
            clip = front_end.process(io.BytesIO(files.read_bytes(path)), whole=True)
        except AudioError as error:
            progress.log(f"error: {path}: {error.message}")
        except files.FileError as error:
            progress.log(f"error: {path}: cannot be read: {error.message}")
        else:
            if clip.audio.is_partial:
                progress.log(
                    f"note: {path}: {clip.audio.decoded_s:.2f} of {clip.audio.expected_s:.2f} s can be decoded; the "
                    "rest is damaged or missing"
                )
            probabilities = _mean_probabilities(clip.segments, model=model, batch_size=config.batch_size)
            top = np.argsort(-probabilities, kind="stable")[: config.top_k]
            yield Prediction(
                file=path,
                duration_s=clip.audio.duration_s,
                num_segments=len(clip.segments),
                genres=tuple((labels[index], float(probabilities[index])) for index in top),
            )
        progress.update(completed=num_done)


def _mean_probabilities(segments: Sequence[Segment], *, model: keras.Model, batch_size: int) -> NDArray[Any]:
    """Returns the mean probabilities over the segments, (classes,). Padded batches need one trace only."""
    probability_sum = np.zeros(model.output_shape[-1])
    for start in range(0, len(segments), batch_size):
        batch = segments[start : start + batch_size]
        logits = model.predict_on_batch(_stack(batch, names=model.input.keys(), batch_size=batch_size))
        probability_sum += softmax(logits[: len(batch)]).sum(axis=0)
    return probability_sum / len(segments)


def _stack(segments: Sequence[Segment], *, names: Any, batch_size: int) -> dict[str, NDArray[Any]]:
    features = {}
    for name in names:
        stacked = np.stack([segment.features[name] for segment in segments])
        padding = [(0, batch_size - len(segments))] + [(0, 0)] * (stacked.ndim - 1)
        features[name] = np.pad(stacked, padding)
    return features


def _format_table(predictions: Sequence[Prediction]) -> str:
    rows = [
        [prediction.file, *(f"{genre} {probability:.3f}" for genre, probability in prediction.genres)]
        for prediction in predictions
    ]
    return f"{_format_columns(rows)}\n" if rows else ""


def _format_columns(rows: Sequence[Sequence[str]]) -> str:
    """Returns rows of cells as lines: the first column is left-aligned, the others are right-aligned."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )


def _format_json(predictions: Sequence[Prediction]) -> str:
    content = [
        {
            "file": prediction.file,
            "duration_s": prediction.duration_s,
            "num_segments": prediction.num_segments,
            "genres": [{"genre": genre, "probability": probability} for genre, probability in prediction.genres],
        }
        for prediction in predictions
    ]
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def _format_csv(predictions: Sequence[Prediction]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["file", "rank", "genre", "probability"])
    for prediction in predictions:
        for rank, (genre, probability) in enumerate(prediction.genres, start=1):
            writer.writerow([prediction.file, rank, genre, f"{probability:.6f}"])
    return text.getvalue()


_FORMATTERS = {"table": _format_table, "json": _format_json, "csv": _format_csv}
