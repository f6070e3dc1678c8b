"""The formats that hold one segment: TensorFlow Lite and ONNX, written by child processes and run by others."""

import os
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from beam_pipelines.common.errors import RunFailedError, UserError
from beam_pipelines.common.extras import naming_missing_extras
from trainer.export.checks import FormatRun, Outputs
from trainer.export.child_process import run_python
from trainer.export.clip_segments import join_segments
from trainer.export.config import ONNX, SEGMENT_FORMATS, TFLITE, TFLITE_INT8, TFLITE_TYPES
from trainer.export.graph_features import GraphFeatures
from trainer.export.graph_spectra import Fourier
from trainer.export.reference_clips import ReferenceClip, training_clips
from trainer.export.segment_model import FRONT_END, segment_rate_hz, write_segment_model
from trainer.export.source import ExportSource
from trainer.export.unrolled import unrolled
from trainer.metrics.calibration import Calibration, with_temperature
from trainer.models.layers import BandCentering, BandStandardization, Clipping, PrincipalComponents

_SCRIPTS = Path(__file__).parent
# The newest set of operations that tf2onnx writes.
_OPSET = "18"
# Of the train split, from which int8 measures the ranges of values: enough for ranges, and few enough to be fast.
_REPRESENTATIVE_CLIPS = 40
_REPRESENTATIVE_SEGMENTS = 200
_ONNX_PACKAGES = ("onnx", "onnxruntime", "tf2onnx")


def check_can_be_written(formats: Sequence[str], source: ExportSource) -> None:
    """Checks what can be checked before anything is written.

    Raises:
        UserError: The features of the model are at several rates, or a package is missing.
    """
    if not set(formats) & set(SEGMENT_FORMATS):
        return
    segment_rate_hz(source.graph_features)
    missing = [name for name in _ONNX_PACKAGES if ONNX in formats and find_spec(name) is None]
    if missing:
        with naming_missing_extras():
            raise ModuleNotFoundError(name=missing[0])


def write_segment_formats(source: ExportSource, paths: Mapping[str, str]) -> None:
    """Writes the files of formats, {format: path}.

    Raises:
        UserError: int8 is wanted, and no audio of the train split is there.
        RunFailedError: The model cannot be converted to one of them.
    """
    with tempfile.TemporaryDirectory(prefix="beamtune-export-") as scratch_dir:
        segments_path = os.path.join(scratch_dir, "segments.npz")
        if TFLITE_INT8 in paths:
            np.savez(segments_path, segments=_representative_segments(source))
        scopes = ",".join(float32_scopes(source.inference.model))
        for name, path in paths.items():
            saved_model = _write_saved_model(source, scratch_dir, name=name)
            if name == ONNX:
                arguments = ["-m", "tf2onnx.convert", "--saved-model", saved_model, "--opset", _OPSET]
                arguments += ["--signature_def", "serving_default", "--output", path]
            else:
                script = str(_SCRIPTS / "convert_tflite.py")
                arguments = [script, saved_model, TFLITE_TYPES[name], scopes, segments_path, path]
            reason = run_python(arguments)
            if reason is not None:
                raise RunFailedError(
                    f"{source.model_config.name} cannot be converted to {name} ({reason}): leave {name} out of formats"
                )
            if name == ONNX:
                from trainer.export.onnx_resize import state_sizes

                state_sizes(path)


def attach_files(name: str, path: str, texts: Mapping[str, str]) -> None:
    """Adds files to a model, {name: text}.

    TensorFlow Lite models have them in a ZIP archive behind the model, as the metadata of TensorFlow Lite Support do
    with associated files: `unzip model.tflite` extracts them. ONNX models have them as metadata.
    """
    if name != ONNX:
        with zipfile.ZipFile(path, "a") as archive:
            for file_name, text in texts.items():
                archive.writestr(file_name, text)
        return
    import onnx

    model = onnx.load(path)
    onnx.helper.set_model_props(model, dict(texts))
    onnx.save(model, path)


