"""The network that the user brought, with the windows that it takes, as TensorFlow operations."""

from typing import Any

import numpy as np
import tensorflow as tf

from beam_pipelines.audio.segments import segment_length
from beam_pipelines.common.errors import UserError
from beam_pipelines.features.embedding import Embedding, own_mel_filters
from beam_pipelines.features.embedding_config import BANDS, BATCH, FRAMES, LOG_MEL, EmbeddingConfig
from beam_pipelines.features.weights_hash import require_same_sources
from beam_pipelines.prepare.prepare_yaml import PrepareYaml
from trainer.export.graph_spectra import Fourier, matmul_float, power_spectra

# The natural logarithm is multiplied by these.
_LOGARITHMS = {"ln": 1.0, "log10": 1.0 / np.log(10.0), "db": 10.0 / np.log(10.0)}


class OwnGraph:
    """A feature `embedding` from segments: `beam_pipelines.features.embedding.Embedding` of the pipeline."""

    def __init__(self, name: str, config: EmbeddingConfig, settings: PrepareYaml) -> None:
        """Loads the network.

        Raises:
            UserError: The network is no graph of TensorFlow for batches of any size, is not there, or is another one
                than that of the data.
        """
        self._config = config
        feature = Embedding(name, config, segment_num_samples=segment_length(settings.segment, config.rate_hz))
        require_same_sources({name: config}, recorded=settings.sources)
        port, make_graph = feature.network.input, feature.network.graph
        if make_graph is None:
            raise UserError(
                f"features.{name}: a network in the format {config.format} cannot be exported: TensorFlow does not run "
                "it in a graph; a SavedModel or a .keras file can be, and `beamtune predict` and `serve` run this one"
            )
        if BATCH not in config.input_axes or (port.shape is not None and port.shape[0] is not None):
            raise UserError(
                f"features.{name}: a network for one window, or for batches of one size, cannot be exported: save it "
                "for batches of any size"
            )
        self._cutter, self._dtype = feature.cutter, port.dtype
        self._axes = [axis for axis in config.input_axes if axis != BATCH]
        self._sizes = [feature.cutter.sizes[axis] for axis in self._axes]
        self._network = make_graph((None, *self._sizes))
        self._num_values = feature.spec.shape[-1]

    def __call__(self, segments: Any, *, fourier: Fourier) -> Any:
        """(segments, samples) float32 → (segments, windows, values) float32."""
        samples = tf.pad(segments, [[0, 0], [0, self._cutter.num_samples - segments.shape[1]]])
        samples *= np.float32(self._config.gain)
        steps = self._log_mel(samples, fourier) if self._config.input == LOG_MEL else samples
        windows = tf.signal.frame(steps, self._cutter.window_length, self._cutter.hop_length, axis=1)
        if FRAMES in self._axes and self._axes.index(BANDS) < self._axes.index(FRAMES):
            windows = tf.transpose(windows, [0, 1, 3, 2])
        windows = tf.reshape(windows, (-1, *self._sizes))
        if self._dtype == "int16":
            windows = tf.clip_by_value(tf.round(windows), -32768.0, 32767.0)
        vectors = self._network(tf.cast(windows, self._dtype))
        if self._config.pooling == "mean" and vectors.shape.rank != 2:
            vectors = tf.reduce_mean(vectors, axis=tf.range(1, tf.rank(vectors) - 1))
        return tf.reshape(tf.cast(vectors, tf.float32), (-1, self._cutter.num_windows, self._num_values))

    def _log_mel(self, samples: Any, fourier: Fourier) -> Any:
        config, half_window = self._config, self._config.n_fft // 2
        power = power_spectra(
            tf.pad(
                samples,
                [[0, 0], [half_window, half_window]],
                mode="REFLECT" if config.padding == "reflect" else "CONSTANT",
            ),
            window_length=config.n_fft,
            hop_length=config.hop_length,
            fft_length=config.n_fft,
            fourier=fourier,
        )
        mel_power = matmul_float(tf.cast(power, tf.float32), own_mel_filters(config.kind, config))
        logarithms = tf.math.log(mel_power * np.float32(config.log_factor) + np.float32(config.log_offset))
        return logarithms * np.float32(_LOGARITHMS[config.log])
