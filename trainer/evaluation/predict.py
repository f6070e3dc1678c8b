"""`beamtune predict`: the most probable genres of audio files."""

import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from beam_pipelines.common.progress import ProgressReporter
from beam_pipelines.features.frontend import AudioError
from trainer.evaluation.config import PredictConfig
from trainer.evaluation.inference import Inference


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
    inference = Inference(run_dir, batch_size=config.batch_size)
    with ProgressReporter("predicting", total=len(paths), unit="files") as progress:
        predictions = list(_predict_files(paths, inference=inference, top_k=config.top_k, progress=progress))
    print(_FORMATTERS[output_format](predictions), end="")
    return len(paths) - len(predictions)


def _predict_files(
    paths: Sequence[str], *, inference: Inference, top_k: int, progress: ProgressReporter
) -> Iterator[Prediction]:
    for num_done, path in enumerate(paths, start=1):
        try:
            clip = inference.read(path)
            probabilities = inference.score(clip).mean
        except AudioError as error:
            progress.log(f"error: {path}: {error.message}")
        else:
            top = np.argsort(-probabilities, kind="stable")[:top_k]
            yield Prediction(
                file=path,
                duration_s=clip.audio.duration_s,
                num_segments=len(clip.segments),
                genres=tuple((inference.labels[index], float(probabilities[index])) for index in top),
            )
        progress.update(completed=num_done)


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
