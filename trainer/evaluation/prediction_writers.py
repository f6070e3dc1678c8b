"""The output of `beamtune predict` in its formats, written file by file, so that an interruption loses nothing."""

import csv
import io
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol, TextIO

from beam_pipelines.common.output_streams import visible_line
from beam_pipelines.common.terminal import is_terminal, json_text, make_console
from trainer.evaluation.confidence import UNKNOWN


@dataclass(frozen=True)
class SegmentGenre:
    """The most probable genre of one segment.

    Attributes:
        start_s: Where the segment starts, in seconds.
        genre: The genre.
        probability: Its probability.
    """

    start_s: float
    genre: str
    probability: float


@dataclass(frozen=True)
class Prediction:
    """The prediction for a file.

    Attributes:
        file: The path from the command line.
        duration_s: Duration of the audio.
        num_segments: Segments whose probabilities were averaged.
        label: The most probable genre, or "unknown" if it is not probable enough.
        genres: The most probable genres and their probabilities, the most probable first.
        timeline: The genre of each segment; None if it is not asked for.
        embedding: The mean of the segments' embeddings; None if it is not asked for.
    """

    file: str
    duration_s: float
    num_segments: int
    label: str
    genres: tuple[tuple[str, float], ...]
    timeline: tuple[SegmentGenre, ...] | None = None
    embedding: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Failure:
    """A file that cannot be predicted.

    Attributes:
        file: The path from the command line.
        reason: A short name to count by.
        message: A sentence.
    """

    file: str
    reason: str
    message: str


def as_json(found: Prediction | Failure) -> dict[str, Any]:
    """Returns the object of a file in JSON."""
    if isinstance(found, Failure):
        return {"file": found.file, "error": {"reason": found.reason, "message": found.message}}
    content = {
        "file": found.file,
        "duration_s": found.duration_s,
        "num_segments": found.num_segments,
        "label": found.label,
        "genres": [{"genre": genre, "probability": probability} for genre, probability in found.genres],
    }
    if found.timeline is not None:
        content["timeline"] = [asdict(segment) for segment in found.timeline]
    if found.embedding is not None:
        content["embedding"] = list(found.embedding)
    return content


def from_json(content: Mapping[str, Any]) -> Prediction | Failure:
    """Returns the prediction or the failure in an object of `as_json`.

    Raises:
        KeyError: An entry is missing; also a TypeError, for an entry of another type.
    """
    if "error" in content:
        return Failure(file=content["file"], **content["error"])
    timeline, embedding = content.get("timeline"), content.get("embedding")
    return Prediction(
        file=content["file"],
        duration_s=content["duration_s"],
        num_segments=content["num_segments"],
        label=content["label"],
        genres=tuple((one["genre"], one["probability"]) for one in content["genres"]),
        timeline=None if timeline is None else tuple(SegmentGenre(**one) for one in timeline),
        embedding=None if embedding is None else tuple(embedding),
    )


class PredictionWriter(Protocol):
    """A format: the text before, for each, and after the predictions. Each text is whole lines, except in JSON."""

    def start(self) -> str:
        """Returns what is before the first prediction."""

    def add(self, found: Prediction | Failure) -> str:
        """Returns the text of the next file; nothing for a failure in a format that has no place for it."""

    def finish(self) -> str:
        """Returns what is behind the last prediction."""


class TableWriter:
    """A line for each file. The columns are as wide as the longest path and the longest genre.

    If labels can be "unknown", they are in the second column; otherwise the first genre is the label. A timeline
    follows in lines of its own, in which neighbouring segments of one genre are one. On a terminal that is too narrow
    for both, the genres of a file are below its path.
    """

    def __init__(
        self, *, paths: Sequence[str], labels: Sequence[str], has_unknown: bool, num_genres: int, width: int | None
    ) -> None:
        self._has_unknown = has_unknown
        self._path_width = max((len(visible_line(path)) for path in paths), default=0)
        self._label_width = max(len(visible_line(label)) for label in (*labels, UNKNOWN))
        self._genre_width = max((len(visible_line(label)) for label in labels), default=0) + len(" 0.000")
        columns = [self._path_width, *[self._label_width] * has_unknown, *[self._genre_width] * num_genres]
        self._is_below = width is not None and sum(columns) + 2 * (len(columns) - 1) > width

    def start(self) -> str:
        return ""

    def add(self, found: Prediction | Failure) -> str:
        if isinstance(found, Failure):
            return ""
        label = [visible_line(found.label).ljust(self._label_width)] if self._has_unknown else []
        cells = [
            f"{visible_line(genre)} {probability:.3f}".rjust(self._genre_width) for genre, probability in found.genres
        ]
        path = visible_line(found.file)
        first = f"{path}\n" if self._is_below else path.ljust(self._path_width)
        line = "  ".join([first, *label, *cells]) + "\n"
        return line + "".join(map(_span_line, merged_timeline(found.timeline or ())))

    def finish(self) -> str:
        return ""