def run_segment_format(name: str, path: str, clips: Sequence[ReferenceClip], *, source: ExportSource) -> FormatRun:
    """Returns what a file computes for clips, in a new process that cannot import beamtune.

    The segments are cut here, and the means over them computed: the file holds neither.

    Raises:
        RunFailedError: The process fails.
    """
    rate_hz = segment_rate_hz(source.graph_features)
    segments, counts = join_segments(clips, source.settings, rate_hz=rate_hz)
    script = str(_SCRIPTS / ("run_onnx.py" if name == ONNX else "run_tflite.py"))
    with tempfile.TemporaryDirectory(prefix="beamtune-export-") as scratch_dir:
        segments_path, results_path = (os.path.join(scratch_dir, file) for file in ("segments.npz", "results.npz"))
        np.savez(segments_path, segments=segments)
        reason = run_python([script, path, segments_path, results_path])
        if reason is not None:
            raise RunFailedError(f"{name} cannot be loaded and run without beamtune: {reason}")
        with np.load(results_path, allow_pickle=False) as results:
            found = dict(results)
    ends = np.cumsum(counts)[:-1]
    probabilities = np.split(found["probabilities"].astype(np.float64), ends)
    times_ms = [part.sum() for part in np.split(found["ms"], ends) if len(part)]
    return FormatRun(
        [Outputs(track_probabilities(part, source.inference.calibration)) for part in probabilities],
        load_s=float(found["load_s"]),
        ms_per_clip=float(np.median(times_ms)),
    )


def track_probabilities(segments: NDArray[np.float64], calibration: Calibration | None) -> NDArray[np.float64] | None:
    """Returns the probabilities of a track from those of its segments, (segments, genres) → (genres,); None for none.

    Those of segments are calibrated: this is undone before the mean, which has a temperature of its own.
    """
    if not len(segments):
        return None
    if calibration is None:
        return np.asarray(segments.mean(axis=0))
    mean = with_temperature(segments, 1 / calibration.segment).mean(axis=0)
    return with_temperature(mean, calibration.track)


def describe_segment_format(name: str, source: ExportSource) -> dict[str, Any]:
    """Returns the input and the output of a format, for `signature.json`; None is any size."""
    rate_hz = segment_rate_hz(source.graph_features)
    batch = None if name == ONNX else 1
    num_samples = source.graph_features.num_samples_at[rate_hz]
    return {
        "inputs": {"waveform": {"shape": [batch, num_samples], "dtype": "float32", "sample_rate_hz": rate_hz}},
        "outputs": {"probabilities": {"shape": [batch, len(source.labels)], "dtype": "float32"}},
    }


def float32_scopes(network: keras.Model) -> list[str]:
    """Returns the scopes of the operations that int8 leaves in float32: of the features, and of some layers.

    One scale for all values of a tensor does not suit features. The powers of a spectrum span 80 dB, of which 8 bits
    keep the loudest part only, and the values of an embedding differ as much, until each is divided by its deviation.
    Of two activations with 8 bits, XNNPACK, which the runtimes of TensorFlow 2.21 compute with, gives a product of 0.
    """
    kinds = (BandStandardization, BandCentering, Clipping, PrincipalComponents, keras.layers.Dot)
    return [f"{FRONT_END}/", *(layer.name for layer in network.layers if isinstance(layer, kinds))]


def _write_saved_model(source: ExportSource, scratch_dir: str, *, name: str) -> str:
    """Writes what the converter of a format reads; returns its directory."""
    is_onnx, is_int8 = name == ONNX, name == TFLITE_INT8
    directory = os.path.join(scratch_dir, name if is_onnx or is_int8 else TFLITE)
    if os.path.isdir(directory):
        return directory
    network, calibration = source.inference.model, source.inference.calibration
    write_segment_model(
        unrolled(network) if is_int8 else network,
        directory,
        # ONNX has no transform for an open number of segments; TensorFlow Lite has one, which is smaller and faster.
        features=GraphFeatures(
            source.settings, source.specs, fourier=Fourier.MATRIX_FLOAT32 if is_onnx else Fourier.FFT_FLOAT32
        ),
        temperature=1.0 if calibration is None else calibration.segment,
        batch=None if is_onnx else 1,
    )
    return directory


def _representative_segments(source: ExportSource) -> NDArray[np.float32]:
    """Returns segments of the train split, evenly from all clips.

    Raises:
        UserError: None of the audio is there.
    """
    clips = training_clips(source.run, most=_REPRESENTATIVE_CLIPS)
    if clips:
        segments, _ = join_segments(clips, source.settings, rate_hz=segment_rate_hz(source.graph_features))
        if len(segments):
            return segments[:: -(-len(segments) // _REPRESENTATIVE_SEGMENTS)]
    raise UserError(
        f"formats: {TFLITE_INT8} measures the ranges of values on audio of the train split, and none of the files that "
        "the data were prepared from is there: restore them, or leave the format out; where their paths are relative, "
        "start the command in the folder where prepare ran"
    )
