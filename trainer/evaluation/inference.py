"""The best weights of a run, applied to audio: what `beamtune predict` and the Python API share."""

import hashlib
import io
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import keras
import numpy as np
from numpy.typing import NDArray

from beam_pipelines.audio.choose_decoder import Limits, decode
from beam_pipelines.audio.decode import AudioStream, stream_samples
from beam_pipelines.audio.unexpected import unexpected_errors
from beam_pipelines.audio.windows import LONGEST_FILE_S, windows
from beam_pipelines.common.bucket_errors import BucketError
from beam_pipelines.common.paths import check_regular, is_local
from beam_pipelines.features.frontend import AudioError, Clip, FrontEnd, Segment
from trainer.common import files
from trainer.devices.config import StrategyConfig
from trainer.devices.strategy import make_strategy
from trainer.metrics.calibration import Calibration, with_temperature
from trainer.metrics.metrics import softmax
from trainer.models.config import LOGITS
from trainer.models.embedding import EMBEDDINGS, embedding_network
from trainer.runs.calibration_file import read_calibration
from trainer.runs.restored_model import load_best_model
from trainer.runs.run_dir import RunDir


@dataclass(frozen=True, eq=False)
class SegmentValues:
    """What a network computes for the segments of one file, or of samples.

    Attributes:
        values: (segments, values), e.g. the probability of each genre.
        mean: (values,), their mean over the segments; calibrated by itself if the probabilities are.
        starts_s: (segments,) float64, where each segment starts, in seconds. Silent segments are left out, and so is a
            remainder at the end that is shorter than a segment.
        duration_s: Duration of the audio.
        expected_s: Seconds of audio that the file should have according to its headers; None if they do not say.
    """

    values: NDArray[Any]
    mean: NDArray[Any]
    starts_s: NDArray[np.float64]
    duration_s: float
    expected_s: float | None = None


# From the features of segments to batches of values, (segments of the batch, values).
_Compute = Callable[[Sequence[Segment]], Sequence[NDArray[Any]]]


