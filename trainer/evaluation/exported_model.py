"""An export of `beamtune export`, applied to audio: its saved model does all but decoding and mixing down."""

import hashlib
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, BinaryIO

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from beam_pipelines.audio.choose_decoder import Limits, decode
from beam_pipelines.audio.config import SegmentConfig
from beam_pipelines.audio.decode import AudioStream, stream_samples
from beam_pipelines.audio.load import Audio, read_at_rates
from beam_pipelines.audio.unexpected import unexpected_errors
from beam_pipelines.audio.windows import LONGEST_FILE_S, windows
from beam_pipelines.common.errors import RunFailedError, UserError, first_line
from beam_pipelines.common.paths import is_in_bucket
from beam_pipelines.features.frontend import AudioError
from trainer.common import files
from trainer.evaluation.export_files import REPORT_FILE, SAVED_MODEL_DIR, SIGNATURE_FILE
from trainer.evaluation.inference import SegmentValues, calibrated_values, check_duration, open_audio, split_embedding
from trainer.metrics.calibration import Calibration

# The signature of the saved model that returns what it computes for each segment.
SERVE_SEGMENTS = "serve_segments"
# Of signature.json; a later version may add entries to it without a new number.
SIGNATURE_VERSION = 1
# Up to this rate, `audio.max_duration_s` are in memory as a whole; of higher rates, as many samples.
_HIGHEST_WHOLE_RATE_HZ = 96_000
# Outputs of that signature.
_PROBABILITIES, _EMBEDDINGS = "probabilities", "embeddings"


@dataclass(frozen=True)
class _Signature:
    """What is used of `signature.json`."""

    labels: tuple[str, ...]
    segment: SegmentConfig
    max_duration_s: float
    calibration: Calibration | None


