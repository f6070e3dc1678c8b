"""Comparing the exported files with `beamtune predict` on reference clips."""

import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from beam_pipelines.audio.windows import LONGEST_FILE_S
from beam_pipelines.common.errors import RunFailedError
from beam_pipelines.features.frontend import AudioError
from trainer.common import files
from trainer.evaluation.inference import Inference
from trainer.export.child_process import run_python
from trainer.export.reference_clips import ReferenceClip
from trainer.metrics.calibration import with_temperature
from trainer.metrics.metrics import softmax

_SCRIPT = str(Path(__file__).with_name("run_saved_model.py"))


@dataclass(frozen=True, eq=False)
class Outputs:
    """What is computed for one clip.

    Attributes:
        probabilities: (genres,); None where there are none, because the clip is silent.
        embedding: (values,); None where the clip is silent, or it is not computed.
    """

    probabilities: NDArray[np.float64] | None
    embedding: NDArray[np.float32] | None = None


@dataclass(frozen=True, eq=False)
class FormatRun:
    """What a format computes for all clips.

    Attributes:
        outputs: The outputs of each clip; None where it is not compared.
        load_s: Seconds to load the files.
        ms_per_clip: The median time of a clip in milliseconds; None if it is not measured. Of a saved model, it is wall
            time without the first clip, which traces the graph; of other formats, both times are of one processor.
    """

    outputs: Sequence[Outputs | None]
    load_s: float | None = None
    ms_per_clip: float | None = None


def predict_clips(inference: Inference, clips: Sequence[ReferenceClip]) -> list[Outputs]:
    """Returns what `beamtune predict` computes."""
    return [_predict_clip(inference, clip) for clip in clips]


def _predict_clip(inference: Inference, clip: ReferenceClip) -> Outputs:
    samples = clip.samples[:, None]
    try:
        scores, embedding = inference.score_and_embed(samples, sample_rate_hz=clip.sample_rate_hz)
    except AudioError as error:
        if error.reason != "silent":
            raise
        return Outputs(None)
    return Outputs(scores.mean, embedding)


def run_saved_model(directory: str, clips: Sequence[ReferenceClip], *, labels: Sequence[str]) -> FormatRun:
    """Returns what a saved model computes, in a new process that cannot import beamtune.

    Raises:
        RunFailedError: The process fails, or the model has other labels.
    """
    arrays: dict[str, Any] = {str(index): clip.samples for index, clip in enumerate(clips)}
    arrays["rates_hz"] = np.array([clip.sample_rate_hz for clip in clips])
    found = _run_script(directory, arrays, needs="TensorFlow alone", labels=labels)
    for error in found["errors"]:
        if error:
            raise RunFailedError(f"the saved model refuses a reference clip: {error}")
    return FormatRun(_outputs(found), load_s=float(found["load_s"]), ms_per_clip=_median_ms(found))


def run_saved_model_bytes(directory: str, clips: Sequence[ReferenceClip], *, labels: Sequence[str]) -> FormatRun:
    """Returns what a saved model of encoded files computes, in a new process that cannot import beamtune.

    Clips are not compared where there is no file of them, or where its format is not decoded or it is damaged: what is
    decoded of such a file differs between decoders.

    Raises:
        RunFailedError: The process fails, the model has other labels, or it refuses all files.
    """
    numbers = [index for index, clip in enumerate(clips) if clip.encoded is not None]
    arrays = {str(place): np.frombuffer(clips[index].encoded or b"", np.uint8) for place, index in enumerate(numbers)}
    found = _run_script(directory, arrays, needs="TensorFlow and tensorflow-io", labels=labels)
    outputs: list[Outputs | None] = [None] * len(clips)
    for index, output, error in zip(numbers, _outputs(found), found["errors"], strict=True):
        outputs[index] = None if error else output
    if not any(outputs):
        raise RunFailedError(f"the saved model of encoded files refuses all of them: {found['errors'][0]}")
    return FormatRun(outputs, load_s=float(found["load_s"]), ms_per_clip=_median_ms(found))


