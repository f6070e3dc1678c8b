"""The files of an export beside the model: for its users, and for the tools that serve it."""

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import tensorflow as tf

from beam_pipelines.audio.segments import segment_length
from beam_pipelines.common.package_builds import beamtune_version
from trainer.evaluation.export_files import SAVED_MODEL_DIR
from trainer.evaluation.exported_model import SIGNATURE_VERSION
from trainer.export.config import (
    KERAS,
    ONNX,
    SAVED_MODEL,
    SAVED_MODEL_BYTES,
    SEGMENT_FORMATS,
    TFLITE,
    TFLITE_DYNAMIC,
    TFLITE_FLOAT16,
    TFLITE_INT8,
)
from trainer.export.resampling import MAX_RATE_HZ, MIN_RATE_HZ
from trainer.export.saved_model import describe_saved_model, describe_saved_model_bytes
from trainer.export.segment_formats import describe_segment_format
from trainer.export.source import ExportSource
from trainer.model_card.facts import read_facts
from trainer.model_card.model_card import model_card

LABELS_FILE, LICENSE_FILE = "labels.txt", "LICENSE"
EXAMPLE_FILE, EXAMPLE_BYTES_FILE, VERTEX_DIR = "example.py", "example_bytes.py", "vertex"
# What each format is written to.
PATHS = {
    SAVED_MODEL: SAVED_MODEL_DIR,
    SAVED_MODEL_BYTES: "saved_model_bytes",
    KERAS: "model.keras",
    TFLITE: "model.tflite",
    TFLITE_FLOAT16: "model-float16.tflite",
    TFLITE_DYNAMIC: "model-dynamic.tflite",
    TFLITE_INT8: "model-int8.tflite",
    ONNX: "model.onnx",
}
_APACHE = Path(__file__).with_name("apache-2.0.txt")
# The texts of the licences of `beam_pipelines.features.pretrained_networks`.
_LICENCES = {"Apache License 2.0": _APACHE, "ISC License": Path(__file__).with_name("isc-musicnn.txt")}

_EXAMPLE = '''\
"""Prints the most probable genres of a 16-bit WAV file: python example.py song.wav. It needs TensorFlow only."""
import pathlib
import sys

import tensorflow as tf

if len(sys.argv) != 2:
    sys.exit(__doc__)
model = tf.saved_model.load(str(pathlib.Path(__file__).with_name("saved_model")))
samples, rate_hz = tf.audio.decode_wav(tf.io.read_file(sys.argv[1]))
mono = tf.reduce_mean(samples, axis=1)
found = model.signatures["serving_default"](waveform=mono[None], sample_rate_hz=rate_hz)
if found["is_silent"][0]:
    sys.exit("silent")
for index in tf.argsort(found["probabilities"][0], direction="DESCENDING")[:3]:
    print(f"{found['labels'][0, index].numpy().decode()} {found['probabilities'][0, index]:.3f}")
'''

_EXAMPLE_BYTES = '''\
"""Prints the most probable genres of mp3, FLAC and WAV files: python example_bytes.py song.mp3 other.flac.

It needs TensorFlow and tensorflow-io.
"""
import pathlib
import sys

import tensorflow as tf
from tensorflow_io.python.ops import core_ops

if len(sys.argv) < 2:
    sys.exit(__doc__)
core_ops.io_audio_decode_mp3  # loads the operations, which the model refers to
model = tf.saved_model.load(str(pathlib.Path(__file__).with_name("saved_model_bytes")))
encoded = [tf.io.read_file(path) for path in sys.argv[1:]]
found = model.signatures["serve_bytes"](encoded=tf.stack(encoded))
for path, labels, probabilities, is_silent in zip(
    sys.argv[1:], found["labels"], found["probabilities"], found["is_silent"]
):
    if is_silent:
        print(f"{path} silent")
        continue
    for index in tf.argsort(probabilities, direction="DESCENDING")[:3]:
        print(f"{path} {labels[index].numpy().decode()} {probabilities[index]:.3f}")
'''