class Inference:
    """A trained model with the front end of the features that it takes. Methods may be called from several threads."""

    def __init__(self, run_dir: str, *, batch_size: int) -> None:
        """Loads the best weights of a run; nothing but the run is needed.

        Args:
            run_dir: The run, local or gs://.
            batch_size: Segments in a batch.

        Raises:
            UserError: There is no such run, it has no checkpoint yet, its calibration is damaged, or a file that
                features need has changed.
            RunFailedError: The checkpoint is damaged.
        """
        run = RunDir(run_dir)
        self.model: keras.Model = load_best_model(run, strategy=make_strategy(StrategyConfig()))
        self.calibration = read_calibration(run)
        self.batch_size = batch_size
        self.labels = run.dataset().labels
        # Not the other features of the data: YAMNet takes seconds, and needs its weights.
        self._make_front_end = partial(run.prepare_yaml().front_end, tuple(self.model.input))
        self._of_thread = threading.local()
        self._of_thread.front_end = self._make_front_end()
        self._network_lock = threading.Lock()
        self._networks: dict[str, keras.Model] = {}

    @property
    def front_end(self) -> FrontEnd:
        """The front end of the calling thread: one serves one thread."""
        if not hasattr(self._of_thread, "front_end"):
            self._of_thread.front_end = self._make_front_end()
        found: FrontEnd = self._of_thread.front_end
        return found

    @property
    def segment_duration_s(self) -> float:
        """The length of a segment in seconds."""
        return self.front_end.segment_duration_s

    def weights_hash(self) -> str:
        """Returns a short hash of the weights: two models with the same one predict the same."""
        digest = hashlib.sha256()
        for weights in self.model.get_weights():
            digest.update(weights.tobytes())
        return digest.hexdigest()[:16]

    def score(self, path: str) -> SegmentValues:
        """Returns the probabilities of the genres, float64, for all of an audio file, local or gs://, however long.

        They are calibrated if the run is.
        A file that is longer than `audio.max_duration_s` of the prepared data is read in windows, with the memory for
        some minutes of it.

        Raises:
            AudioError: The file cannot be opened or decoded, or is silent; or the network raised an exception, e.g.
                because a long file needs more memory than there is.
        """
        return self.score_opened(partial(open_audio, path))

    def score_opened(
        self, open_source: Callable[[], BinaryIO], *, max_duration_s: float = LONGEST_FILE_S
    ) -> SegmentValues:
        """Returns the probabilities, as `score`, of audio that a function opens, for a long file twice.

        Args:
            open_source: Returns the file, a context manager that is open for reading and seeking.
            max_duration_s: Longer audio is an error, which ends the decoding at the latest two minutes behind it.

        Raises:
            AudioError: As for `score`, or the audio is too long.
        """
        found = self._of_source(open_source, self._probabilities, max_duration_s=max_duration_s)
        return calibrated_values(found, self.calibration)

    def score_samples(self, samples: NDArray[np.float32], *, sample_rate_hz: int) -> SegmentValues:
        """Returns the probabilities for samples, (frames, channels) in [-1, 1], as `score` does for a file."""
        found = self._of_samples(samples, sample_rate_hz, self._probabilities)
        return calibrated_values(found, self.calibration)

    def score_long(self, path: str, *, with_embedding: bool) -> tuple[SegmentValues, NDArray[np.float32] | None]:
        """Returns the probabilities, as `score`, and the mean embedding if it is asked for; always reads in windows."""
        return self.result(self._of_long_source(partial(open_audio, path), self._compute_of(with_embedding)))

    def score_and_embed(
        self, samples: NDArray[np.float32], *, sample_rate_hz: int
    ) -> tuple[SegmentValues, NDArray[np.float32]]:
        """Returns the probabilities of samples, as `score_samples`, and their mean embedding, of the same features."""
        scores, embedding = self.result(self._of_samples(samples, sample_rate_hz, self._compute_of(True)))
        assert embedding is not None
        return scores, embedding

    def compute(self, segments: Sequence[Segment], *, with_embedding: bool) -> NDArray[Any]:
        """Returns what `result` takes as values, (segments, values), for at most `batch_size` segments of any files.

        Raises:
            AudioError: The network raised an exception.
        """
        (values,) = self._compute_of(with_embedding)(segments)
        return values

    def result(self, found: SegmentValues) -> tuple[SegmentValues, NDArray[np.float32] | None]:
        """Returns the probabilities, calibrated if the run is, and the mean embedding if the values hold one."""
        return split_embedding(found, num_genres=len(self.labels), calibration=self.calibration)

    def embed(self, path: str) -> SegmentValues:
        """Returns the embeddings of an audio file, float32: the inputs of the logits layer. Raises as `score`."""
        return self._of_source(partial(open_audio, path), self._embeddings)

    def embed_samples(self, samples: NDArray[np.float32], *, sample_rate_hz: int) -> SegmentValues:
        """Returns the embeddings of samples, as `embed` does for a file."""
        return self._of_samples(samples, sample_rate_hz, self._embeddings)

    def read(self, path: str) -> Clip:
        """Reads an audio file up to `audio.max_duration_s`, and computes the features of its segments.

        Raises:
            AudioError: The file cannot be opened or decoded, or is silent.
        """
        return self._read(partial(open_audio, path))

    def read_short(self, path: str) -> Clip | None:
        """Returns what `read` does; None where the file is longer, or what is read of it is silent."""
        return _short_or_none(lambda: self.read(path))

    @unexpected_errors("open")  # e.g. a file larger than the memory
    def _read(self, open_source: Callable[[], BinaryIO]) -> Clip:
        with open_source() as source:
            return self.front_end.process(source, whole=True)

    def _of_source(
        self, open_source: Callable[[], BinaryIO], compute: _Compute, *, max_duration_s: float = LONGEST_FILE_S
    ) -> SegmentValues:
        clip = _short_or_none(lambda: self._read(open_source))
        if clip is None:
            return self._of_long_source(open_source, compute, max_duration_s=max_duration_s)
        check_duration(clip.audio.duration_s, max_duration_s=max_duration_s)
        return values_of_clip(clip, compute(clip.segments))

    def _of_long_source(
        self, open_source: Callable[[], BinaryIO], compute: _Compute, *, max_duration_s: float = LONGEST_FILE_S
    ) -> SegmentValues:
        with open_source() as source:
            decoded = decode(
                source,
                lambda stream: self._of_windows(stream, compute, max_duration_s=max_duration_s),
                limits=Limits(max_duration_s=LONGEST_FILE_S),
            )
        check_duration(decoded.decoded_s, max_duration_s=max_duration_s)
        return replace(decoded.result, duration_s=decoded.decoded_s, expected_s=decoded.expected_s)

    def _of_samples(self, samples: NDArray[np.float32], sample_rate_hz: int, compute: _Compute) -> SegmentValues:
        if len(samples) <= round(self.front_end.max_duration_s * sample_rate_hz):
            clip = _read_or_silent(lambda: self.front_end.process_samples(samples, sample_rate_hz=sample_rate_hz))
            if clip is not None:
                return values_of_clip(clip, compute(clip.segments))
        found = self._of_windows(stream_samples(samples, sample_rate_hz), compute)
        return replace(found, duration_s=len(samples) / sample_rate_hz)

    def _of_windows(
        self, stream: AudioStream, compute: _Compute, *, max_duration_s: float = LONGEST_FILE_S
    ) -> SegmentValues:
        """Returns the values of all windows together; the duration is not known yet."""
        starts_s: list[float] = []
        batches: list[NDArray[Any]] = []
        silent: AudioError | None = None
        for window_start_s, window in windows(stream, self.front_end.segment):
            check_duration(window_start_s, max_duration_s=max_duration_s)
            try:
                clip = self.front_end.process_samples(
                    window, sample_rate_hz=stream.sample_rate_hz, max_duration_s=LONGEST_FILE_S
                )
            except AudioError as error:
                if error.reason != "silent":
                    raise
                silent = error
                continue
            batches.extend(compute(clip.segments))
            starts_s.extend(window_start_s + segment.start_s for segment in clip.segments)
        if not batches:
            raise silent or AudioError("silent", "the file is shorter than a segment", stage="segment")
        return _joined(batches, starts_s, duration_s=0.0)

    @unexpected_errors("predict")
    def _probabilities(self, segments: Sequence[Segment]) -> Sequence[NDArray[Any]]:
        return [softmax(logits) for logits in self._run(self.model, segments)]

    @unexpected_errors("predict")
    def _embeddings(self, segments: Sequence[Segment]) -> Sequence[NDArray[Any]]:
        return [np.asarray(batch, dtype=np.float32) for batch in self._run(self._embedder, segments)]

    @unexpected_errors("predict")
    def _probabilities_and_embeddings(self, segments: Sequence[Segment]) -> Sequence[NDArray[Any]]:
        return [
            np.concatenate([softmax(batch[:, : len(self.labels)]), batch[:, len(self.labels) :]], axis=1)
            for batch in self._run(self._logits_and_embeddings, segments)
        ]

    def _compute_of(self, with_embedding: bool) -> _Compute:
        return self._probabilities_and_embeddings if with_embedding else self._probabilities

    @property
    def _embedder(self) -> keras.Model:
        return self._network(EMBEDDINGS, lambda outputs: outputs[EMBEDDINGS])

    @property
    def _logits_and_embeddings(self) -> keras.Model:
        # Named, because each thread of Keras begins to number names anew, and the model may have a layer of that name.
        join = keras.layers.Concatenate(dtype="float32", name="join_logits_and_embeddings")
        return self._network("logits_and_embeddings", lambda outputs: join([outputs[LOGITS], outputs[EMBEDDINGS]]))

    def _network(self, name: str, output_of: Callable[[Mapping[str, Any]], Any]) -> keras.Model:
        """Returns a network with the weights of the model, made once: Keras cannot make one in two threads at once."""
        with self._network_lock:
            if name not in self._networks:
                network = embedding_network(self.model)
                self._networks[name] = keras.Model(network.input, output_of(network.output), name=name)
            return self._networks[name]

    def _run(self, network: keras.Model, segments: Sequence[Segment]) -> Iterator[NDArray[Any]]:
        """Yields the outputs of the network for batches of segments. All batches have one size, for one trace."""
        for start in range(0, len(segments), self.batch_size):
            batch = segments[start : start + self.batch_size]
            features = {name: self._stack(name, batch) for name in network.input}
            with self._network_lock:  # Keras makes the function of a network at its first call
                values = network.predict_on_batch(features)
            yield values[: len(batch)]

    def _stack(self, name: str, segments: Sequence[Segment]) -> NDArray[Any]:
        """Returns a feature of a batch, (batch_size, *shape), with zeros behind the last segment."""
        stacked = np.stack([segment.features[name] for segment in segments])
        return np.pad(stacked, [(0, self.batch_size - len(segments))] + [(0, 0)] * (stacked.ndim - 1))


