"""Encoded files in the graph of an exported model: decoded one after the other, and served as their samples are.

tensorflow-io decodes mp3 and FLAC. A process that loads a graph with its operations needs it for all signatures, so
that this one is in a saved model of its own.
"""

from importlib import import_module
from typing import Any

import tensorflow as tf

from beam_pipelines.common.errors import first_line
from trainer.export import graph_flac, graph_wav
from trainer.export.graph_bytes import FileBytes, without_id3v2
from trainer.export.graph_flac import decode_flac
from trainer.export.graph_mp3 import decode_mp3
from trainer.export.graph_wav import decode_wav
from trainer.export.served_model import ServedModel


def why_not_decoded() -> str | None:
    """Returns why tensorflow-io cannot decode files here, in one line; None if it can."""
    try:
        _operations()
    except ModuleNotFoundError as error:
        return f"{error.name} is not installed: pip install 'beamtune[io]'"
    except (ImportError, NotImplementedError, OSError, tf.errors.OpError) as error:
        return f"tensorflow-io does not load with TensorFlow {tf.__version__} ({first_line(error)})"
    return None


def serve_bytes(served: ServedModel, encoded: Any) -> dict[str, Any]:
    """Returns what `ServedModel.predict` does, for files: the signature `serve_bytes`.

    Args:
        served: The model of samples.
        encoded: (batch,) string, all bytes of each file; formats, lengths, rates and channels may differ.
    """

    def of_file(text_and_index: Any) -> dict[str, Any]:
        samples, rate_hz = decode(*text_and_index)
        found = served.predict(samples[None], rate_hz)
        return {name: value[0] for name, value in found.items()}

    num_genres = len(served.labels)
    return dict(
        tf.map_fn(
            of_file,
            (encoded, tf.range(tf.size(encoded))),
            fn_output_signature={
                "probabilities": tf.TensorSpec((num_genres,), tf.float32),
                "embedding": tf.TensorSpec((served.num_values,), tf.float32),
                "labels": tf.TensorSpec((num_genres,), tf.string),
                "is_silent": tf.TensorSpec((), tf.bool),
            },
            parallel_iterations=1,
        )
    )


def decode(encoded: Any, index: Any) -> tuple[Any, Any]:
    """Returns the samples of a file, (samples,) float32, the mean of its channels, and their rate, () int32.

    The graph fails where the file is not mp3, FLAC or WAV, or is truncated.

    Args:
        encoded: () string, all bytes of the file.
        index: () int32, the place of the file in its batch, for messages.
    """
    decode_mp3_bytes, decode_flac_bytes = _operations()
    any_shape = tf.constant([-1, -1], tf.int64)
    whole = FileBytes(encoded, index)
    checks = ((whole.size > 0, "encoded is empty: expected the bytes of a file; their number is", whole.size),)
    file = without_id3v2(FileBytes(whole.after_checks(checks, encoded), index))
    return tuple(
        tf.case(
            [
                (file.starts_with(graph_wav.MAGIC), lambda: decode_wav(file)),
                (
                    file.starts_with(graph_flac.MAGIC),
                    lambda: decode_flac(
                        file, lambda text, dtype: decode_flac_bytes(text, shape=any_shape, dtype=dtype)
                    ),
                ),
            ],
            default=lambda: decode_mp3(file, lambda text: decode_mp3_bytes(text, shape=any_shape)),
        )
    )


def _operations() -> tuple[Any, Any]:
    """Returns the operations that decode mp3 and FLAC."""
    # The library is loaded when an attribute of `core_ops` is read.
    operations = import_module("tensorflow_io.python.ops").core_ops
    return operations.io_audio_decode_mp3, operations.io_audio_decode_flac
