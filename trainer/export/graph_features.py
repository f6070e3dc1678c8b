"""The features of segments as TensorFlow operations, for models that run without beamtune.

The values are those of `beam_pipelines.features`. Windows, filter banks and the matrices of the DCT and of the deltas
come from its code, and are constants in the graph. All functions take batches of segments and are pure.
"""

from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
import scipy.fft
import tensorflow as tf

from beam_pipelines.audio.segments import segment_length
from beam_pipelines.common.errors import UserError
from beam_pipelines.features import musicnn, musicnn_log_mel, musicnn_network, yamnet, yamnet_log_mel, yamnet_network
from beam_pipelines.features.config import (
    MUSICNN_LAYERS,
    YAMNET_SAMPLE_RATE_HZ,
    EmbeddingConfig,
    FeatureConfig,
    LogMelConfig,
    MfccConfig,
    MusicnnConfig,
    MusicnnLogMelConfig,
    SpectralStatsConfig,
    WaveformConfig,
    YamnetConfig,
    YamnetLogMelConfig,
)
from beam_pipelines.features.deltas import DELTA_WIDTH, delta
from beam_pipelines.features.mel import SMALLEST_POWER, mel_filters
from beam_pipelines.features.weights_hash import require_same_sources
from beam_pipelines.prepare.prepare_yaml import PrepareYaml
from beam_pipelines.records.schema import FeatureSpec
from trainer.export.frozen import frozen
from trainer.export.graph_embedding import OwnGraph
from trainer.export.graph_spectra import Fourier, matmul_float, power_spectra

_FULL_SCALE = 32768.0
_WITH_GRAPH = (
    *(LogMelConfig, WaveformConfig, YamnetLogMelConfig, YamnetConfig, MusicnnLogMelConfig, MusicnnConfig),
    EmbeddingConfig,
)


class GraphFeatures:
    """The features of a model, from the samples of segments.

    Attributes:
        specs: The features by name.
        rate_hz_of: The rate of the samples that each feature is computed from, by the name of the feature.
        num_samples_at: The length of a segment at each of these rates.
    """

    def __init__(
        self, settings: PrepareYaml, specs: Mapping[str, FeatureSpec], *, fourier: Fourier = Fourier.FFT_FLOAT64
    ) -> None:
        """Checks the features, and loads the networks that they need.

        Args:
            settings: The settings that the data were prepared with.
            specs: The features to compute, by name.
            fourier: How spectra are computed.

        Raises:
            UserError: A feature has no graph, its settings are missing, or the file of its weights has changed.
            RunFailedError: The weights are missing and cannot be downloaded.
        """
        self.specs = dict(specs)
        self._fourier = fourier
        self._configs = {name: _config_of(name, settings) for name in specs}
        self.rate_hz_of = {
            name: config.sample_rate_hz or settings.audio.sample_rate_hz for name, config in self._configs.items()
        }
        self.num_samples_at = {rate: segment_length(settings.segment, rate) for rate in set(self.rate_hz_of.values())}
        self._networks = {
            name: _embedding_network(name, config, settings)
            for name, config in self._configs.items()
            if isinstance(config, YamnetConfig | MusicnnConfig)
        }
        self._own_networks = {
            name: OwnGraph(name, config, settings)
            for name, config in self._configs.items()
            if isinstance(config, EmbeddingConfig)
        }

    def __call__(self, segments_at: Mapping[int, Any]) -> dict[str, Any]:
        """Returns the features of segments, {name: (segments, *shape)} in their stored dtypes.

        Args:
            segments_at: The samples of the segments at each rate, {rate in Hz: (segments, samples) float32}.
        """
        return {name: self._compute(name, segments_at[rate_hz]) for name, rate_hz in self.rate_hz_of.items()}

    def _compute(self, name: str, segments: Any) -> Any:
        spec, config, rate_hz = self.specs[name], self._configs[name], self.rate_hz_of[name]
        segments = tf.ensure_shape(segments, (None, self.num_samples_at[rate_hz]))
        if isinstance(config, MfccConfig):
            values = mfcc(segments, config, sample_rate_hz=rate_hz, fourier=self._fourier)
        elif isinstance(config, LogMelConfig):
            values = log_mel(segments, config, sample_rate_hz=rate_hz, fourier=self._fourier)
        elif isinstance(config, YamnetLogMelConfig):
            values = yamnet_spectrogram(segments, fourier=self._fourier)
        elif isinstance(config, YamnetConfig):
            values = yamnet_embeddings(segments, self._networks[name], fourier=self._fourier)
        elif isinstance(config, MusicnnLogMelConfig):
            values = musicnn_spectrogram(segments, fourier=self._fourier)
        elif isinstance(config, MusicnnConfig):
            values = musicnn_embeddings(segments, self._networks[name], fourier=self._fourier)
        elif isinstance(config, EmbeddingConfig):
            values = self._own_networks[name](segments, fourier=self._fourier)
        else:
            values = pcm16(segments)
        return tf.ensure_shape(tf.cast(values, spec.dtype), (None, *spec.shape))