_VERTEX = """\
# Serving with Vertex AI or TensorFlow Serving

Not tried on Vertex AI: the facts below are of its documentation, and of requests to the saved model in the format of
TensorFlow Serving's REST API.

- TensorFlow Serving takes a folder with a number for each version: copy `saved_model/` to `genre/1/` and start it with
  `--model_name=genre --model_base_path=/path/genre`. Leave `--enable_batching` off: it joins requests of other rates.
- Vertex AI's prebuilt TensorFlow containers take a folder with `saved_model.pb`: upload `saved_model/` to a bucket and
  name it as the artifact. The newest of them has TensorFlow 2.15, and {tensorflow} wrote this model. TensorFlow does
  not promise that older versions load newer models; 2.15.1 has loaded one and returned the same probabilities.
- A request to a shared public endpoint of Vertex AI has 1.5 MB at most: some 190,000 samples as JSON, 12 s at 16,000
  Hz. Send longer tracks to a dedicated endpoint, or at a lower rate: the model needs no more than {rate_hz} Hz.

`request.json` is a request to both, a tenth of a second of a sine. Each instance has `waveform`, mono samples in
[-1, 1], and `sample_rate_hz`. All instances of a request have one length and one rate; mixing down to mono and decoding
are left to the caller: these servers cannot load `saved_model_bytes/`, if it is there, because tensorflow-io is not in
them. The answer has in `predictions`, for each instance in the same order, `probabilities`, `labels` (the genres, in
the order of the probabilities), `embedding` and `is_silent`. Where that is true, all probabilities are 0, and the track
has no genre.
"""


def signature_json(source: ExportSource, *, formats: list[str]) -> str:
    """Returns the text of `signature.json`: what goes in, what comes out, and what the model was made from."""
    audio, segment = source.settings.audio, source.settings.segment
    calibration = None if source.inference.calibration is None else asdict(source.inference.calibration)
    content: dict[str, Any] = {
        "signature_version": SIGNATURE_VERSION,
        "beamtune_version": beamtune_version(),
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
        content["formats"][SAVED_MODEL] |= describe_saved_model(source)
    if SAVED_MODEL_BYTES in formats:
        content["formats"][SAVED_MODEL_BYTES] |= describe_saved_model_bytes(source)
    for name in set(formats) & set(SEGMENT_FORMATS):
        content["formats"][name] |= describe_segment_format(name, source)
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def license_text(source: ExportSource) -> str | None:
    """Returns the licences of the pretrained parts; None where all weights were trained from random ones."""
    published = [network for network in source.pretrained_networks if not network.is_own]
    parts = [
        f"This export contains weights of {network.name} ({network.url}),\n"
        f"copyright {network.copyright}, under the {network.licence}, whose text follows.\n"
        for network in published
    ]
    parts += [
        f"This export contains the network {network.name}, {'under this licence:' if network.licence else 'whose'}\n"
        f"{network.licence or 'licence nobody has stated.'}\n"
        for network in source.pretrained_networks
        if network.is_own
    ]
    texts = [_LICENCES[network.licence] for network in published]
    if source.backbone is not None:
        texts.append(_APACHE)
        parts.append(
            f"The weights of {source.backbone} started from those of keras.applications, trained on ImageNet: see\n"
            "https://keras.io/api/applications/ for their licences. Keras is under the Apache License 2.0.\n"
        )
    if not parts:
        return None
    return "\n".join([*parts, *(path.read_text(encoding="utf-8") for path in dict.fromkeys(texts))])


def card_text(source: ExportSource, *, formats: list[str]) -> str:
    """Returns the text of `model_card.md`: that of the run, and the formats."""
    return model_card(read_facts(source.run), formats=[PATHS[name] for name in formats])


def example_files(formats: list[str]) -> dict[str, str]:
    """Returns programs of a few lines, by name, that predict with the saved models of some formats."""
    programs = {SAVED_MODEL: (EXAMPLE_FILE, _EXAMPLE), SAVED_MODEL_BYTES: (EXAMPLE_BYTES_FILE, _EXAMPLE_BYTES)}
    return dict(programs[name] for name in formats if name in programs)


def vertex_files(source: ExportSource) -> dict[str, str]:
    """Returns the files for servers, by name."""
    rate_hz = 16_000
    sine = [round(0.5 * math.sin(2 * math.pi * 440 * index / rate_hz), 4) for index in range(rate_hz // 10)]
    request = {"instances": [{"waveform": sine, "sample_rate_hz": rate_hz}]}
    readme = _VERTEX.format(tensorflow=tf.__version__, rate_hz=max(source.graph_features.rate_hz_of.values()))
    return {"README.md": readme, "request.json": json.dumps(request) + "\n"}
