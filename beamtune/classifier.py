"""A trained model that predicts the genres of audio files and of samples in memory."""

import os
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from beam_pipelines.audio.quiet_decoders import silenced_decoders
from beam_pipelines.common.errors import UserError
from beam_pipelines.common.terminal import without_output
from beam_pipelines.features.frontend import AudioError
from beamtune.samples import check_rate, check_samples
from beamtune.settings import path_text
from beamtune.split_metrics import SplitMetrics
from trainer.evaluation.confidence import check_min_confidence, label_of
from trainer.evaluation.config import PredictConfig
from trainer.evaluation.exported_model import ExportedModel
from trainer.evaluation.inference import SegmentValues
from trainer.evaluation.open_model import open_model
from trainer.runs.run_dir import RunDir

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True, eq=False)
class Prediction:
    """The predicted genre of one track.

    Attributes:
        path: The file as it was given; None for samples.
        label: The most probable genre, or "unknown" if its probability is below `min_confidence`.
        probabilities: The probability of each genre, in the order of the classifier's labels: the mean over the
            segments, calibrated if the run is. They sum to 1.
        duration_s: Seconds of audio that were decoded: all of the file, however long.
        expected_s: Seconds of audio that the file should have according to its headers, more than `duration_s` where a
            part is damaged or missing; None if they do not say, and for samples.
        segment_duration_s: The length of a segment in seconds.
        segment_starts_s: (segments,) float64, where each segment starts, in seconds. Silent segments are left out, and
            so is a remainder at the end that is shorter than a segment.
        segment_probabilities: (segments, genres) float64, calibrated if the run is. Segments and their mean have
            different temperatures, so that `probabilities` is not their mean then.
    """

    path: str | None
    label: str
    probabilities: Mapping[str, float]
    duration_s: float
    expected_s: float | None
    segment_duration_s: float
    segment_starts_s: NDArray[np.float64]
    segment_probabilities: NDArray[np.float64]


@dataclass(frozen=True)
class FailedPrediction:
    """A file that `Classifier.predict_many` cannot predict.

    Attributes:
        path: The file as it was given.
        error: The reason: its `reason` is a short name to count by, its `message` a sentence.
    """

    path: str
    error: AudioError


@dataclass(frozen=True, eq=False)
class Embedding:
    """The values that the layer before the logits computes for one track.

    Attributes:
        path: The file as it was given; None for samples.
        vector: (values,) float32, the mean of the segments' embeddings.
        duration_s: Seconds of audio that were decoded.
        segment_starts_s: (segments,) float64, where each segment starts, in seconds.
        segment_embeddings: (segments, values) float32.
    """

    path: str | None
    vector: NDArray[np.float32]
    duration_s: float
    segment_starts_s: NDArray[np.float64]
    segment_embeddings: NDArray[np.float32]


