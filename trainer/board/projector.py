"""Embeddings for TensorBoard's projector: the inputs of the model's last layer, a point for each segment.

The projector opens without colours, and has no setting for it: the points are small pictures (a "sprite") in the colour
of their genre. It multiplies these by the colours that a user selects; the same points without pictures are the third
tensor of the list.
"""

import io
import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from google.protobuf import text_format
from numpy.typing import NDArray
from tensorboard.plugins.projector import EmbeddingInfo, ProjectorConfig, SpriteMetadata

from trainer.board.segment_reader import read_segments
from trainer.common import files
from trainer.common.drawing import genre_colors
from trainer.data.prepared import PreparedData, Shard, select_features
from trainer.metrics.predictions import Predictions
from trainer.models.config import LOGITS
from trainer.models.embedding import EMBEDDINGS, embedding_network

CONFIG_FILE = "projector_config.pbtxt"
VECTORS_FILE = "embeddings.tsv"
METADATA_FILE = "embeddings-metadata.tsv"
TENSOR_NAME = EMBEDDINGS
# The projector opens the tensor whose name is the first in the alphabet.
BY_GENRE, BY_PREDICTION = "by genre", "by prediction"
_SPRITE_FILES = {BY_GENRE: "embeddings-genres.png", BY_PREDICTION: "embeddings-predictions.png"}

_DOT_PX = 16


class Embedder:
    """Computes the input of a model's last layer, called "logits"."""

    def __init__(self, model: keras.Model) -> None:
        """Traces the model.

        Args:
            model: From {feature: values} to logits; its last layer is called "logits".
        """
        network = embedding_network(model)
        signature = {
            name: tf.TensorSpec((None, *inputs.shape[1:]), dtype=inputs.dtype) for name, inputs in model.input.items()
        }
        self._score = tf.function(
            lambda features: network(features, training=False), autograph=False
        ).get_concrete_function(signature)
        self.num_values = int(model.get_layer(LOGITS).input.shape[-1])

    @property
    def graph(self) -> Any:
        """The tf.Graph from features to embeddings and logits."""
        return self._score.graph

    def embed(
        self, shards: Sequence[Shard], predictions: Predictions, rows: Sequence[int], *, data: PreparedData
    ) -> NDArray[np.float32]:
        """Returns the embeddings of predicted segments, (rows, values) float32.

        Args:
            shards: The shards of the split.
            predictions: The predictions of the split.
            rows: The rows of the wanted segments in the predictions.
            data: The data set.
        """
        names = list(self._score.structured_input_signature[0][0])
        embeddings = np.zeros((len(rows), self.num_values), dtype=np.float32)
        for segments in read_segments(shards, predictions, rows, specs=select_features(data, names)):
            features = {name: tf.constant(values) for name, values in segments.features.items()}
            embeddings[segments.positions] = tf.cast(self._score(features)[TENSOR_NAME], tf.float32).numpy()
        return embeddings


def write_projector(
    directory: str,
    embeddings: NDArray[np.float32],
    *,
    predictions: Predictions,
    rows: Sequence[int],
    labels: Sequence[str],
) -> None:
    """Writes the files of the projector; its configuration, which names the others, last.

    It has three tensors with the same points: coloured by genre, by predicted genre, and without colours.

    Args:
        directory: A directory with event files, local or gs://.
        embeddings: (rows, values).
        predictions: The predictions of the split.
        rows: The rows of the segments in the predictions.
        labels: The genres.
    """
    vectors = io.StringIO()
    np.savetxt(vectors, embeddings, fmt="%.6g", delimiter="\t")
    files.write_text(files.join(directory, VECTORS_FILE), vectors.getvalue())
    files.write_text(files.join(directory, METADATA_FILE), _metadata(predictions, rows, labels))
    plain = EmbeddingInfo(tensor_name=TENSOR_NAME, tensor_path=VECTORS_FILE, metadata_path=METADATA_FILE)
    config = ProjectorConfig(embeddings=[plain])
    colors = _colors(predictions.labels, labels)
    genres = {
        BY_GENRE: predictions.segment_labels[rows],
        BY_PREDICTION: predictions.segment_probabilities[rows].argmax(axis=1),
    }
    for name, file in _SPRITE_FILES.items():
        files.write_bytes(files.join(directory, file), dots_png(colors[genres[name]]))
        colored = config.embeddings.add()
        colored.CopyFrom(plain)
        colored.tensor_name = name
        colored.sprite.CopyFrom(SpriteMetadata(image_path=file, single_image_dim=[_DOT_PX, _DOT_PX]))
    files.write_text(files.join(directory, CONFIG_FILE), text_format.MessageToString(config))


def _colors(track_labels: NDArray[np.int64], labels: Sequence[str]) -> NDArray[np.uint8]:
    """Returns the colour of each genre, (genres, 3) RGB: distinct ones for those with the most tracks."""
    num_tracks = np.bincount(track_labels, minlength=len(labels))
    colors = genre_colors([labels[index] for index in np.argsort(-num_tracks, kind="stable")])
    return np.array([list(bytes.fromhex(colors[label].removeprefix("#"))) for label in labels], dtype=np.uint8)


def dots_png(colors: NDArray[np.uint8]) -> bytes:
    """Returns a PNG of a square grid of dots of 16 by 16 pixels, row by row.

    Args:
        colors: (dots, 3) RGB, at least one.
    """
    side = math.ceil(math.sqrt(len(colors)))
    offsets_px = np.arange(_DOT_PX) - (_DOT_PX - 1) / 2
    distances_px = np.hypot(offsets_px[:, np.newaxis], offsets_px)
    opacities = np.clip(_DOT_PX / 2 - distances_px, 0.0, 1.0)
    cells = np.zeros((side * side, _DOT_PX, _DOT_PX, 4), dtype=np.uint8)
    cells[: len(colors), ..., :3] = colors[:, np.newaxis, np.newaxis]
    cells[: len(colors), ..., 3] = np.round(255 * opacities)
    rows_of_dots = cells.reshape(side, side, _DOT_PX, _DOT_PX, 4).swapaxes(1, 2)
    return bytes(tf.io.encode_png(rows_of_dots.reshape(side * _DOT_PX, side * _DOT_PX, 4)).numpy())


def _metadata(predictions: Predictions, rows: Sequence[int], labels: Sequence[str]) -> str:
    lines = [["genre", "predicted as", "p", "track", "start in s"]]
    for row in rows:
        track = predictions.segment_tracks[row]
        probabilities = predictions.segment_probabilities[row]
        predicted = int(probabilities.argmax())
        lines.append(
            [
                labels[predictions.labels[track]],
                labels[predicted],
                f"{probabilities[predicted]:.3f}",
                predictions.track_ids[track],
                f"{predictions.segment_starts_s[row]:.2f}",
            ]
        )
    return "".join("\t".join(" ".join(cell.split()) for cell in cells) + "\n" for cells in lines)
