"""Converts a saved model to a file of TensorFlow Lite. Started in a process of its own, because converters can crash.

    python convert_tflite.py SAVED_MODEL TYPE SCOPES SEGMENTS.npz OUT.tflite

TYPE is float32, float16, dynamic or int8. SCOPES are those of the operations that int8 leaves in float32, as a
comma-separated list.
SEGMENTS holds the array `segments`, (segments, samples) float32, from which int8 measures the ranges of the values.
"""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf


def main(saved_model: str, to_type: str, scopes: str, segments_path: str, out: str) -> None:
    """Writes the file."""
    if to_type == "int8":
        segments = np.load(segments_path, allow_pickle=False)["segments"]
        Path(out).write_bytes(_int8_model(saved_model, scopes.split(","), segments))
        return
    converter = _converter(saved_model)
    if to_type != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if to_type == "float16":
        converter.target_spec.supported_types = [tf.float16]
    Path(out).write_bytes(converter.convert())


def _converter(saved_model: str) -> tf.lite.TFLiteConverter:
    return tf.lite.TFLiteConverter.from_saved_model(saved_model, signature_keys=["serving_default"])


def _int8_model(saved_model: str, scopes: Sequence[str], segments: np.ndarray) -> bytes:
    """Returns a model that computes with 8-bit weights and activations, but for the operations in some scopes."""

    def each() -> Iterator[list[object]]:
        for segment in segments:
            yield [segment[None]]

    interpreter = tf.lite.Interpreter(model_content=_converter(saved_model).convert())
    names = [tensor["name"] for tensor in interpreter.get_tensor_details()]
    in_float32 = [name for name in names if any(scope in name for scope in scopes)]
    converter = _converter(saved_model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = each
    options = tf.lite.experimental.QuantizationDebugOptions(denylisted_nodes=in_float32)
    debugger = tf.lite.experimental.QuantizationDebugger(converter=converter, debug_dataset=each, debug_options=options)
    return bytes(debugger.get_nondebug_quantized_model())


if __name__ == "__main__":
    main(*sys.argv[1:])