def log_mel(segments: Any, config: LogMelConfig, *, sample_rate_hz: int, fourier: Fourier) -> Any:
    """(segments, samples) float32 → (segments, frames, bands) float32, in dB: `beam_pipelines.features.mel.LogMel`."""
    half_window = config.n_fft // 2
    centred = tf.pad(segments, [[0, 0], [half_window, half_window]])
    power = power_spectra(
        centred, window_length=config.n_fft, hop_length=config.hop_length, fft_length=config.n_fft, fourier=fourier
    )
    mel_power = matmul_float(tf.cast(power, tf.float32), mel_filters(config.kind, config, sample_rate_hz))
    decibels = tf.math.log(tf.maximum(mel_power, SMALLEST_POWER)) * np.float32(10.0 / np.log(10.0))
    floor = tf.reduce_max(decibels, axis=[1, 2], keepdims=True) - config.top_db
    return tf.maximum(decibels, floor)


def mfcc(segments: Any, config: MfccConfig, *, sample_rate_hz: int, fourier: Fourier) -> Any:
    """(segments, samples) float32 → (segments, frames, coefficients · (1 + deltas)) float32: `Mfcc` of the pipeline."""
    decibels = log_mel(segments, config, sample_rate_hz=sample_rate_hz, fourier=fourier)
    dct = scipy.fft.dct(np.eye(config.n_mels), axis=1, type=2, norm="ortho")[:, : config.n_mfcc]
    coefficients = matmul_float(decibels, dct.T)
    derivatives = [_delta(coefficients, order=order) for order in range(1, config.deltas + 1)]
    return tf.concat([coefficients, *derivatives], axis=2)


def yamnet_spectrogram(segments: Any, *, fourier: Fourier) -> Any:
    """(segments, samples) float32 at 16 kHz → (segments, frames, 64) float32: `YamnetLogMel` of the pipeline."""
    num_samples = segments.shape[1]
    shape = yamnet_log_mel.YamnetSpectrogram(segment_duration_s=num_samples / YAMNET_SAMPLE_RATE_HZ)
    whole = (shape.num_frames - 1) * yamnet_log_mel.HOP_LENGTH + yamnet_log_mel.WINDOW_LENGTH
    padded = tf.pad(segments, [[0, 0], [0, max(0, whole - num_samples)]])[:, :whole]
    power = power_spectra(
        padded,
        window_length=yamnet_log_mel.WINDOW_LENGTH,
        hop_length=yamnet_log_mel.HOP_LENGTH,
        fft_length=yamnet_log_mel.FFT_LENGTH,
        fourier=fourier,
    )
    mel = matmul_float(tf.sqrt(power), yamnet_log_mel.mel_filters())
    return tf.cast(tf.math.log(mel + tf.constant(yamnet_log_mel.LOG_OFFSET, fourier.dtype)), tf.float32)