def calibrated_values(found: SegmentValues, calibration: Calibration | None) -> SegmentValues:
    """Returns calibrated probabilities; the same ones for a run that is not calibrated."""
    if calibration is None:
        return found
    return replace(
        found,
        values=with_temperature(found.values, calibration.segment),
        mean=with_temperature(found.mean, calibration.track),
    )


def split_embedding(
    found: SegmentValues, *, num_genres: int, calibration: Calibration | None
) -> tuple[SegmentValues, NDArray[np.float32] | None]:
    """Splits probabilities with embeddings beside them.

    Args:
        found: Its values are (segments, genres), or (segments, genres + values of an embedding).
        num_genres: The number of genres.
        calibration: Applied to the probabilities; None for a run that is not calibrated.

    Returns:
        The calibrated probabilities, and the mean embedding, or None if there is none.
    """
    probabilities = replace(found, values=found.values[:, :num_genres], mean=found.mean[:num_genres])
    embedding = found.mean[num_genres:].astype(np.float32) if len(found.mean) > num_genres else None
    return calibrated_values(probabilities, calibration), embedding


def check_duration(duration_s: float, *, max_duration_s: float) -> None:
    """Raises an AudioError if audio is longer than a duration, both in seconds."""
    if duration_s > max_duration_s:
        raise AudioError("too_long", f"the audio is longer than {max_duration_s:g} s", stage="decode")


