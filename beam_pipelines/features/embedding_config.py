"""Settings of the feature `embedding`: a network that the user brings, and how audio becomes its input."""

import os
import posixpath
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import ClassVar

from beam_pipelines.common.checks import MISSING, check, check_choice, check_path
from beam_pipelines.common.errors import UserError
from beam_pipelines.common.paths import is_in_bucket, is_local
from beam_pipelines.features.base_config import FeatureConfig

WAVEFORM, LOG_MEL = "waveform", "log_mel"
# Each network is a file of one of these formats, or a folder.
ONNX, KERAS, TFLITE, SAVED_MODEL = "onnx", "keras", "tflite", "saved_model"
BATCH, SAMPLES, FRAMES, BANDS, ONE = "batch", "samples", "frames", "bands", "one"

_DEFAULT_AXES = {WAVEFORM: (BATCH, SAMPLES), LOG_MEL: (BATCH, FRAMES, BANDS)}
_MAX_LICENSE_BYTES = 64 * 2**10


@dataclass(frozen=True)
class EmbeddingConfig(FeatureConfig):
    """The output of a network of the user's for each window of a segment, (windows, values).

    Attributes:
        path: The network, local or gs://: a file that ends with .onnx, .keras or .tflite, or the folder of a
            SavedModel. It is not part of the result, but its content is.
        window_s: The length of a window in seconds; for a log-mel spectrogram a whole number of its hops.
        hop_s: Seconds from one window to the next; None is `window_s`. What is left behind the last whole window is not
            used, and a segment that is shorter than a window is padded with zeros.
        input: What the network takes: "waveform" or "log_mel".
        axes: The axes of its input, in order: batch, samples (of a waveform), frames and bands (of a log-mel), and one
            for each axis of length 1. An input without batch has none. Empty is [batch, samples] or [batch, frames,
            bands].
        input_name: The name of its input; None is the only one.
        output_name: The name of the output that is the embedding; None is the only one.
        gain: Samples in [-1, 1] are multiplied by it, e.g. by 32768 for a network that learned from 16-bit samples.
        pooling: "none" for an output (batch, values), or "mean": over all axes between the first and the last.
        license: The licence of the network: a text, or the path of a local text file, which is written out.
        learned_from: The names of the collections of music that the network learned from, for notes and model cards.
        n_fft: For a log-mel: samples in a window of Hann.
        hop_length: For a log-mel: samples from one frame to the next.
        n_mels: For a log-mel: bands, with Slaney's mel scale and area norm.
        fmin_hz: For a log-mel: lower edge of the lowest band.
        fmax_hz: For a log-mel: upper edge of the highest band; None is half the sample rate.
        padding: For a log-mel: "zeros" or "reflect" around a segment, so that frames are centred.
        log: For a log-mel: "log10", "ln", or "db", which is 10 · log10.
        log_factor: For a log-mel: the power is multiplied by it, and `log_offset` is added, before the logarithm.
        log_offset: See `log_factor`; more than 0.
    """

    path_settings: ClassVar[tuple[str, ...]] = ("path",)

    kind: str = "embedding"
    path: str = MISSING
    sample_rate_hz: int | None = MISSING
    window_s: float = MISSING
    hop_s: float | None = None
    input: str = WAVEFORM
    axes: list[str] = field(default_factory=list)
    input_name: str | None = None
    output_name: str | None = None
    gain: float = 1.0
    pooling: str = "none"
    license: str | None = None
    learned_from: list[str] = field(default_factory=list)
    n_fft: int = 512
    hop_length: int = 256
    n_mels: int = 96
    fmin_hz: float = 0.0
    fmax_hz: float | None = None
    padding: str = "zeros"
    log: str = "log10"
    log_factor: float = 1.0
    log_offset: float = 1e-10

    def __post_init__(self) -> None:
        key = f"features.{self.kind}"
        for name in ("path", "sample_rate_hz", "window_s"):
            if getattr(self, name) in (MISSING, None):
                raise UserError(f"{key}.{name} is not set: give {key}.{name}=…")
        super().__post_init__()
        check_path(self.path, key=f"{key}.path")
        check(
            is_local(self.path) or is_in_bucket(self.path),
            key=f"{key}.path",
            value=self.path,
            expected="a local path or gs://…",
        )
        for name in ("window_s", "hop_s"):
            value = getattr(self, name)
            check(value is None or 0.01 <= value <= 60, key=f"{key}.{name}", value=value, expected="0.01 to 60 s")
        check_choice(self.input, (WAVEFORM, LOG_MEL), key=f"{key}.input")
        check_choice(self.pooling, ("none", "mean"), key=f"{key}.pooling")
        check(
            0 < abs(self.gain) <= 1e6, key=f"{key}.gain", value=self.gain, expected="a factor other than 0, up to 1e6"
        )
        self._check_axes(key)
        if self.input == LOG_MEL:
            self._check_log_mel(key)

    def _check_axes(self, key: str) -> None:
        needed = _DEFAULT_AXES[self.input][1:]
        is_right = all(self.input_axes.count(axis) == 1 for axis in needed)
        is_right &= self.input_axes.count(BATCH) <= 1 and set(self.input_axes) <= {*needed, BATCH, ONE}
        is_right &= BATCH not in self.input_axes[1:]
        check(
            is_right,
            key=f"{key}.axes",
            value="[" + ",".join(self.axes) + "]",
            expected=f"{', '.join(needed)} once each, {BATCH} in front if there is one, and {ONE} for axes of length 1",
        )

    def _check_log_mel(self, key: str) -> None:
        check(
            1 <= self.hop_length <= 65_536,
            key=f"{key}.hop_length",
            value=self.hop_length,
            expected="a hop of 1 to 65536 samples",
        )
        check_choice(self.padding, ("zeros", "reflect"), key=f"{key}.padding")
        check_choice(self.log, ("log10", "ln", "db"), key=f"{key}.log")
        check(self.log_factor > 0, key=f"{key}.log_factor", value=self.log_factor, expected="a positive number")
        check(self.log_offset > 0, key=f"{key}.log_offset", value=self.log_offset, expected="a positive number")
        for name, duration_s in (("window_s", self.window_s), ("hop_s", self.window_hop_s)):
            frames = duration_s * self.rate_hz / self.hop_length
            check(
                round(frames) >= 1 and abs(frames - round(frames)) < 1e-3,
                key=f"{key}.{name}",
                value=duration_s,
                expected=f"a whole number of frames of hop_length={self.hop_length} samples, e.g. "
                f"{max(1, round(frames)) * self.hop_length / self.rate_hz:g} s",
            )

    @property
    def rate_hz(self) -> int:
        """The rate of the samples."""
        assert self.sample_rate_hz is not None  # __post_init__ checks it
        return self.sample_rate_hz

    @property
    def window_hop_s(self) -> float:
        """Seconds from one window to the next."""
        return self.window_s if self.hop_s is None else self.hop_s

    @property
    def input_axes(self) -> tuple[str, ...]:
        """The axes of the network's input, in order."""
        return tuple(self.axes) or _DEFAULT_AXES[self.input]

    @property
    def format(self) -> str:
        """The format of the network, by the end of its path: onnx, keras, tflite, else saved_model."""
        ending = posixpath.splitext(self.path.rstrip("/"))[1].removeprefix(".")
        return ending if ending in (ONNX, KERAS, TFLITE) else SAVED_MODEL

    @property
    def filename(self) -> str:
        """The name of the file or the folder, without the folders above it."""
        return posixpath.basename(self.path.rstrip("/"))

    def sources(self) -> Mapping[str, str]:
        return {"network": self.path}

    def recorded_paths(self) -> dict[str, str]:
        return {"path": os.path.abspath(self.path) if is_local(self.path) else self.path}

    def libraries(self) -> tuple[str, ...]:
        if self.format == ONNX:
            return ("onnxruntime",)
        if self.format == TFLITE:
            return ("ai-edge-litert",) if find_spec("ai_edge_litert") else ("tensorflow",)
        return ("keras", "tensorflow")

    def result_settings(self) -> dict[str, object]:
        return {**super().result_settings(), "license": self.license_text()}

    def license_text(self) -> str | None:
        """Returns the licence, as a text; None if the settings do not state it.

        Raises:
            UserError: The file of the licence cannot be read, is no text in UTF-8, or has more than 64 KiB.
        """
        if self.license is None or "\n" in self.license or not os.path.isfile(self.license):
            return self.license
        try:
            with open(self.license, "rb") as file:
                content = file.read(_MAX_LICENSE_BYTES + 1)
            if len(content) > _MAX_LICENSE_BYTES:
                raise UserError(f"features.{self.kind}.license={self.license}: expected a text of at most 64 KiB")
            return content.decode().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"features.{self.kind}.license={self.license} is no text in UTF-8: {error}") from error
