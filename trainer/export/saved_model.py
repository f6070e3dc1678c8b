"""The format `saved_model`: TensorFlow's own, which TensorFlow Serving and Vertex AI serve; and the same for files."""

from importlib.metadata import version
from typing import Any

import tensorflow as tf

from trainer.evaluation.exported_model import SERVE_SEGMENTS
from trainer.export.served_bytes import serve_bytes
from trainer.export.served_model import ServedModel
from trainer.export.source import ExportSource
from trainer.models.config import LOGITS

SERVE, SERVE_FEATURES, SERVE_BYTES = "serving_default", "serve_features", "serve_bytes"
# An output of the signatures of whole tracks.
_IS_SILENT = {"is_silent": {"shape": [None], "dtype": "bool"}}
# What a process executes before it loads a model of files.
_LOAD_OPERATIONS = "from tensorflow_io.python.ops import core_ops; core_ops.io_audio_decode_mp3"


def write_saved_model(source: ExportSource, directory: str) -> None:
    """Writes a saved model with the three signatures to a new local directory."""
    served = _served_model(source)
    audio = [
        tf.TensorSpec((None, None), tf.float32, "waveform"),
        # (): columns of requests to TensorFlow Serving; (batch,): rows, which have a rate each.
        tf.TensorSpec(None, tf.int32, "sample_rate_hz"),
    ]
    features = {
        name: tf.TensorSpec((None, *shape), dtype, name) for name, (shape, dtype) in _feature_types(source).items()
    }
    # Without AutoGraph: the code has no Python conditions on tensors, and it takes most of the time.
    signatures = {
        SERVE: tf.function(served.predict, input_signature=audio, autograph=False),
        SERVE_FEATURES: tf.function(
            lambda **values: served.predict_features(values), autograph=False
        ).get_concrete_function(**features),
        SERVE_SEGMENTS: tf.function(
            lambda *values: served.segments(*values)._asdict(), input_signature=audio, autograph=False
        ),
    }
    tf.saved_model.save(tf.Module(), directory, signatures=signatures)


def write_saved_model_bytes(source: ExportSource, directory: str) -> None:
    """Writes a saved model with the signature that takes encoded files to a new local directory."""
    served = _served_model(source)
    function = tf.function(
        lambda encoded: serve_bytes(served, encoded),
        input_signature=[tf.TensorSpec((None,), tf.string, "encoded")],
        autograph=False,
    )
    tf.saved_model.save(tf.Module(), directory, signatures={SERVE_BYTES: function})


def _served_model(source: ExportSource) -> ServedModel:
    return ServedModel(
        source.inference.model,
        features=source.graph_features,
        settings=source.settings,
        labels=source.labels,
        calibration=source.inference.calibration,
    )


def describe_saved_model(source: ExportSource) -> dict[str, Any]:
    """Returns the inputs and outputs of each signature, for `signature.json`; None is any size."""
    num_genres = len(source.labels)
    audio = {
        "waveform": {"shape": [None, None], "axes": ["batch", "samples"], "dtype": "float32"},
        "sample_rate_hz": {"shape": "[] or [batch]", "dtype": "int32"},
    }
    means = _describe_means(source)
    signatures = {
        SERVE: {"inputs": audio, "outputs": {**means, **_IS_SILENT}},
        SERVE_FEATURES: {
            "inputs": {
                name: {"shape": [None, *shape], "dtype": dtype}
                for name, (shape, dtype) in _feature_types(source).items()
            },
            "outputs": means,
        },
        SERVE_SEGMENTS: {
            "inputs": audio,
            "outputs": {
                "probabilities": {"shape": [None, None, num_genres], "dtype": "float32"},
                "embeddings": {"shape": [None, None, _num_values(source)], "dtype": "float32"},
                "is_used": {"shape": [None, None], "dtype": "bool"},
                "starts_s": {"shape": [None], "dtype": "float32"},
            },
        },
    }
    return {"signatures": signatures}


def describe_saved_model_bytes(source: ExportSource) -> dict[str, Any]:
    """Returns the same for the model of encoded files, and what a process needs to load it."""
    outputs = {**_describe_means(source), **_IS_SILENT}
    encoded = {"shape": [None], "axes": ["batch"], "dtype": "string", "encodings": ["mp3", "flac", "wav"]}
    return {
        "signatures": {SERVE_BYTES: {"inputs": {"encoded": encoded}, "outputs": outputs}},
        "requires": {
            "tensorflow": tf.__version__,
            "tensorflow-io": version("tensorflow-io"),
            "before_loading": _LOAD_OPERATIONS,
        },
    }


def _describe_means(source: ExportSource) -> dict[str, Any]:
    num_genres = len(source.labels)
    return {
        "probabilities": {"shape": [None, num_genres], "dtype": "float32"},
        "embedding": {"shape": [None, _num_values(source)], "dtype": "float32"},
        "labels": {"shape": [None, num_genres], "dtype": "string"},
    }


def _num_values(source: ExportSource) -> int:
    """Returns the number of values of an embedding."""
    return int(source.inference.model.get_layer(LOGITS).input.shape[-1])


def _feature_types(source: ExportSource) -> dict[str, tuple[tuple[int, ...], str]]:
    """Returns shape and dtype of the features that a caller passes: servers have no JSON for float16."""
    return {
        name: (spec.shape, "float32" if spec.dtype.startswith("float") else spec.dtype)
        for name, spec in source.specs.items()
    }