class ExportedModel:
    """An export. It computes what `trainer.evaluation.inference.Inference` computes from the run."""

    def __init__(self, export_dir: str) -> None:
        """Loads the saved model.

        Args:
            export_dir: The export, local or gs://.

        Raises:
            UserError: The export is not complete, is damaged, has no saved model, or is of a later version.
            RunFailedError: TensorFlow cannot load the saved model.
        """
        signature = _read_signature(export_dir)
        self.labels = signature.labels
        self._segment = signature.segment
        self._calibration = signature.calibration
        self._max_duration_s = signature.max_duration_s
        path = files.join(export_dir, SAVED_MODEL_DIR)
        self._graph_path = files.join(path, "saved_model.pb")
        try:
            with _on_disk(path) as directory:
                self._saved_model = tf.saved_model.load(directory)
            self._compute_segments = self._saved_model.signatures[SERVE_SEGMENTS]
        except (OSError, ValueError, KeyError, tf.errors.OpError) as error:
            raise RunFailedError(f"{path} cannot be loaded ({first_line(error)}): export the run again") from error

    @property
    def segment_duration_s(self) -> float:
        """The length of a segment in seconds."""
        return self._segment.duration_s

    def weights_hash(self) -> str:
        """Returns a short hash of the graph, whose constants are the weights."""
        return hashlib.sha256(files.read_bytes(self._graph_path)).hexdigest()[:16]

    def score(self, path: str) -> SegmentValues:
        """Returns the probabilities of the genres, float64, for all of an audio file, as `Inference.score`.

        Raises:
            AudioError: The file cannot be opened or decoded, is silent, or far exceeds full scale.
        """
        return self.score_opened(partial(open_audio, path))

    def score_opened(
        self, open_source: Callable[[], BinaryIO], *, max_duration_s: float = LONGEST_FILE_S
    ) -> SegmentValues:
        """Returns the probabilities of audio that a function opens, as `Inference.score_opened`."""
        found = self._of_source(open_source, _PROBABILITIES, max_duration_s=max_duration_s)
        return calibrated_values(found, self._calibration)

    def score_and_embed(self, path: str) -> tuple[SegmentValues, NDArray[np.float32] | None]:
        """Returns the probabilities, as `score`, and the mean embedding. Raises as `score`."""
        found = self._of_source(partial(open_audio, path), _PROBABILITIES, _EMBEDDINGS)
        return split_embedding(found, num_genres=len(self.labels), calibration=self._calibration)

    def score_samples(self, samples: NDArray[np.float32], *, sample_rate_hz: int) -> SegmentValues:
        """Returns the probabilities for samples, (frames, channels) in [-1, 1], as `score` does for a file."""
        return calibrated_values(self._of_samples(samples, sample_rate_hz, _PROBABILITIES), self._calibration)

    def embed(self, path: str) -> SegmentValues:
        """Returns the embeddings of an audio file, float32, as `Inference.embed`. Raises as `score`."""
        return self._of_source(partial(open_audio, path), _EMBEDDINGS)

    def embed_samples(self, samples: NDArray[np.float32], *, sample_rate_hz: int) -> SegmentValues:
        """Returns the embeddings of samples, as `embed` does for a file."""
        return self._of_samples(samples, sample_rate_hz, _EMBEDDINGS)

    @unexpected_errors("open")  # e.g. a file larger than the memory
    def _of_source(
        self, open_source: Callable[[], BinaryIO], *outputs: str, max_duration_s: float = LONGEST_FILE_S
    ) -> SegmentValues:
        with open_source() as source:
            start = decode(source, self._read_start, limits=Limits(max_duration_s=self._max_duration_s))
            check_duration(start.decoded_s, max_duration_s=max_duration_s)
            if not start.is_cut:
                return replace(self._of_audio(start.result, *outputs), expected_s=start.expected_s)
            source.seek(0)
            decoded = decode(
                source,
                lambda stream: self._of_windows(stream, *outputs, max_duration_s=max_duration_s),
                limits=Limits(max_duration_s=LONGEST_FILE_S),
            )
        check_duration(decoded.decoded_s, max_duration_s=max_duration_s)
        return replace(decoded.result, duration_s=decoded.decoded_s, expected_s=decoded.expected_s)

    def _of_samples(self, samples: NDArray[np.float32], sample_rate_hz: int, *outputs: str) -> SegmentValues:
        if len(samples) <= self._longest_start_s(sample_rate_hz) * sample_rate_hz:
            return self._of_audio(self._read_start(stream_samples(samples, sample_rate_hz)), *outputs)
        found = self._of_windows(stream_samples(samples, sample_rate_hz), *outputs)
        return replace(found, duration_s=len(samples) / sample_rate_hz)

    def _read_start(self, stream: AudioStream) -> Audio:
        """Returns the start of a stream, mono, at its own rate."""
        rate_hz = stream.sample_rate_hz
        return read_at_rates(stream, [rate_hz], max_duration_s=self._longest_start_s(rate_hz))[rate_hz]

    def _longest_start_s(self, rate_hz: int) -> float:
        """Returns the duration that is in memory as a whole: a small file can state a very high rate."""
        return self._max_duration_s * min(1.0, _HIGHEST_WHOLE_RATE_HZ / rate_hz)

    def _of_audio(self, audio: Audio, *outputs: str) -> SegmentValues:
        values, starts_s = self._run(audio.samples, audio.sample_rate_hz, *outputs)
        return self._joined([values], [starts_s], duration_s=audio.duration_s)

    def _of_windows(self, stream: AudioStream, *outputs: str, max_duration_s: float = LONGEST_FILE_S) -> SegmentValues:
        """Returns the values of all windows together; the duration is not known yet."""
        found: list[NDArray[Any]] = []
        starts_s: list[NDArray[np.float64]] = []
        for window_start_s, window in windows(stream, self._segment):
            check_duration(window_start_s, max_duration_s=max_duration_s)
            values, starts = self._run(window[:, 0], stream.sample_rate_hz, *outputs)
            found.append(values)
            starts_s.append(starts + window_start_s)
        return self._joined(found, starts_s, duration_s=0.0)

    @unexpected_errors("predict")
    def _run(
        self, samples: NDArray[np.float32], sample_rate_hz: int, *outputs: str
    ) -> tuple[NDArray[Any], NDArray[np.float64]]:
        """Returns the values of the segments that are not silent, and where these start."""
        try:
            found = self._compute_segments(
                waveform=tf.constant(samples[None]), sample_rate_hz=tf.constant(sample_rate_hz, tf.int32)
            )
        except tf.errors.InvalidArgumentError as error:
            # Before it is the name of the function of the graph.
            message = first_line(error).rpartition("assertion failed: ")[2]
            raise AudioError("out_of_range", message, stage="predict") from error
        is_used = found["is_used"].numpy()[0]
        values = np.concatenate([found[name].numpy()[0][is_used] for name in outputs], axis=1)
        return (
            values.astype(np.float64) if _PROBABILITIES in outputs else values,
            found["starts_s"].numpy()[is_used].astype(np.float64),
        )

    def _joined(
        self, values: list[NDArray[Any]], starts_s: list[NDArray[np.float64]], *, duration_s: float
    ) -> SegmentValues:
        if not any(map(len, values)):
            threshold = self._segment.silence_threshold_dbfs
            raise AudioError("silent", f"no segment is louder than {threshold} dBFS", stage="segment")
        joined = np.concatenate(values)
        return SegmentValues(
            values=joined, mean=joined.mean(axis=0), starts_s=np.concatenate(starts_s), duration_s=duration_s
        )


