"""The output of `beamtune predict` in its formats, written file by file, so that an interruption loses nothing."""

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TextIO

from beam_pipelines.common.output_streams import visible_line
from beam_pipelines.common.terminal import json_text
from trainer.evaluation.confidence import UNKNOWN


@dataclass(frozen=True)
class Prediction:
    """The prediction for a file.

    Attributes:
        file: The path from the command line.
        duration_s: Duration of the audio.
        num_segments: Segments whose probabilities were averaged.
        label: The most probable genre, or "unknown" if it is not probable enough.
        genres: The most probable genres and their probabilities, the most probable first.
    """

    file: str
    duration_s: float
    num_segments: int
    label: str
    genres: tuple[tuple[str, float], ...]


class PredictionWriter(Protocol):
    """A format: the text before, for each, and after the predictions. Each text is whole lines, except in JSON."""

    def start(self) -> str:
        """Returns what is before the first prediction."""

    def add(self, prediction: Prediction) -> str:
        """Returns the text of the next prediction."""

    def finish(self) -> str:
        """Returns what is behind the last prediction."""


class TableWriter:
    """A line for each file. The columns are as wide as the longest path and the longest genre.

    If labels can be "unknown", they are in the second column; otherwise the first genre is the label.
    """

    def __init__(self, stream: TextIO, *, paths: Sequence[str], labels: Sequence[str], has_unknown: bool) -> None:
        self._has_unknown = has_unknown
        self._path_width = max((len(visible_line(path)) for path in paths), default=0)
        self._label_width = max(len(visible_line(label)) for label in (*labels, UNKNOWN))
        self._genre_width = max((len(visible_line(label)) for label in labels), default=0) + len(" 0.000")

    def start(self) -> str:
        return ""

    def add(self, prediction: Prediction) -> str:
        label = [visible_line(prediction.label).ljust(self._label_width)] if self._has_unknown else []
        cells = [
            f"{visible_line(genre)} {probability:.3f}".rjust(self._genre_width)
            for genre, probability in prediction.genres
        ]
        return "  ".join([visible_line(prediction.file).ljust(self._path_width), *label, *cells]) + "\n"

    def finish(self) -> str:
        return ""


class CsvWriter:
    """A header, and a row for each file and genre. The label is in all rows of a file."""

    def __init__(self, stream: TextIO, *, paths: Sequence[str], labels: Sequence[str], has_unknown: bool) -> None:
        pass

    def start(self) -> str:
        return _csv_rows([["file", "rank", "genre", "probability", "label"]])

    def add(self, prediction: Prediction) -> str:
        return _csv_rows(
            [
                [prediction.file, rank, genre, f"{probability:.6f}", prediction.label]
                for rank, (genre, probability) in enumerate(prediction.genres, start=1)
            ]
        )

    def finish(self) -> str:
        return ""


class JsonWriter:
    """A list with an object for each file."""

    def __init__(self, stream: TextIO, *, paths: Sequence[str], labels: Sequence[str], has_unknown: bool) -> None:
        self._stream = stream
        self._is_empty = True

    def start(self) -> str:
        return ""

    def add(self, prediction: Prediction) -> str:
        content = {
            "file": prediction.file,
            "duration_s": prediction.duration_s,
            "num_segments": prediction.num_segments,
            "label": prediction.label,
            "genres": [{"genre": genre, "probability": probability} for genre, probability in prediction.genres],
        }
        before, self._is_empty = "[\n" if self._is_empty else ",\n", False
        # As in a list that is written at once: the end of a line is never part of a string in JSON.
        return before + "\n".join(f"  {line}" for line in json_text(content, stream=self._stream, indent=2).split("\n"))

    def finish(self) -> str:
        return "[]\n" if self._is_empty else "\n]\n"


def _csv_rows(rows: Sequence[Sequence[object]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


WRITERS: Mapping[str, Callable[..., PredictionWriter]] = {"table": TableWriter, "json": JsonWriter, "csv": CsvWriter}
