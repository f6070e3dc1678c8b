"""A trained network with its whole front end as one graph: from samples at any rate to probabilities.

It does what `beamtune predict` does: resampling, cutting into segments, leaving out silent ones, features, network, and
the mean over the segments. Segments are computed in blocks, so that an hour of audio needs little more memory than its
samples.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from beam_pipelines.audio.segments import segment_length
from beam_pipelines.prepare.prepare_yaml import PrepareYaml
from trainer.export.frozen import frozen
from trainer.export.graph_checks import checked_rate_hz, checked_waveform
from trainer.export.graph_features import GraphFeatures
from trainer.export.resampling import resample, resampled_length
from trainer.metrics.calibration import Calibration
from trainer.models.config import LOGITS
from trainer.models.embedding import EMBEDDINGS, embedding_network

# Of all tracks of a batch together.
_BLOCK_SEGMENTS = 32
_BLOCK_S = 120.0


class SegmentOutputs(NamedTuple):
    """What the graph computes for the segments of a batch of tracks.

    Attributes:
        probabilities: (batch, segments, genres) float32.
        embeddings: (batch, segments, values) float32, the inputs of the logits layer.
        is_used: (batch, segments) bool; silent segments are not.
        starts_s: (segments,) float32, where each segment starts, in seconds.
    """

    probabilities: Any
    embeddings: Any
    is_used: Any
    starts_s: Any


class ServedModel:
    """The functions of an exported model.

    Attributes:
        labels: The genres.
        num_values: The number of values of an embedding.
    """

    def __init__(
        self,
        network: keras.Model,
        *,
        features: GraphFeatures,
        settings: PrepareYaml,
        labels: Sequence[str],
        calibration: Calibration | None,
    ) -> None:
        """Freezes the weights.

        Args:
            network: From {feature: (batch, *shape)} to logits (batch, genres).
            features: The features that it takes.
            settings: The settings that the data were prepared with.
            labels: The genres in the order of the logits.
            calibration: The calibration of the run; None for a run that is not calibrated.
        """
        self.labels = tuple(labels)
        self._calibration = calibration
        self._features = features
        self._segment = settings.segment
        self._rate_hz = settings.audio.sample_rate_hz
        compute = frozen(embedding_network(network))
        # One function for all signatures, so that a saved model holds the weights once.
        self._network = tf.function(
            compute,
            autograph=False,
            input_signature=[
                {name: tf.TensorSpec((None, *spec.shape), spec.dtype, name) for name, spec in features.specs.items()}
            ],
        )
        outputs = self._network.get_concrete_function().structured_outputs
        self.num_values = int(outputs[EMBEDDINGS].shape[1])

    def predict(self, waveform: Any, sample_rate_hz: Any) -> dict[str, Any]:
        """Returns the means over the segments of each track: the signature `serving_default`.

        A silent track is no error, which would take the answers for the other tracks of its batch with it.

        Args:
            waveform: (batch, samples) float32, mono, in [-1, 1].
            sample_rate_hz: () int32, or (batch,) with the same rate for all.

        Returns:
            probabilities (batch, genres) float32, embedding (batch, values) float32, labels (batch, genres) string, and
            is_silent (batch,) bool. Probabilities and embedding of a silent track are 0.
        """
        found = self.segments(waveform, sample_rate_hz)
        weights = tf.cast(found.is_used, tf.float32)[..., None]
        num_used = tf.reduce_sum(weights, axis=1)
        is_silent = num_used == 0
        divisor = tf.maximum(num_used, 1.0)
        probabilities = tf.reduce_sum(found.probabilities * weights, axis=1) / divisor
        if self._calibration is not None:
            probabilities = _with_temperature(probabilities, self._calibration.track)
        return {
            "probabilities": tf.where(is_silent, tf.zeros_like(probabilities), probabilities),
            "embedding": tf.reduce_sum(found.embeddings * weights, axis=1) / divisor,
            "labels": self._labels_of(probabilities),
            "is_silent": is_silent[:, 0],
        }

    def predict_features(self, values: dict[str, Any]) -> dict[str, Any]:
        """Returns the same for features of single segments, {feature: (segments, *shape)}: `serve_features`."""
        cast = {name: tf.cast(values[name], spec.dtype) for name, spec in self._features.specs.items()}
        probabilities, embeddings = self._run_network(cast)
        if self._calibration is not None:
            probabilities = _with_temperature(probabilities, self._calibration.segment)
        return {"probabilities": probabilities, "embedding": embeddings, "labels": self._labels_of(probabilities)}

    def segments(self, waveform: Any, sample_rate_hz: Any) -> SegmentOutputs:
        """Returns what is computed for each segment: the signature `serve_segments`. Arguments are those of `predict`.

        Probabilities are not calibrated: the calibrated ones of tracks are not a mean of calibrated ones of segments.
        A track that is shorter than a segment is padded with silence; a shorter rest behind the last one is not used.
        """
        from_hz = checked_rate_hz(sample_rate_hz)
        waveform = checked_waveform(waveform)
        batch, num_samples = tf.shape(waveform)[0], tf.shape(waveform)[1]
        length, hop = segment_length(self._segment, self._rate_hz), round(self._segment.hop_s * self._rate_hz)
        num_resampled = resampled_length(num_samples, from_hz=from_hz, to_hz=self._rate_hz)
        num_segments = 1 + tf.cast(tf.maximum(num_resampled - length, 0) // hop, tf.int32)
        longest_s = max(self._segment.duration_s, self._segment.hop_s)
        limit = tf.maximum(1, min(_BLOCK_SEGMENTS, int(_BLOCK_S / longest_s)) // batch)
        num_blocks = -(-num_segments // limit)
        block_segments = -(-num_segments // num_blocks)

        def block(index: Any) -> tuple[Any, Any, Any]:
            first = tf.cast(index * block_segments, tf.int64)
            starts = (first + tf.range(tf.cast(block_segments, tf.int64))) * hop
            return self._of_block(waveform, from_hz, starts)

        blocks = tf.map_fn(
            block,
            tf.range(num_blocks),
            fn_output_signature=(
                tf.TensorSpec((None, None, len(self.labels)), tf.float32),
                tf.TensorSpec((None, None, self.num_values), tf.float32),
                tf.TensorSpec((None, None), tf.bool),
            ),
            parallel_iterations=1,
        )
        probabilities, embeddings, is_used = (_joined(each)[:, :num_segments] for each in blocks)
        starts_s = tf.cast(tf.range(num_segments), tf.float64) * (hop / self._rate_hz)
        return SegmentOutputs(probabilities, embeddings, is_used, tf.cast(starts_s, tf.float32))

    def _of_block(self, waveform: Any, from_hz: Any, starts: Any) -> tuple[Any, Any, Any]:
        """Returns the first three entries of `SegmentOutputs` for some segments.

        Args:
            waveform: (batch, samples) float32.
            from_hz: Its rate, () int64.
            starts: (segments,) int64, where they start in the audio at the rate of the data.
        """
        batch, num_segments = tf.shape(waveform)[0], tf.size(starts)
        segments_at = {}
        for rate_hz in {self._rate_hz, *self._features.num_samples_at}:
            length = segment_length(self._segment, rate_hz)
            # Rounded as Python does, which the pipeline uses.
            at_rate = tf.cast(tf.round(tf.cast(starts, tf.float64) / self._rate_hz * rate_hz), tf.int64)
            count = at_rate[-1] - at_rate[0] + length
            part = resample(waveform, from_hz=from_hz, to_hz=rate_hz, start=at_rate[0], count=count)
            indices = (at_rate - at_rate[0])[:, None] + tf.range(length, dtype=tf.int64)[None, :]
            segments_at[rate_hz] = tf.reshape(tf.gather(part, indices, axis=1), tf.stack([-1, length]))
        probabilities, embeddings = self._run_network(self._features(segments_at))
        power = tf.reduce_mean(tf.square(segments_at[self._rate_hz]), axis=1)
        is_used = power >= 10.0 ** (self._segment.silence_threshold_dbfs / 10.0)
        shape = tf.stack([batch, num_segments])
        return (
            tf.reshape(probabilities, tf.concat([shape, [probabilities.shape[1]]], axis=0)),
            tf.reshape(embeddings, tf.concat([shape, [embeddings.shape[1]]], axis=0)),
            tf.reshape(is_used, shape),
        )

    def _run_network(self, values: dict[str, Any]) -> tuple[Any, Any]:
        """{feature: (segments, *shape)} → probabilities (segments, genres) and embeddings (segments, values)."""
        outputs = self._network(values)
        return tf.nn.softmax(outputs[LOGITS]), tf.cast(outputs[EMBEDDINGS], tf.float32)

    def _labels_of(self, probabilities: Any) -> Any:
        """Returns the labels for each row: servers split the outputs of a batch by rows."""
        return tf.tile(tf.constant([self.labels]), [tf.shape(probabilities)[0], 1])


def _with_temperature(probabilities: Any, temperature: float) -> Any:
    """`trainer.metrics.calibration.with_temperature` in the graph, (…, classes) float32."""
    return tf.nn.softmax(tf.math.log(tf.maximum(probabilities, np.finfo(np.float32).tiny)) / temperature)


def _joined(blocks: Any) -> Any:
    """(blocks, batch, segments of a block, …) → (batch, segments, …)."""
    by_track = tf.transpose(blocks, [1, 0, 2, *range(3, len(blocks.shape))])
    return tf.reshape(by_track, tf.concat([[tf.shape(by_track)[0], -1], tf.shape(by_track)[3:]], axis=0))