@contextmanager
def _on_disk(directory: str) -> Iterator[str]:
    """Yields a folder on the disk with the files of one that may be in a bucket.

    Whatever TensorFlow loads from a bucket it asks for by itself, with credentials and retries of its own.
    """
    if not is_in_bucket(directory):
        yield directory
        return
    with tempfile.TemporaryDirectory(prefix="beamtune-export-") as scratch_dir:
        _copy_folder(directory, scratch_dir)
        yield scratch_dir


def _copy_folder(source: str, target: str) -> None:
    files.make_dirs(target)
    for entry in files.list_dir(source):
        name = entry.rstrip("/")
        copy = files.copy if name == entry else _copy_folder
        copy(files.join(source, name), files.join(target, name))


def _read_signature(export_dir: str) -> _Signature:
    path = files.join(export_dir, SIGNATURE_FILE)
    if not files.exists(files.join(export_dir, REPORT_FILE)):
        raise UserError(f"{export_dir} is not a complete export: it has no {REPORT_FILE}; export the run again")
    try:
        content = json.loads(files.read_text(path))
        if content["signature_version"] > SIGNATURE_VERSION:
            raise UserError(f"{export_dir} was written by a later version of beamtune: install that one")
        formats = tuple(content["formats"])
        signature = _Signature(
            labels=tuple(map(str, content["labels"])),
            segment=_segment_of(content["segment"]),
            max_duration_s=float(content["audio"]["max_duration_s"]),
            calibration=_calibration_of(content["output"]["calibration"]),
        )
    except (*files.READ_ERRORS, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged ({error!r}): export the run again") from error
    if SAVED_MODEL_DIR not in formats:
        raise UserError(
            f"{export_dir} has the formats {', '.join(formats)}, and prediction needs {SAVED_MODEL_DIR}: export the "
            f"run again with formats=[{SAVED_MODEL_DIR}]"
        )
    return signature


def _calibration_of(content: Mapping[str, Any] | None) -> Calibration | None:
    return None if content is None else Calibration.from_json(content)


def _segment_of(content: Mapping[str, Any]) -> SegmentConfig:
    return SegmentConfig(
        duration_s=float(content["duration_s"]),
        hop_s=float(content["hop_s"]),
        silence_threshold_dbfs=float(content["silence_threshold_dbfs"]),
    )
