"""The files of an export beside the model: for its users, and for the tools that serve it."""

import json
import math
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import tensorflow as tf

from beam_pipelines.audio.segments import segment_length
from trainer.evaluation.exported_model import SAVED_MODEL_DIR, SIGNATURE_VERSION
from trainer.export.config import (
    KERAS,
    ONNX,
    SAVED_MODEL,
    SEGMENT_FORMATS,
    TFLITE,
    TFLITE_DYNAMIC,
    TFLITE_FLOAT16,
    TFLITE_INT8,
)
from trainer.export.resampling import MAX_RATE_HZ, MIN_RATE_HZ
from trainer.export.saved_model import describe_signatures
from trainer.export.segment_formats import describe_segment_format
from trainer.export.source import ExportSource
from trainer.metrics.levels import TRACK
from trainer.metrics.score_tables import leak_note, with_interval

LABELS_FILE, LICENSE_FILE, CARD_FILE = "labels.txt", "LICENSE", "model_card.md"
EXAMPLE_FILE, VERTEX_DIR = "example.py", "vertex"
# What each format is written to.
PATHS = {
    SAVED_MODEL: SAVED_MODEL_DIR,
    KERAS: "model.keras",
    TFLITE: "model.tflite",
    TFLITE_FLOAT16: "model-float16.tflite",
    TFLITE_DYNAMIC: "model-dynamic.tflite",
    TFLITE_INT8: "model-int8.tflite",
    ONNX: "model.onnx",
}
_APACHE = Path(__file__).with_name("apache-2.0.txt")

_EXAMPLE = '''\
"""Prints the most probable genres of a WAV file: python example.py song.wav. It needs TensorFlow only."""
import pathlib
import sys

import tensorflow as tf

model = tf.saved_model.load(str(pathlib.Path(__file__).with_name("saved_model")))
samples, rate_hz = tf.audio.decode_wav(tf.io.read_file(sys.argv[1]))
mono = tf.reduce_mean(samples, axis=1)
found = model.signatures["serving_default"](waveform=mono[None], sample_rate_hz=rate_hz)
for index in tf.argsort(found["probabilities"][0], direction="DESCENDING")[:3]:
    print(f"{found['labels'][0, index].numpy().decode()} {found['probabilities'][0, index]:.3f}")
'''

_VERTEX = """\
# Serving with Vertex AI or TensorFlow Serving

Not tried on Vertex AI: the facts below are of its documentation, and of requests to the saved model in the format of
TensorFlow Serving's REST API.

- Vertex AI's prebuilt TensorFlow containers take a folder with `saved_model.pb`: upload `saved_model/` to a bucket and
  name it as the artifact. The container's TensorFlow must not be older than {tensorflow}, which wrote the model.
- TensorFlow Serving takes a folder with a number for each version: copy `saved_model/` to `genre/1/` and start it with
  `--model_name=genre --model_base_path=/path/genre`.

Both call the signature `serving_default`. `request.json` is a request of the row format, a tenth of a second of a sine:
each instance has `waveform`, mono samples in [-1, 1], and `sample_rate_hz`. All instances of a request have one length
and one rate. Mixing down to mono and decoding are left to the caller.
"""


