"""Fits the principal components of a model to the examples that it is trained on."""

from collections.abc import Mapping, Sequence

import keras
import numpy as np
from threadpoolctl import threadpool_limits

from beam_pipelines.records.schema import FeatureSpec
from trainer.data.batches import plain_batches, shard_read_errors
from trainer.data.prepared import Shard
from trainer.models.layers import PrincipalComponents
from trainer.models.principal_components import VectorSums

# Segments decoded at a time.
_BATCH_SIZE = 256


def fit_projections(model: keras.Model, shards: Sequence[Shard], *, specs: Mapping[str, FeatureSpec]) -> None:
    """Sets the weights of all layers of principal components; reads nothing if the model has none.

    The vectors are those that reach the layer, each patch of each segment. They are added in the order of the shards,
    and in one thread, so that the same data give the same weights on every worker, and after an interruption.

    Args:
        model: The model, with its initial weights.
        shards: The shards that it is trained on.
        specs: Its features.

    Raises:
        UserError: There are fewer vectors than components, or, to whiten, fewer directions in which they vary.
        RunFailedError: A shard is damaged.
    """
    layers = {layer.name: layer for layer in model.layers if isinstance(layer, PrincipalComponents)}
    if not layers:
        return
    before = keras.Model(model.input, {name: layer.input for name, layer in layers.items()})
    sums = {name: VectorSums(layer.input.shape[-1]) for name, layer in layers.items()}
    with shard_read_errors(shards), threadpool_limits(limits=1):
        for batch in plain_batches(shards, specs=specs, batch_size=_BATCH_SIZE).prefetch(1):
            for name, vectors in before(batch.features).items():
                values = keras.ops.convert_to_numpy(keras.ops.cast(vectors, "float32"))
                sums[name].add(values.reshape(-1, values.shape[-1]))
        for name, layer in layers.items():
            mean, projection = sums[name].principal_components(
                layer.num_components, whiten=layer.whiten, feature=name.removeprefix("project_")
            )
            layer.set_weights([mean.astype(np.float32), projection.astype(np.float32)])
