"""The embedding of a segment: the input of the layer that computes the logits."""

import keras

from trainer.models.config import LOGITS

EMBEDDINGS = "embeddings"


def embedding_network(model: keras.Model) -> keras.Model:
    """Returns a network that shares the weights of a model and also returns its embeddings.

    Args:
        model: From {feature: values} to logits (batch, classes), by a layer called "logits".

    Returns:
        From {feature: values} to {"embeddings": (batch, values), "logits": (batch, classes)}.
    """
    return keras.Model(model.input, {EMBEDDINGS: model.get_layer(LOGITS).input, LOGITS: model.output}, name="embedding")
