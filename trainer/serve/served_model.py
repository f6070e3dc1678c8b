"""The model that the service answers with: the code and the probabilities are those of `beamtune predict`."""

import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Any, BinaryIO, Self, cast

import numpy as np

from beam_pipelines.audio.choose_decoder import is_partial
from trainer.evaluation.confidence import check_min_confidence
from trainer.evaluation.config import PredictConfig
from trainer.evaluation.exported_model import ExportedModel
from trainer.evaluation.open_model import open_model
from trainer.evaluation.predict import result_of
from trainer.evaluation.prediction_writers import Prediction
from trainer.evaluation.score_files import ScoredFile
from trainer.serve.work_queue import check_wanted

_WARM_UP_RATE_HZ = 22_050


class StoppableFile:
    """A local file whose reads fail when an event is set. It has no descriptor, by which decoders would read it."""

    def __init__(self, path: str, stop: threading.Event) -> None:
        self._file = open(path, "rb")  # noqa: SIM115
        self._stop = stop
        self.seek = self._file.seek
        self.tell = self._file.tell

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def read(self, num_bytes: int = -1, /) -> bytes:
        """Returns the next bytes.

        Raises:
            AudioError: The event is set.
        """
        check_wanted(self._stop)
        return self._file.read(num_bytes)


class ServedModel:
    """A run or an export, loaded. Methods may be called from several threads."""

    def __init__(self, directory: str, *, batch_size: int) -> None:
        """Loads it.

        Args:
            directory: The run or the export, local or gs://.
            batch_size: Segments in a batch of a run.

        Raises:
            UserError: There is neither.
            RunFailedError: A file is damaged.
        """
        self._model = open_model(directory, batch_size=batch_size)
        self.segment_duration_s = self._model.segment_duration_s

    @property
    def kind(self) -> str:
        """What it is: "run" or "export"."""
        return "export" if isinstance(self._model, ExportedModel) else "run"

    @property
    def labels(self) -> Sequence[str]:
        """The genres."""
        return self._model.labels

    def warm_up(self) -> None:
        """Predicts noise: the first prediction of a thread takes longer than others."""
        duration_s = 2 * self.segment_duration_s
        noise = np.random.default_rng(0).normal(0, 0.1, (round(duration_s * _WARM_UP_RATE_HZ), 1))
        self._model.score_samples(noise.astype(np.float32), sample_rate_hz=_WARM_UP_RATE_HZ)

    def answer(
        self, path: str, *, min_confidence: float, max_duration_s: float, stop: threading.Event
    ) -> dict[str, Any]:
        """Returns the JSON of the prediction for a local file.

        Args:
            path: The file.
            min_confidence: The probability below which the label is "unknown".
            max_duration_s: Longer audio is an error.
            stop: Ends the decoding.

        Raises:
            AudioError: The file cannot be decoded, is silent or too long.
            UserError: `min_confidence` cannot be used with the genres.
        """
        check_min_confidence(min_confidence, labels=self.labels)
        scores = self._model.score_opened(
            lambda: cast(BinaryIO, StoppableFile(path, stop)), max_duration_s=max_duration_s
        )
        config = PredictConfig(top_k=len(self.labels), min_confidence=min_confidence, timeline=True)
        found = cast(Prediction, result_of(ScoredFile(path, scores, None), labels=self.labels, config=config))
        return {
            "duration_s": found.duration_s,
            "expected_duration_s": scores.expected_s,
            "is_partial": is_partial(scores.duration_s, scores.expected_s),
            "num_segments": found.num_segments,
            "label": found.label,
            "genres": [{"genre": genre, "probability": probability} for genre, probability in found.genres],
            "timeline": [
                {
                    "start_s": segment.start_s,
                    "duration_s": self.segment_duration_s,
                    "genre": segment.genre,
                    "probability": segment.probability,
                }
                for segment in found.timeline or ()
            ],
        }