def _short_or_none(read: Callable[[], Clip]) -> Clip | None:
    """Returns a clip; None if the file goes on behind it, or it is silent."""
    clip = _read_or_silent(read)
    return None if clip is None or clip.audio.is_cut else clip


def _read_or_silent(read: Callable[[], Clip]) -> Clip | None:
    """Returns a clip; None if it is silent, which the audio behind its end may not be."""
    try:
        return read()
    except AudioError as error:
        if error.reason != "silent":
            raise
        return None


def values_of_clip(clip: Clip, batches: Sequence[NDArray[Any]]) -> SegmentValues:
    """Returns the values of a file from those of all its segments, in batches, each (segments of the batch, values)."""
    starts_s = [segment.start_s for segment in clip.segments]
    found = _joined(batches, starts_s, duration_s=clip.audio.duration_s)
    return replace(found, expected_s=clip.audio.expected_s)


def _joined(batches: Sequence[NDArray[Any]], starts_s: Sequence[float], *, duration_s: float) -> SegmentValues:
    return SegmentValues(
        values=np.concatenate(batches),
        # Batch by batch, so that the last digits stay those of earlier versions.
        mean=sum(batch.sum(axis=0) for batch in batches) / len(starts_s),
        starts_s=np.array(starts_s),
        duration_s=duration_s,
    )


def open_audio(path: str) -> BinaryIO:
    """Opens an audio file, a context manager.

    Raises:
        AudioError: The file cannot be read.
    """
    try:
        check_regular(path)
        # Not by TensorFlow, which cannot open names that are not UTF-8, and whose files libsndfile reads by Python.
        return Path(path).open("rb") if is_local(path) else io.BytesIO(files.read_bytes(path))
    except OSError as error:
        raise AudioError("unreadable", f"cannot be read: {error.strerror}", stage="open") from error
    except BucketError as error:
        raise AudioError("unreadable", f"cannot be read: {error}", stage="open") from error