class Classifier:
    """The best weights of a run, with the front end that its data were prepared with; or the export of a run.

    Made by `beamtune.load`.

    Methods may be called from several threads; they run one after the other.

    Attributes:
        run_dir: The run or the export.
        labels: The genres; probabilities are in this order.
    """

    def __init__(self, run_dir: str, *, batch_size: int) -> None:
        self.run_dir = run_dir
        self._inference = open_model(run_dir, batch_size=batch_size)
        self.labels: tuple[str, ...] = self._inference.labels
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"<beamtune.Classifier {self.run_dir}: {', '.join(self.labels)}>"

    @property
    def keras_model(self) -> "keras.Model":
        """The network: from {feature: (batch, *shape)} to logits (batch, genres) float32.

        Raises:
            UserError: This is an export.

        Examples:
            >>> import beamtune
            >>> beamtune.load("run").keras_model.output_shape
            (None, 5)
        """
        if isinstance(self._inference, ExportedModel):
            raise UserError(f"{self.run_dir} is an export, whose network is in its graph: load the run for keras_model")
        return self._inference.model

    @property
    def metrics(self) -> dict[str, SplitMetrics]:
        """The metrics in `metrics.json` of the run or the export, by split: validation, and each evaluated split.

        Examples:
            >>> import beamtune
            >>> beamtune.load("run").metrics["validation"].track.num_examples
            9
        """
        found = RunDir(self.run_dir).metrics()
        if found is None:
            return {}
        return {
            split: SplitMetrics(split=split, labels=found.labels, **levels) for split, levels in found.levels.items()
        }

    def predict(
        self,
        audio: str | os.PathLike[str] | ArrayLike,
        *,
        sample_rate_hz: float | None = None,
        min_confidence: float = 0.0,
    ) -> Prediction:
        """Predicts the genre of one file, or of samples.

        All of the audio is used, also what is beyond the `audio.max_duration_s` of the prepared data. Audio shorter
        than a segment is padded with silence.

        Args:
            audio: The path of an audio file, local or gs://. Or samples: (frames,) mono or (frames, channels), as
                soundfile returns them; floats in [-1, 1], int16 or int32.
            sample_rate_hz: The rate of the samples, from 1000 to 768000; required for samples, not allowed for a path.
            min_confidence: The label is "unknown" if no genre has at least this probability.

        Raises:
            AudioError: The file cannot be read or decoded, or the audio is silent.
            UserError: The samples have another shape, dtype or range, are not finite, or have no rate; or
                `min_confidence` is not a probability, or a genre is called "unknown".

        Examples:
            >>> import beamtune, soundfile
            >>> classifier = beamtune.load("run")
            >>> prediction = classifier.predict("song.mp3")
            >>> prediction.label == max(prediction.probabilities, key=prediction.probabilities.get)
            True
            >>> prediction.segment_starts_s
            array([0., 3., 6., 9.])
            >>> samples, rate_hz = soundfile.read("song.mp3")
            >>> classifier.predict(samples, sample_rate_hz=rate_hz).label == prediction.label
            True
            >>> classifier.predict("song.mp3", min_confidence=1).label
            'unknown'
        """
        check_min_confidence(min_confidence, labels=self.labels)
        path, scores = self._compute(audio, sample_rate_hz, self._inference.score, self._inference.score_samples)
        return self._prediction(path, scores, min_confidence=min_confidence)

    def predict_many(
        self, paths: Iterable[str | os.PathLike[str]], *, min_confidence: float = 0.0
    ) -> Iterator[Prediction | FailedPrediction]:
        """Predicts the genres of many files, one after the other, as the iterator advances.

        A file that cannot be read or decoded, or is silent, does not end the iteration: it yields a FailedPrediction.
        At most one file is in memory.

        Args:
            paths: Paths of audio files, in any iterable, which is read as the iterator advances.
            min_confidence: As for `predict`.

        Yields:
            A result for each path, in the order of the paths.

        Raises:
            UserError: `paths` is a single path, or holds something that is not a path; or as for `predict`.

        Examples:
            >>> import beamtune
            >>> classifier = beamtune.load("run")
            >>> for result in classifier.predict_many(["song.mp3", "none.mp3"]):
            ...     if isinstance(result, beamtune.Prediction):
            ...         print(result.path, round(sum(result.probabilities.values()), 6))
            ...     else:
            ...         print(result.path, result.error.reason)
            song.mp3 1.0
            none.mp3 unreadable
        """
        if isinstance(paths, str | bytes | os.PathLike):
            raise UserError(f"paths={paths!r}: expected several paths, e.g. a list; predict takes a single one")
        check_min_confidence(min_confidence, labels=self.labels)
        return self._predict_each(paths, min_confidence=min_confidence)

    def embed(self, audio: str | os.PathLike[str] | ArrayLike, *, sample_rate_hz: float | None = None) -> Embedding:
        """Returns the embedding of one file, or of samples: the values that the layer before the logits computes.

        They are those that `beamtune train` shows in TensorBoard's projector.

        Args:
            audio: As for `predict`.
            sample_rate_hz: As for `predict`.

        Raises:
            AudioError: As for `predict`.
            UserError: As for `predict`.

        Examples:
            >>> import beamtune
            >>> embedding = beamtune.load("run").embed("song.mp3")
            >>> embedding.segment_embeddings.shape == (4, *embedding.vector.shape)
            True
        """
        path, found = self._compute(audio, sample_rate_hz, self._inference.embed, self._inference.embed_samples)
        return Embedding(
            path=path,
            vector=found.values.mean(axis=0),
            duration_s=found.duration_s,
            segment_starts_s=found.starts_s,
            segment_embeddings=found.values,
        )

    def _predict_each(
        self, paths: Iterable[str | os.PathLike[str]], *, min_confidence: float
    ) -> Iterator[Prediction | FailedPrediction]:
        for path in paths:
            text = path_text(path, name="path")
            try:
                _, scores = self._compute(text, None, self._inference.score, self._inference.score_samples)
            except AudioError as error:
                # A new one: the traceback of the old one keeps the content of the file in memory.
                failed = AudioError(error.reason, error.message, stage=error.stage)
            else:
                yield self._prediction(text, scores, min_confidence=min_confidence)
                continue
            yield FailedPrediction(path=text, error=failed)

    def _prediction(self, path: str | None, scores: SegmentValues, *, min_confidence: float) -> Prediction:
        return Prediction(
            path=path,
            label=label_of(scores.mean, self.labels, min_confidence=min_confidence),
            probabilities=dict(zip(self.labels, scores.mean.tolist(), strict=True)),
            duration_s=scores.duration_s,
            expected_s=scores.expected_s,
            segment_duration_s=self._inference.segment_duration_s,
            segment_starts_s=scores.starts_s,
            segment_probabilities=scores.values,
        )

    def _compute(
        self,
        audio: Any,
        sample_rate_hz: float | None,
        of_file: Callable[[str], SegmentValues],
        of_samples: Callable[..., SegmentValues],
    ) -> tuple[str | None, SegmentValues]:
        """Returns the path, if it is one, and what a function computes for the file, or another one for samples."""
        if isinstance(audio, str | bytes | os.PathLike):
            path = path_text(audio, name="audio")
            if sample_rate_hz is not None:
                raise UserError(f"sample_rate_hz={sample_rate_hz}: a file has its own rate, so give none with a path")
            with self._lock, silenced_decoders():
                return path, of_file(path)
        samples, rate_hz = check_samples(audio), check_rate(sample_rate_hz)
        with self._lock:
            return None, of_samples(samples, sample_rate_hz=rate_hz)


def load(run_dir: str | os.PathLike[str], *, batch_size: int = 32) -> Classifier:
    """Loads the best weights of a run of `beamtune.train` or `beamtune train`, or an export of `beamtune export`.

    Args:
        run_dir: The run or the export, local or gs://.
        batch_size: Segments that the network takes at a time; an export chooses it by itself.

    Raises:
        UserError: There is no such run or export, the run has no checkpoint yet, the export is not complete, or the
            weights of a pretrained feature have changed.
        RunFailedError: The checkpoint or the saved model is damaged.

    Warns:
        UserWarning: The run is not finished; its best weights so far are used.

    Examples:
        >>> import beamtune
        >>> beamtune.load("run").labels
        ('blues', 'funk', 'reggae', 'techno', 'waltz')
    """
    config = PredictConfig(batch_size=batch_size)
    path = path_text(run_dir, name="run_dir")
    with without_output():
        classifier = Classifier(path, batch_size=config.batch_size)
    if not isinstance(classifier._inference, ExportedModel) and not RunDir(path).is_finished():
        warnings.warn(f"{path} is not finished; its best weights so far are used", stacklevel=2)
    return classifier
