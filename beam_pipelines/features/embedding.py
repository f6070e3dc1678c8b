"""The output of a network that the user brings, for each window of a segment.

The windows are of the waveform, or of its log-mel spectrogram by the recipe of the settings. The network is loaded once
in a process, and tried on silence and on noise before any audio is decoded.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from beam_pipelines.audio.decode import AudioError
from beam_pipelines.common.errors import RunAgainError, UserError, first_line
from beam_pipelines.features.config import LogMelConfig
from beam_pipelines.features.embedding_config import (
    BANDS,
    BATCH,
    FRAMES,
    KERAS,
    LOG_MEL,
    ONE,
    ONNX,
    SAMPLES,
    SAVED_MODEL,
    TFLITE,
    EmbeddingConfig,
)
from beam_pipelines.features.embedding_files import locate, network_hash
from beam_pipelines.features.embedding_network import OwnNetwork
from beam_pipelines.features.mel import MelPower, mel_filters
from beam_pipelines.features.patch_network import Array, LoadedNetworks
from beam_pipelines.records.schema import FeatureSpec

# Windows in a call of a network that takes any number. The last bits of a result may depend on it.
_MAX_BATCH = 16
_LARGEST_BATCH = 1024
_DTYPES = ("float16", "float32", "float64", "int16")
_LOGARITHMS: Mapping[str, tuple[Callable[[Any], Any], float]] = {
    "log10": (np.log10, 1.0),
    "ln": (np.log, 1.0),
    "db": (np.log10, 10.0),
}

_networks: LoadedNetworks[OwnNetwork] = LoadedNetworks()
_num_values: LoadedNetworks[int] = LoadedNetworks()


class WindowCutter:
    """The windows of a segment as the input of a network, (samples,) → (windows, *sizes of the other axes).

    Not thread-safe: all calls use the same buffers.

    Attributes:
        num_samples: The samples that windows are cut from: those of the segment, and zeros if it is shorter than a
            window.
        num_windows: Windows in a segment, at least one.
        window_length: Samples or frames in a window.
        hop_length: Samples or frames from one window to the next.
    """

    def __init__(self, name: str, config: EmbeddingConfig, *, segment_num_samples: int) -> None:
        """Prepares filter bank and buffers.

        Raises:
            UserError: The settings of the log-mel do not fit the rate.
        """
        self._config = config
        self._segment_num_samples = segment_num_samples
        unit = config.hop_length if config.input == LOG_MEL else 1
        self.window_length = max(1, round(config.window_s * config.rate_hz / unit))
        self.hop_length = max(1, round(config.window_hop_s * config.rate_hz / unit))
        self.num_samples = max(segment_num_samples, self.window_length * unit)
        num_steps = self.num_samples
        if config.input == LOG_MEL:
            num_steps = 1 + self.num_samples // config.hop_length
            if config.padding == "reflect" and self.num_samples <= config.n_fft // 2:
                raise UserError(
                    f"features.{name}.padding=reflect: segments of {self.num_samples} samples are too short for "
                    f"n_fft={config.n_fft}: use a longer segment.duration_s"
                )
            self._power = MelPower(
                own_mel_filters(name, config),
                n_fft=config.n_fft,
                hop_length=config.hop_length,
                segment_num_samples=self.num_samples,
                reflects=config.padding == "reflect",
            )
        self.num_windows = 1 + (num_steps - self.window_length) // self.hop_length

    @property
    def sizes(self) -> dict[str, int]:
        """The size of each axis but the batch."""
        length = FRAMES if self._config.input == LOG_MEL else SAMPLES
        return {length: self.window_length, BANDS: self._config.n_mels, ONE: 1}

    def __call__(self, segment: Array) -> Array:
        """Returns the windows with the axes of the settings, the windows first."""
        samples = np.zeros(self.num_samples, dtype=np.float32)
        samples[: self._segment_num_samples] = segment
        samples *= np.float32(self._config.gain)
        steps = self._log_mel(samples) if self._config.input == LOG_MEL else samples
        starts = [index * self.hop_length for index in range(self.num_windows)]
        windows = np.stack([steps[start : start + self.window_length] for start in starts])
        axes = [axis for axis in self._config.input_axes if axis != BATCH]
        if FRAMES in axes and axes.index(BANDS) < axes.index(FRAMES):
            windows = windows.swapaxes(1, 2)
        return np.ascontiguousarray(windows.reshape(len(windows), *(self.sizes[axis] for axis in axes)))

    def _log_mel(self, samples: Array) -> Array:
        config, (logarithm, factor) = self._config, _LOGARITHMS[self._config.log]
        power = self._power(samples) * np.float32(config.log_factor) + np.float32(config.log_offset)
        log_mel: Array = logarithm(power) * np.float32(factor)
        return log_mel


class Embedding:
    """The vectors of a segment, (samples,) → (windows, values). Not thread-safe; objects share one network."""

    def __init__(self, name: str, config: EmbeddingConfig, *, segment_num_samples: int) -> None:
        """Loads the network and tries it, both once in a process.

        Args:
            name: The name of the feature.
            config: The settings.
            segment_num_samples: The length of the segments.

        Raises:
            UserError: The network is not there, cannot be loaded, or does not take the windows of the settings; or its
                output is not one vector of finite numbers for each.
        """
        self._name, self._config = name, config
        self.sample_rate_hz = config.rate_hz
        self.cutter = WindowCutter(name, config, segment_num_samples=segment_num_samples)
        self.network = load_network(name, config)
        self._batch_size = _checked_batch_size(name, config, self.network, cutter=self.cutter)
        config.license_text()
        key = (network_hash(name, config), repr(config), segment_num_samples)
        num_values = _num_values.get(key, lambda: self._try(segment_num_samples))
        self.spec = FeatureSpec(name=name, shape=(self.cutter.num_windows, num_values), dtype=config.dtype)

    def embeddings(self, segment: Array) -> Array:
        """(samples,) float32 → (windows, values) float32.

        Raises:
            UserError: The network fails, or its output is not one vector for each window.
        """
        windows = self._to_dtype(self.cutter(segment))
        parts = [
            self._run(windows[start : start + self._batch_size]) for start in range(0, len(windows), self._batch_size)
        ]
        return np.concatenate(parts).astype(np.float32)

    def __call__(self, segment: npt.NDArray[np.float32]) -> npt.NDArray[Any]:
        """Returns the embeddings in the dtype in which they are stored.

        Raises:
            AudioError: They are not finite, or too large for it.
        """
        with np.errstate(over="ignore"):
            stored = self.embeddings(segment).astype(self.spec.dtype)
        if not np.isfinite(stored).all():
            message = f"features.{self._name}: the network returns values that are not finite in {self.spec.dtype}"
            raise AudioError("not_finite", message, stage="features")
        return stored

    def _to_dtype(self, windows: Array) -> npt.NDArray[Any]:
        dtype = self.network.input.dtype
        if dtype == "int16":
            return np.clip(np.rint(windows), -32768, 32767).astype(np.int16)
        return windows.astype(dtype)

    def _run(self, windows: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """(at most `_batch_size`, …) → (the same number, values): one call, with zeros behind the last window."""
        has_batch = BATCH in self._config.input_axes
        padding = np.zeros((self._batch_size - len(windows), *windows.shape[1:]), dtype=windows.dtype)
        batch = np.concatenate([windows, padding]) if has_batch else windows[0]
        try:
            output = self.network.run(batch)
        except (UserError, RunAgainError, MemoryError):
            raise
        except Exception as error:
            raise UserError(
                f"features.{self._name}: the network fails for an input of shape {batch.shape}: {first_line(error)}"
            ) from error
        return self._vectors(np.asarray(output), has_batch=has_batch)[: len(windows)]

    def _vectors(self, output: npt.NDArray[Any], *, has_batch: bool) -> npt.NDArray[Any]:
        """Returns an output as (batch, values)."""
        vectors = output if has_batch else output[np.newaxis]
        if self._config.pooling == "mean" and vectors.ndim > 2:
            vectors = vectors.mean(axis=tuple(range(1, vectors.ndim - 1)), dtype=np.float32)
        wanted = f"({self._batch_size}, values)" if has_batch else "(values,)"
        is_right = vectors.ndim == 2 and len(vectors) == self._batch_size and vectors.shape[1] > 0
        if not is_right or vectors.dtype.kind != "f":
            hint = "; pooling=mean takes the mean over the axes between" if vectors.ndim > 2 else ""
            raise UserError(
                f"features.{self._name}: the output of the network has the shape {output.shape} and the type "
                f"{output.dtype}, expected {wanted} of real numbers{hint}: choose another output_name"
            )
        return vectors

    def _try(self, num_samples: int) -> int:
        """Returns the number of values, after the network has computed those of silence and of noise."""
        noise = np.random.default_rng(0).uniform(-0.5, 0.5, num_samples).astype(np.float32)
        for what, segment in (("silence", np.zeros(num_samples, dtype=np.float32)), ("noise", noise)):
            values = self.embeddings(segment)
            if not np.isfinite(values).all():
                raise UserError(
                    f"features.{self._name}: the network returns values for {what} that are not finite numbers: check "
                    "gain and the other settings of its input"
                )
            if self._config.dtype == "float16" and np.abs(values).max() > np.finfo(np.float16).max:
                raise UserError(
                    f"features.{self._name}.dtype=float16: the network returns values up to {np.abs(values).max():g}, "
                    "which float16 does not hold: set dtype=float32"
                )
        return int(values.shape[1])


def load_network(name: str, config: EmbeddingConfig) -> OwnNetwork:
    """Returns the network of a feature, which is loaded once in a process.

    Raises:
        UserError: It is not there, its library is not installed, or it cannot be loaded.
    """
    with _networks.lock:
        path = locate(name, config)
        key = (network_hash(name, config), config.format, config.input_name, config.output_name)
        return _networks.get(key, lambda: _load(path, config, key=f"features.{name}"))


def _load(path: str, config: EmbeddingConfig, *, key: str) -> OwnNetwork:
    if config.format == ONNX:
        from beam_pipelines.features.embedding_onnx import load_onnx

        return load_onnx(path, config, key=key)
    # Imports nothing of TensorFlow by itself.
    from beam_pipelines.features import embedding_tensorflow

    loaders = {
        KERAS: embedding_tensorflow.load_keras,
        SAVED_MODEL: embedding_tensorflow.load_saved_model,
        TFLITE: embedding_tensorflow.load_tflite,
    }
    return loaders[config.format](path, config, key=key)


def own_mel_filters(name: str, config: EmbeddingConfig) -> npt.NDArray[np.float32]:
    """Returns the filter bank of the settings, (bands, bins) float32.

    Raises:
        UserError: A band reaches past half the sample rate, or has no bin; or a value is out of range.
    """
    recipe = LogMelConfig(
        kind=config.kind,
        n_fft=config.n_fft,
        hop_length=config.hop_length,
        n_mels=config.n_mels,
        fmin_hz=config.fmin_hz,
        fmax_hz=config.fmax_hz,
    )
    return mel_filters(name, recipe, config.rate_hz)


def _checked_batch_size(name: str, config: EmbeddingConfig, network: OwnNetwork, *, cutter: WindowCutter) -> int:
    """Returns the number of windows in a call of the network.

    Raises:
        UserError: The network takes other inputs than the windows of the settings.
    """
    port, axes, key = network.input, config.input_axes, f"features.{name}"
    if port.dtype not in _DTYPES:
        raise UserError(f"{key}: the input {port.name} is of type {port.dtype}: expected one of {', '.join(_DTYPES)}")
    batch_size = min(cutter.num_windows, _MAX_BATCH) if BATCH in axes else 1
    if port.shape is None:
        return batch_size
    given = {**cutter.sizes, BATCH: None}
    if len(port.shape) != len(axes):
        raise UserError(
            f"{key}.axes: the input {port.name} has the shape {_shape_text(port.shape)}, and axes=[{','.join(axes)}] "
            f"are {len(axes)}: name each of its axes"
        )
    for axis, size in zip(axes, port.shape, strict=True):
        if axis == BATCH and size is not None:
            if not 1 <= size <= _LARGEST_BATCH:
                raise UserError(f"{key}: the network takes batches of {size}: expected 1 to {_LARGEST_BATCH}, or any")
            batch_size = size
        elif size not in (None, given[axis]):
            raise UserError(
                f"{key}: the input {port.name} takes {size} {axis}, and the settings give {given[axis]}: "
                f"{_hint(axis, size, config)}"
            )
    return batch_size


def _hint(axis: str, size: int | None, config: EmbeddingConfig) -> str:
    if axis == BANDS:
        return f"set n_mels={size}"
    if axis == ONE or size is None:
        return "set axes"
    unit = config.hop_length if axis == FRAMES else 1
    return f"set window_s={size * unit / config.rate_hz:g}, or the rate or axes of the network"


def _shape_text(shape: tuple[int | None, ...]) -> str:
    return "(" + ", ".join("any" if size is None else str(size) for size in shape) + ")"
