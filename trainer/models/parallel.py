"""Several features, each through a branch of its own."""

from collections.abc import Mapping
from typing import Any

import keras

from beam_pipelines.records.schema import BandStats, FeatureSpec
from trainer.models.blocks import (
    classified,
    conv2d_blocks,
    embeddings_input,
    pooled1d,
    pooled2d,
    require,
    standardized_input,
)
from trainer.models.config import ParallelConfig


def build(
    config: ParallelConfig,
    *,
    specs: Mapping[str, FeatureSpec],
    stats: Mapping[str, BandStats],
    num_classes: int,
) -> keras.Model:
    """Returns a model from {feature: (batch, *shape)} for each feature to logits (batch, num_classes), float32.

    What each branch comes to is joined; a dense layer takes it to the genres.

    Raises:
        UserError: A feature is of neither shape (frames, bands) nor (values,), or holds samples.
    """
    inputs, branches = {}, []
    for feature in config.features:
        inputs[feature], branch = _branch(config, spec=specs[feature], stats=stats[feature])
        branches.append(branch)
    x = keras.layers.Concatenate()(branches)
    outputs = classified(x, hidden_units=config.hidden_units, dropout=config.dropout, num_classes=num_classes)
    return keras.Model(inputs, outputs, name=config.name)


def _branch(config: ParallelConfig, *, spec: FeatureSpec, stats: BandStats) -> tuple[Any, Any]:
    """Returns a feature's input (batch, *shape), and what its branch makes of it, (batch, branch_units)."""
    # Samples are a vector too, and a dense layer over them would hear nothing: whole numbers tell them.
    require(
        len(spec.shape) in (1, 2) and spec.dtype.startswith("float"),
        spec=spec,
        model=config.name,
        takes="features of shape (frames, bands), (patches, values) or (values,)",
        key="model.features",
    )
    is_picture = len(spec.shape) == 2 and spec.name not in config.pooled_features
    if is_picture:
        pools = [2] * len(config.filters)
        inputs, x = standardized_input(spec, stats, center_bands=config.center_bands)
        x = pooled2d(conv2d_blocks(x, filters=config.filters, time_pools=pools, band_pools=pools))
    else:
        inputs, x = embeddings_input(spec, stats)
        x = pooled1d(x) if len(spec.shape) == 2 else x
    return inputs, keras.layers.Dense(config.branch_units, activation="relu", name=f"branch_{spec.name}")(x)