def signature_json(source: ExportSource, *, formats: list[str]) -> str:
    """Returns the text of `signature.json`: what goes in, what comes out, and what the model was made from."""
    audio, segment = source.settings.audio, source.settings.segment
    calibration = None if source.inference.calibration is None else asdict(source.inference.calibration)
    content: dict[str, Any] = {
        "signature_version": SIGNATURE_VERSION,
        "beamtune_version": version("beamtune"),
        "labels": list(source.labels),
        # A later version may have "multi_label" with a sigmoid and a threshold for each label.
        "output": {"kind": "single_label", "activation": "softmax", "calibration": calibration},
        "audio": {
            "channels": 1,
            "range": [-1.0, 1.0],
            "min_sample_rate_hz": MIN_RATE_HZ,
            "max_sample_rate_hz": MAX_RATE_HZ,
            "data_sample_rate_hz": audio.sample_rate_hz,
            "max_duration_s": audio.max_duration_s,
        },
        "segment": {
            "duration_s": segment.duration_s,
            "hop_s": segment.hop_s,
            "silence_threshold_dbfs": segment.silence_threshold_dbfs,
        },
        "features": {
            name: {
                "shape": list(spec.shape),
                "dtype": spec.dtype,
                "sample_rate_hz": source.graph_features.rate_hz_of[name],
                "segment_samples": segment_length(segment, source.graph_features.rate_hz_of[name]),
                "settings": source.settings.features[name].result_settings(),
            }
            for name, spec in source.specs.items()
        },
        "model": {"name": source.model_config.name, "num_parameters": int(source.inference.model.count_params())},
        "data": {"name": source.data.info.name, "cache_key": source.data.cache_key},
        "formats": {name: {"path": PATHS[name]} for name in formats},
    }
    if SAVED_MODEL in formats:
        content["formats"][SAVED_MODEL]["signatures"] = describe_signatures(source)
    for name in set(formats) & set(SEGMENT_FORMATS):
        content["formats"][name] |= describe_segment_format(name, source)
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def license_text(source: ExportSource) -> str | None:
    """Returns the licences of the pretrained parts; None where all weights were trained from random ones."""
    parts = []
    if source.uses_yamnet:
        parts.append(
            "This export contains weights of YAMNet (https://github.com/tensorflow/models, research/audioset/yamnet),\n"
            "copyright The TensorFlow Authors, under the Apache License 2.0, whose text follows.\n"
        )
    if source.backbone is not None:
        parts.append(
            f"The weights of {source.backbone} started from those of keras.applications, trained on ImageNet: see\n"
            "https://keras.io/api/applications/ for their licences. Keras is under the Apache License 2.0.\n"
        )
    if not parts:
        return None
    return "\n".join([*parts, _APACHE.read_text(encoding="utf-8")])


def model_card(source: ExportSource, *, formats: list[str]) -> str:
    """Returns a description of the model, its data and its scores in Markdown."""
    model, segment = source.inference.model, source.settings.segment
    lines = [
        f"# {source.model_config.name} on {source.data.info.name}",
        "",
        f"A classifier of music into {len(source.labels)} genres: {', '.join(source.labels)}. Trained with beamtune "
        f"{version('beamtune')}; {model.count_params():,} parameters; input {', '.join(source.specs)} of segments of "
        f"{segment.duration_s:g} s.",
        "",
        "It gives each track one genre. Music of other genres, speech and noise get one of these genres, too.",
        "",
        f"Formats: {', '.join(PATHS[name] for name in formats)}; `signature.json` has the inputs and outputs, and "
        "`export.json` how far the results are from those of `beamtune predict`.",
        "",
        "## Scores",
        "",
        *_score_lines(source),
    ]
    return "\n".join(lines) + "\n"


def _score_lines(source: ExportSource) -> list[str]:
    metrics = source.run.metrics()
    if metrics is None or not metrics.levels:
        return ["The run has no metrics."]
    lines = ["| split | tracks | accuracy | macro-F1 |", "|---|---|---|---|"]
    for split, levels in metrics.levels.items():
        track = levels[TRACK]
        scores = f"{with_interval(track, 'accuracy')} | {with_interval(track, 'macro_f1')}"
        lines.append(f"| {split} | {track.num_examples} | {scores} |")
    if metrics.split_leak is not None:
        lines += ["", f"Note: {leak_note(metrics.split_leak)}."]
    return lines


def example_text() -> str:
    """Returns a program of a few lines that predicts with the saved model and TensorFlow only."""
    return _EXAMPLE


def vertex_files() -> dict[str, str]:
    """Returns the files for servers, by name."""
    rate_hz = 16_000
    sine = [round(0.5 * math.sin(2 * math.pi * 440 * index / rate_hz), 4) for index in range(rate_hz // 10)]
    request = {"signature_name": "serving_default", "instances": [{"waveform": sine, "sample_rate_hz": rate_hz}]}
    return {"README.md": _VERTEX.format(tensorflow=tf.__version__), "request.json": json.dumps(request) + "\n"}
