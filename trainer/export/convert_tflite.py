"""Converts a saved model to a file of TensorFlow Lite. Started in a process of its own, because converters can crash.

    python convert_tflite.py SAVED_MODEL TYPE SEGMENTS.npz OUT.tflite

TYPE is float32, float16, dynamic_range or int8. SEGMENTS holds the array `segments`, (segments, samples) float32, from
which int8 measures the ranges of the values.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf


def main(saved_model: str, to_type: str, segments_path: str, out: str) -> None:
    """Writes the file."""
    converter = tf.lite.TFLiteConverter.from_saved_model(saved_model, signature_keys=["serving_default"])
    if to_type != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if to_type == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if to_type == "int8":
        segments = np.load(segments_path, allow_pickle=False)["segments"]

        def each() -> Iterator[list[object]]:
            for segment in segments:
                yield [segment[None]]

        converter.representative_dataset = each
    Path(out).write_bytes(converter.convert())


if __name__ == "__main__":
    main(*sys.argv[1:])
