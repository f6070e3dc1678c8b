"""The best weights of a run, applied to audio: what `beamtune predict` and the Python API share."""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import keras
import numpy as np
from numpy.typing import NDArray

from beam_pipelines.audio.choose_decoder import Limits, decode
from beam_pipelines.audio.decode import AudioStream
from beam_pipelines.audio.unexpected import unexpected_errors
from beam_pipelines.audio.windows import LONGEST_FILE_S, windows
from beam_pipelines.features.frontend import AudioError, Clip, Segment
from trainer.common import files
from trainer.devices.config import StrategyConfig
from trainer.devices.strategy import make_strategy
from trainer.metrics.metrics import softmax
from trainer.models.embedding import EMBEDDINGS, embedding_network
from trainer.runs.restored_model import load_best_model
from trainer.runs.run_dir import RunDir


@dataclass(frozen=True, eq=False)
class ClipScores:
    """The predicted probabilities of one clip.

    Attributes:
        segments: (segments, genres) float64.
        mean: (genres,) float64, their mean over the segments.
    """

    segments: NDArray[np.float64]
    mean: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class FileScores:
    """The predicted probabilities of a file, without those of its segments.

    Attributes:
        mean: (genres,) float64, the mean over the segments.
        duration_s: Duration of the audio.
        expected_s: Seconds of audio that the file should have according to its headers; None if they do not say.
        num_segments: The number of segments.
    """

    mean: NDArray[np.float64]
    duration_s: float
    expected_s: float | None
    num_segments: int


class Inference:
    """A trained model with the front end that its data were prepared with. One object serves one thread at a time."""

    def __init__(self, run_dir: str, *, batch_size: int) -> None:
        """Loads the best weights of a run; nothing but the run is needed.

        Args:
            run_dir: The run, local or gs://.
            batch_size: Segments in a batch.

        Raises:
            UserError: There is no such run, it has no checkpoint yet, or a file that features need has changed.
            RunFailedError: The checkpoint is damaged.
        """
        run = RunDir(run_dir)
        self.model: keras.Model = load_best_model(run, strategy=make_strategy(StrategyConfig()))
        self.front_end = run.prepare_yaml().front_end()
        self.labels = run.dataset().labels
        self._batch_size = batch_size

    @unexpected_errors("open")  # e.g. a file larger than the memory
    def read(self, path: str) -> Clip:
        """Reads an audio file, local or gs://, and computes the features of its segments.

        Raises:
            AudioError: The file cannot be opened or decoded, or is silent.
        """
        with _open(path) as source:
            return self.front_end.process(source, whole=True)

    def score_whole(self, path: str) -> FileScores:
        """Returns the probabilities for all of an audio file, however long, with the memory for some minutes of it.

        Raises:
            AudioError: As `read`.
        """
        with _open(path) as source:
            decoded = decode(source, self._score_windows, limits=Limits(max_duration_s=LONGEST_FILE_S))
        return replace(decoded.result, duration_s=decoded.decoded_s, expected_s=decoded.expected_s)

    def _score_windows(self, stream: AudioStream) -> FileScores:
        total, num_segments = np.zeros(len(self.labels)), 0
        silent: AudioError | None = None
        for window in windows(stream, self.front_end.segment):
            try:
                clip = self.front_end.process_samples(
                    window, sample_rate_hz=stream.sample_rate_hz, max_duration_s=LONGEST_FILE_S
                )
            except AudioError as error:
                if error.reason != "silent":
                    raise
                silent = error
                continue
            total += self.score(clip).segments.sum(axis=0)
            num_segments += len(clip.segments)
        if num_segments == 0:
            raise silent or AudioError("silent", "the file is shorter than a segment", stage="segment")
        return FileScores(mean=total / num_segments, duration_s=0.0, expected_s=None, num_segments=num_segments)

    @unexpected_errors("predict")
    def score(self, clip: Clip) -> ClipScores:
        """Returns the probabilities of the genres for each segment and their mean.

        Raises:
            AudioError: The network raised an exception, e.g. because a long file needs more memory than there is.
        """
        batches = [softmax(logits) for logits in self._run(self.model, clip.segments)]
        return ClipScores(
            segments=np.concatenate(batches),
            # Batch by batch, so that the last digits stay those of earlier versions.
            mean=sum(batch.sum(axis=0) for batch in batches) / len(clip.segments),
        )

    @unexpected_errors("predict")
    def embed(self, clip: Clip) -> NDArray[np.float32]:
        """Returns the embeddings of the segments, (segments, values) float32: the inputs of the logits layer."""
        return np.concatenate(list(self._run(self._embedder, clip.segments)), dtype=np.float32)

    @cached_property
    def _embedder(self) -> keras.Model:
        network = embedding_network(self.model)
        return keras.Model(network.input, network.output[EMBEDDINGS], name=EMBEDDINGS)

    def _run(self, network: keras.Model, segments: Sequence[Segment]) -> Iterator[NDArray[Any]]:
        """Yields the outputs of the network for batches of segments. All batches have one size, for one trace."""
        for start in range(0, len(segments), self._batch_size):
            batch = segments[start : start + self._batch_size]
            features = {name: self._stack(name, batch) for name in network.input}
            yield network.predict_on_batch(features)[: len(batch)]

    def _stack(self, name: str, segments: Sequence[Segment]) -> NDArray[Any]:
        """Returns a feature of a batch, (batch_size, *shape), with zeros behind the last segment."""
        stacked = np.stack([segment.features[name] for segment in segments])
        return np.pad(stacked, [(0, self._batch_size - len(segments))] + [(0, 0)] * (stacked.ndim - 1))


def _open(path: str) -> BinaryIO:
    """Opens an audio file, a context manager.

    Raises:
        AudioError: The file cannot be read.
    """
    try:
        # Not by TensorFlow, which cannot open names that are not UTF-8, and whose files libsndfile reads by Python.
        return io.BytesIO(files.read_bytes(path)) if "://" in path else Path(path).open("rb")
    except (OSError, files.FileError) as error:
        # TensorFlow's message begins with the path, which the caller adds to this one.
        message = error.strerror if isinstance(error, OSError) else error.message.removeprefix(f"{path}; ")
        raise AudioError("unreadable", f"cannot be read: {message}", stage="open") from error