def _run_script(
    directory: str, arrays: Mapping[str, NDArray[Any]], *, needs: str, labels: Sequence[str]
) -> dict[str, NDArray[Any]]:
    """Returns the results of `run_saved_model.py`."""
    with tempfile.TemporaryDirectory(prefix="beamtune-export-") as scratch_dir:
        clips_path, results_path = (os.path.join(scratch_dir, name) for name in ("clips.npz", "results.npz"))
        with files.file_errors(clips_path):
            np.savez(clips_path, **arrays)  # type: ignore[arg-type]
        reason = run_python([_SCRIPT, directory, clips_path, results_path])
        if reason is not None:
            raise RunFailedError(f"the saved model cannot be loaded and run by {needs}: {reason}")
        with np.load(results_path, allow_pickle=False) as results:
            found = dict(results)
    # There are none where the model has refused all clips.
    if len(found["labels"]) and tuple(found["labels"]) != tuple(labels):
        raise RunFailedError(f"the saved model has the labels {', '.join(found['labels'])}, not {', '.join(labels)}")
    return found


def _outputs(found: Mapping[str, NDArray[Any]]) -> list[Outputs]:
    return [
        Outputs(None) if is_silent else Outputs(probabilities.astype(np.float64), embedding)
        for probabilities, embedding, is_silent in zip(
            found["probabilities"], found["embeddings"], found["is_silent"], strict=True
        )
    ]


def _median_ms(found: Mapping[str, NDArray[Any]]) -> float:
    return float(np.nanmedian(found["ms"][1:]))


def run_keras_file(path: str, clips: Sequence[ReferenceClip], *, inference: Inference) -> FormatRun:
    """Returns what the network in a file of Keras computes from the features of `beamtune predict`."""
    network = keras.saving.load_model(path, safe_mode=True)
    return FormatRun([_run_network(network, clip, inference=inference) for clip in clips])


def _run_network(network: keras.Model, clip: ReferenceClip, *, inference: Inference) -> Outputs:
    try:
        segments = inference.front_end.process_samples(
            clip.samples[:, None], sample_rate_hz=clip.sample_rate_hz, max_duration_s=LONGEST_FILE_S
        ).segments
    except AudioError:
        return Outputs(None)
    features = {name: np.stack([segment.features[name] for segment in segments]) for name in network.input}
    mean = softmax(np.asarray(network.predict_on_batch(features))).mean(axis=0)
    calibration = inference.calibration
    return Outputs(mean if calibration is None else with_temperature(mean, calibration.track))


def largest_difference(found: Sequence[Outputs | None], expected: Sequence[Outputs]) -> float:
    """Returns the largest difference of a probability; infinity where a clip is silent for one of the two only."""
    pairs = zip(found, expected, strict=True)
    return max(probability_difference(one, other) for one, other in pairs if one is not None)


def probability_difference(found: Outputs, expected: Outputs) -> float:
    """Returns the largest difference of a probability of a clip; infinity where it is silent for one only.

    A NaN counts as infinity.
    """
    if found.probabilities is None or expected.probabilities is None:
        return 0.0 if found.probabilities is expected.probabilities else float("inf")
    largest = float(np.abs(found.probabilities - expected.probabilities).max())
    return largest if np.isfinite(largest) else float("inf")


def embedding_difference(found: Outputs, expected: Outputs) -> float | None:
    """Returns the largest difference of a value of the embedding of a clip, as a share of its largest value."""
    if found.embedding is None or expected.embedding is None:
        return None
    scale = max(float(np.abs(expected.embedding).max()), float(np.finfo(np.float32).tiny))
    return float(np.abs(found.embedding - expected.embedding).max()) / scale


def num_same_top(found: Sequence[Outputs | None], expected: Sequence[Outputs]) -> tuple[int, int]:
    """Returns for how many clips the most probable genre is the same, and how many are compared."""
    pairs = [(one, other) for one, other in zip(found, expected, strict=True) if one is not None]
    return sum(has_same_top(*pair) for pair in pairs), len(pairs)


def has_same_top(found: Outputs, expected: Outputs) -> bool:
    """Returns whether the most probable genre of a clip is the same."""
    if found.probabilities is None or expected.probabilities is None:
        return found.probabilities is expected.probabilities
    return int(found.probabilities.argmax()) == int(expected.probabilities.argmax())
