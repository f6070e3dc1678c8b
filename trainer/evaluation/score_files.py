"""The probabilities of many files: decoded in threads, and by the network in batches that are filled across files."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beam_pipelines.features.frontend import AudioError, Clip, Segment
from trainer.common.read_ahead import read_ahead
from trainer.evaluation.exported_model import ExportedModel
from trainer.evaluation.inference import Inference, SegmentValues, values_of_clip


@dataclass(frozen=True, eq=False)
class ScoredFile:
    """What a model finds in one file.

    Attributes:
        path: The file as it was given.
        scores: The probabilities of the genres, calibrated if the run is.
        embedding: (values,) float32, the mean of the segments' embeddings; None if it is not asked for.
    """

    path: str
    scores: SegmentValues
    embedding: NDArray[np.float32] | None


@dataclass(frozen=True)
class FailedFile:
    """A file that cannot be predicted.

    Attributes:
        path: The file as it was given.
        error: The reason: its `reason` is a short name to count by, its `message` a sentence.
    """

    path: str
    error: AudioError


def score_files(
    paths: Iterable[str], *, model: Inference | ExportedModel, num_threads: int, with_embedding: bool = False
) -> Iterator[ScoredFile | FailedFile]:
    """Yields the result for each file, in the order of the paths, when its last batch is computed.

    Memory is bounded by the batch and the number of threads. A file that is longer than `audio.max_duration_s` of the
    prepared data is read in windows, at its turn.

    Args:
        paths: Audio files, local or gs://; taken when a thread needs the next one.
        model: A run, whose network takes batches across files; or an export, whose graph takes one file at a time.
        num_threads: Files that are decoded at the same time.
        with_embedding: Whether to return embeddings.
    """
    if isinstance(model, ExportedModel):
        score = model.score_and_embed if with_embedding else lambda path: (model.score(path), None)
        for _, result in read_ahead(paths, partial(_score_or_fail, score), num_threads=num_threads):
            yield result
        return
    batches = _Batches(model, with_embedding=with_embedding)
    try:
        for path, clip in read_ahead(paths, partial(_read_or_fail, model), num_threads=num_threads):
            batches.add(path, clip)
            yield from batches.take_finished()
    except Exception:
        # What is read before an error that ends the work is not lost.
        yield from batches.finish()
        raise
    yield from batches.finish()


@dataclass
class _File:
    """A file that waits for its batches, or for its turn."""

    path: str
    clip: Clip | None = None
    values: list[NDArray[Any]] = field(default_factory=list)
    num_missing: int = 0
    result: ScoredFile | FailedFile | None = None


class _Batches:
    """Segments of several files that wait for a full batch, and the files in the order in which they are added."""

    def __init__(self, model: Inference, *, with_embedding: bool) -> None:
        self._model = model
        self._with_embedding = with_embedding
        self._files: deque[_File] = deque()
        self._segments: deque[tuple[_File, Segment]] = deque()

    def add(self, path: str, clip: Clip | FailedFile | None) -> None:
        """Adds a file; None stands for one that is read in windows."""
        file = _File(path)
        self._files.append(file)
        if isinstance(clip, FailedFile):
            file.result = clip
        elif clip is None:
            file.result = _score_or_fail(partial(self._model.score_long, with_embedding=self._with_embedding), path)
        else:
            file.clip, file.num_missing = clip, len(clip.segments)
            self._segments.extend((file, segment) for segment in clip.segments)
            while len(self._segments) >= self._model.batch_size:
                self._compute()

    def take_finished(self) -> Iterator[ScoredFile | FailedFile]:
        """Yields the results before the first file that still waits."""
        while self._files and (result := self._files[0].result) is not None:
            self._files.popleft()
            yield result

    def finish(self) -> Iterator[ScoredFile | FailedFile]:
        """Computes what waits, and yields all results."""
        while self._segments:
            self._compute()
        yield from self.take_finished()

    def _compute(self) -> None:
        batch = [self._segments.popleft() for _ in range(min(self._model.batch_size, len(self._segments)))]
        try:
            values = self._model.compute([segment for _, segment in batch], with_embedding=self._with_embedding)
        except AudioError as error:
            for file, _ in batch:
                file.result = FailedFile(file.path, error)
            return
        for file, rows in _by_file([file for file, _ in batch], values):
            file.values.append(rows)
            file.num_missing -= len(rows)
            # A file of which an earlier batch failed has its result already.
            if file.num_missing == 0 and file.result is None and file.clip is not None:
                scores, embedding = self._model.result(values_of_clip(file.clip, file.values))
                file.result = ScoredFile(file.path, scores, embedding)


def _by_file(files: Sequence[_File], values: NDArray[Any]) -> Iterator[tuple[_File, NDArray[Any]]]:
    """Yields each file of a batch with its rows of the values. Segments of a file are next to each other."""
    start = 0
    for index in range(1, len(files) + 1):
        if index == len(files) or files[index] is not files[start]:
            yield files[start], values[start:index]
            start = index


def _read_or_fail(model: Inference, path: str) -> Clip | FailedFile | None:
    try:
        return model.read_short(path)
    except AudioError as error:
        return FailedFile(path, _light(error))


def _score_or_fail(
    score: Callable[[str], tuple[SegmentValues, NDArray[np.float32] | None]], path: str
) -> ScoredFile | FailedFile:
    try:
        return ScoredFile(path, *score(path))
    except AudioError as error:
        return FailedFile(path, _light(error))


def _light(error: AudioError) -> AudioError:
    """Returns an error without its traceback, which would keep the content of a file in memory."""
    return AudioError(error.reason, error.message, stage=error.stage)