def merged_timeline(timeline: Sequence[SegmentGenre]) -> list[SegmentGenre]:
    """Returns a timeline with neighbouring segments of one genre as one, with the mean of their probabilities."""
    groups = [list(group) for _, group in itertools.groupby(timeline, key=lambda segment: segment.genre)]
    return [
        replace(group[0], probability=sum(segment.probability for segment in group) / len(group)) for group in groups
    ]


def _span_line(span: SegmentGenre) -> str:
    minutes, seconds = divmod(int(span.start_s), 60)
    hours, minutes = divmod(minutes, 60)
    return f"  from {hours}:{minutes:02d}:{seconds:02d}  {visible_line(span.genre)} {span.probability:.3f}\n"


class CsvWriter:
    """A header, and a row for each file and genre. The label is in all rows of a file."""

    def start(self) -> str:
        return _csv_rows([["file", "rank", "genre", "probability", "label"]])

    def add(self, found: Prediction | Failure) -> str:
        if isinstance(found, Failure):
            return ""
        return _csv_rows(
            [
                [found.file, rank, genre, f"{probability:.6f}", found.label]
                for rank, (genre, probability) in enumerate(found.genres, start=1)
            ]
        )

    def finish(self) -> str:
        return ""


class TimelineCsvWriter:
    """A header, and a row for each segment of each file."""

    def start(self) -> str:
        return _csv_rows([["file", "start_s", "genre", "probability", "label"]])

    def add(self, found: Prediction | Failure) -> str:
        if isinstance(found, Failure):
            return ""
        return _csv_rows(
            [
                [found.file, f"{segment.start_s:g}", segment.genre, f"{segment.probability:.6f}", found.label]
                for segment in found.timeline or ()
            ]
        )

    def finish(self) -> str:
        return ""


class JsonWriter:
    """A list with an object for each file."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._is_empty = True

    def start(self) -> str:
        return ""

    def add(self, found: Prediction | Failure) -> str:
        before, self._is_empty = "[\n" if self._is_empty else ",\n", False
        text = json_text(as_json(found), stream=self._stream, indent=2)
        # As in a list that is written at once: the end of a line is never part of a string in JSON.
        return before + "\n".join(f"  {line}" for line in text.split("\n"))

    def finish(self) -> str:
        return "[]\n" if self._is_empty else "\n]\n"


class JsonLinesWriter:
    """An object in a line for each file."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def start(self) -> str:
        return ""

    def add(self, found: Prediction | Failure) -> str:
        return json_text(as_json(found), stream=self._stream) + "\n"

    def finish(self) -> str:
        return ""


def _csv_rows(rows: Sequence[Sequence[object]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def make_writer(
    output_format: str,
    stream: TextIO,
    *,
    paths: Sequence[str],
    labels: Sequence[str],
    has_unknown: bool,
    has_timeline: bool,
    num_genres: int,
) -> PredictionWriter:
    """Returns the writer of a format.

    Args:
        output_format: "table", "json", "jsonl" or "csv".
        stream: Where the text will be written.
        paths: All files that will be predicted.
        labels: The genres.
        has_unknown: Whether labels can be "unknown".
        has_timeline: Whether predictions have a timeline.
        num_genres: How many genres of a file are shown.
    """
    if output_format == "json":
        return JsonWriter(stream)
    if output_format == "jsonl":
        return JsonLinesWriter(stream)
    if output_format == "csv":
        return TimelineCsvWriter() if has_timeline else CsvWriter()
    width = make_console(stream).width if is_terminal(stream) else None
    return TableWriter(
        paths=paths, labels=labels, has_unknown=has_unknown, num_genres=min(num_genres, len(labels)), width=width
    )
