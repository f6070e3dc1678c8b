"""Segments as points in TensorBoard's projector: the values that come before the logits."""

import io
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from google.protobuf import text_format
from numpy.typing import NDArray
from tensorboard.plugins.projector import EmbeddingInfo, ProjectorConfig

from trainer.board.segment_samples import find_segments
from trainer.common import files
from trainer.data.prepared import PreparedData, Shard, select_features
from trainer.metrics.predictions import Predictions

CONFIG_FILE = "projector_config.pbtxt"
VECTORS_FILE = "embeddings.tsv"
METADATA_FILE = "embeddings-metadata.tsv"
TENSOR_NAME = "embeddings"

_LOGITS = "logits"


class Embedder:
    """What a model makes of segments right before it names genres."""

    def __init__(self, model: keras.Model) -> None:
        """Traces the model, with the weights that it has at the time of each call.

        Args:
            model: From {feature: values} to logits; the layer that makes these is called "logits".
        """
        network = keras.Model(
            model.input, {TENSOR_NAME: model.get_layer(_LOGITS).input, _LOGITS: model.output}, name="scoring"
        )
        signature = {
            name: tf.TensorSpec((None, *inputs.shape[1:]), dtype=inputs.dtype) for name, inputs in model.input.items()
        }
        self._score = tf.function(lambda features: network(features, training=False)).get_concrete_function(signature)
        self.num_values = int(model.get_layer(_LOGITS).input.shape[-1])

    @property
    def graph(self) -> Any:
        """The tf.Graph that scores segments."""
        return self._score.graph

    def embed(
        self, shards: Sequence[Shard], predictions: Predictions, rows: Sequence[int], *, data: PreparedData
    ) -> NDArray[np.float32]:
        """Returns the values of predicted segments, (rows, values) float32.

        Args:
            shards: Those of the split.
            predictions: Those of the split.
            rows: Which of the predicted segments.
            data: The data set.
        """
        names = list(self._score.structured_input_signature[0][0])
        embeddings = np.zeros((len(rows), self.num_values), dtype=np.float32)
        for found in find_segments(shards, predictions, rows, specs=select_features(data, names)):
            features = {name: tf.constant(values) for name, values in found.features.items()}
            embeddings[found.places] = tf.cast(self._score(features)[TENSOR_NAME], tf.float32).numpy()
        return embeddings


def write_projector(
    directory: str,
    embeddings: NDArray[np.float32],
    *,
    predictions: Predictions,
    rows: Sequence[int],
    labels: Sequence[str],
) -> None:
    """Writes what the projector reads; the file that names the others comes last.

    Args:
        directory: A directory with events in it, local or gs://.
        embeddings: (rows, values).
        predictions: Those of the split.
        rows: Which of the predicted segments these are.
        labels: The genres.
    """
    vectors = io.StringIO()
    np.savetxt(vectors, embeddings, fmt="%.6g", delimiter="\t")
    files.write_text(files.join(directory, VECTORS_FILE), vectors.getvalue())
    files.write_text(files.join(directory, METADATA_FILE), _metadata(predictions, rows, labels))
    info = EmbeddingInfo(tensor_name=TENSOR_NAME, tensor_path=VECTORS_FILE, metadata_path=METADATA_FILE)
    config = ProjectorConfig(embeddings=[info])
    files.write_text(files.join(directory, CONFIG_FILE), text_format.MessageToString(config))


def _metadata(predictions: Predictions, rows: Sequence[int], labels: Sequence[str]) -> str:
    lines = [["label", "heard as", "p", "track", "start in s"]]
    for row in rows:
        track = predictions.segment_tracks[row]
        probabilities = predictions.segment_probabilities[row]
        heard_as = int(probabilities.argmax())
        lines.append(
            [
                labels[predictions.labels[track]],
                labels[heard_as],
                f"{probabilities[heard_as]:.3f}",
                predictions.track_ids[track],
                f"{predictions.segment_starts_s[row]:.2f}",
            ]
        )
    return "".join("\t".join(" ".join(cell.split()) for cell in cells) + "\n" for cells in lines)