def yamnet_embeddings(segments: Any, network: Callable[[Any], Any], *, fourier: Fourier) -> Any:
    """(segments, samples) float32 at 16 kHz → (segments, patches, 1024) float32: `Yamnet` of the pipeline.

    Args:
        segments: The samples.
        network: From patches (patches, 96, 64) to embeddings (patches, 1024).
        fourier: How spectra are computed.
    """
    spectrogram = yamnet_spectrogram(segments, fourier=fourier)
    _, num_frames, num_bands = spectrogram.shape
    hop = yamnet_log_mel.PATCH_HOP_FRAMES
    # Patches overlap by half: two neighbouring blocks of a hop make one patch.
    blocks = tf.reshape(spectrogram, (-1, num_frames // hop, hop, num_bands))
    patches = tf.concat([blocks[:, :-1], blocks[:, 1:]], axis=2)
    embeddings = network(tf.reshape(patches, (-1, yamnet_log_mel.PATCH_FRAMES, num_bands)))
    return tf.reshape(embeddings, (-1, num_frames // hop - 1, yamnet_network.EMBEDDING_SIZE))


def musicnn_spectrogram(segments: Any, *, fourier: Fourier) -> Any:
    """(segments, samples) float32 at 16 kHz → (segments, frames, 96) float32: `MusicnnLogMel` of the pipeline."""
    shape = musicnn_log_mel.MusicnnSpectrogram(MusicnnLogMelConfig.kind, segment_num_samples=segments.shape[1])
    half_window = musicnn_log_mel.N_FFT // 2
    power = power_spectra(
        tf.pad(segments, [[0, 0], [half_window, half_window]], mode="REFLECT"),
        window_length=musicnn_log_mel.N_FFT,
        hop_length=musicnn_log_mel.HOP_LENGTH,
        fft_length=musicnn_log_mel.N_FFT,
        fourier=fourier,
    )
    mel_power = matmul_float(tf.cast(power, tf.float32), musicnn_log_mel.mel_filters())
    logarithms = tf.math.log(mel_power * musicnn_log_mel.POWER_FACTOR + 1.0) * np.float32(1.0 / np.log(10.0))
    num_silent = shape.num_frames - shape.num_whole_frames
    return tf.pad(logarithms[:, : shape.num_whole_frames], [[0, 0], [0, num_silent], [0, 0]])


def musicnn_embeddings(segments: Any, network: Callable[[Any], Any], *, fourier: Fourier) -> Any:
    """(segments, samples) float32 at 16 kHz → (segments, patches, values) float32: `Musicnn` of the pipeline.

    Args:
        segments: The samples.
        network: From patches (patches, 187, 96) to embeddings (patches, values).
        fourier: How spectra are computed.
    """
    spectrogram = musicnn_spectrogram(segments, fourier=fourier)
    _, num_frames, num_bands = spectrogram.shape
    embeddings = network(tf.reshape(spectrogram, (-1, musicnn_log_mel.PATCH_FRAMES, num_bands)))
    return tf.reshape(embeddings, (-1, num_frames // musicnn_log_mel.PATCH_FRAMES, embeddings.shape[-1]))


def pcm16(segments: Any) -> Any:
    """(segments, samples) float32 → the same shape, int16: `to_pcm16` of the pipeline."""
    return tf.cast(tf.clip_by_value(tf.round(segments * _FULL_SCALE), -32768.0, 32767.0), tf.int16)


def _delta(features: Any, *, order: int) -> Any:
    """(segments, frames, coefficients) → the same shape: `beam_pipelines.features.deltas.delta`.

    The derivatives in the middle are a convolution; the first and the last frames have filters of their own.
    """
    half = DELTA_WIDTH // 2
    # Of the unit impulses the derivative is the filter itself: enough frames for both ends and one in the middle.
    filters = delta(np.eye(DELTA_WIDTH + 2 * half, dtype=np.float32), order=order)
    first, last = filters[:half, :DELTA_WIDTH], filters[-half:, -DELTA_WIDTH:]
    middle = filters[2 * half, half : half + DELTA_WIDTH].reshape(DELTA_WIDTH, 1, 1, 1)
    convolved = tf.nn.conv2d(tf.expand_dims(features, -1), tf.constant(middle), strides=1, padding="VALID")
    return tf.concat(
        [
            tf.matmul(tf.constant(first), features[:, :DELTA_WIDTH]),
            tf.squeeze(convolved, -1),
            tf.matmul(tf.constant(last), features[:, -DELTA_WIDTH:]),
        ],
        axis=1,
    )


def _config_of(name: str, settings: PrepareYaml) -> FeatureConfig:
    """Returns the settings of a feature.

    Raises:
        UserError: There are none, or the feature has no graph.
    """
    config = settings.features.get(name)
    if isinstance(config, SpectralStatsConfig):
        raise UserError(
            f"features.{name}: spectral_stats cannot be exported, because librosa computes it and no TensorFlow "
            "operations do: train on log_mel, mfcc, waveform, yamnet, musicnn, embedding, or the log_mel of these"
        )
    if not isinstance(config, _WITH_GRAPH):
        kind = "missing" if config is None else config.kind
        raise UserError(f"features.{name} is {kind} in prepare.yaml of the run: prepare the data again, and train")
    return config


def _embedding_network(name: str, config: YamnetConfig | MusicnnConfig, settings: PrepareYaml) -> Callable[[Any], Any]:
    """Returns a pretrained network with its weights, from patches (patches, frames, bands) to (patches, values).

    Raises:
        UserError: The weights are not those that the data were prepared with.
        RunFailedError: The weights are missing and cannot be downloaded.
    """
    if isinstance(config, YamnetConfig):
        weights, whole = yamnet.load_network(config).copy_weights(), yamnet_network.build_model()
        output = whole.get_layer("embeddings").output
    else:
        weights = musicnn.load_network(config).copy_weights()
        whole = musicnn_network.build_model(config.network, variant=config.variant)
        output = whole.outputs[MUSICNN_LAYERS[config.network].index(config.layer)]
    require_same_sources({name: config}, recorded=settings.sources)
    for layer in whole.layers:
        if layer.weights:
            layer.set_weights(weights[layer.name])
    return frozen(keras.Model(whole.input, output, name=config.kind))
