"""YAMNet itself, trained on from its last stages."""

import os
from collections.abc import Mapping
from typing import Any

import keras

from beam_pipelines.common.errors import UserError
from beam_pipelines.features.config import YamnetConfig
from beam_pipelines.features.yamnet import load_network
from beam_pipelines.features.yamnet_log_mel import NUM_BANDS, PATCH_FRAMES
from beam_pipelines.features.yamnet_network import build_model as build_yamnet
from beam_pipelines.records.schema import BandStats, FeatureSpec
from trainer.models.blocks import classified, normalized, require
from trainer.models.config import YamnetFinetuneConfig
from trainer.models.pretrained import adapt_norms, outside_strategy

EMBEDDINGS = "yamnet"

_NUM_STAGES = 14
# Patches overlap by half, so that two neighbouring blocks of this length make one.
_BLOCK_FRAMES = PATCH_FRAMES // 2


def build(
    config: YamnetFinetuneConfig,
    *,
    specs: Mapping[str, FeatureSpec],
    stats: Mapping[str, BandStats],
    num_classes: int,
) -> keras.Model:
    """Returns a model from {feature: (batch, frames, 64)} to logits (batch, num_classes), float32.

    The spectrogram is cut into patches as the pipeline's own YAMNet cuts it; the mean of their embeddings goes to a
    dense layer. Stages that do not train keep their batch normalisation as it is, too.

    Args:
        config: The settings.
        specs: The features of the data.
        stats: Not used: YAMNet takes the spectrogram as it is.
        num_classes: The number of genres.

    Raises:
        UserError: The feature is not a whole number of patches of 64 bands.
    """
    spec = specs[config.feature]
    require(
        len(spec.shape) == 2
        and spec.shape[1] == NUM_BANDS
        and spec.shape[0] >= PATCH_FRAMES
        and spec.shape[0] % _BLOCK_FRAMES == 0,
        spec=spec,
        model=config.name,
        takes=f"the spectrogram yamnet_log_mel, of shape (frames, {NUM_BANDS}) in whole patches of {PATCH_FRAMES}",
    )
    inputs = keras.Input(shape=spec.shape, dtype=spec.dtype, name=config.feature)
    embeddings = _embeddings_network(config.trainable_stages)(Patches(name="patches")(inputs))
    x = PatchMean(num_patches=spec.shape[0] // _BLOCK_FRAMES - 1, name="patch_mean")(embeddings)
    outputs = classified(
        normalized(x), hidden_units=config.hidden_units, dropout=config.dropout, num_classes=num_classes
    )
    return keras.Model({config.feature: inputs}, outputs, name=config.name)


def load_pretrained(model: keras.Model, config: YamnetFinetuneConfig) -> None:
    """Gives YAMNet's part of a model its weights, from the file that the config names or the cache folder.

    Raises:
        UserError: There is no such file, or it does not hold YAMNet's weights.
        RunFailedError: The weights are not there and cannot be downloaded.
    """
    path = config.weights_path
    if path is not None and not os.path.isfile(path):
        raise UserError(f"model.weights_path={path}: there is no such file")
    weights = outside_strategy(lambda: load_network(YamnetConfig(weights_path=path)).copy_weights())
    for layer in model.get_layer(EMBEDDINGS).layers:
        if layer.weights:
            layer.set_weights(weights[layer.name])


def _embeddings_network(num_trainable_stages: int) -> keras.Model:
    """Returns YAMNet up to its embeddings, (patches, 96, 64) → (patches, 1024); only the last stages train."""
    whole = build_yamnet(dtype=keras.config.dtype_policy())
    adapt_norms(whole.layers)
    for layer in whole.layers:
        stage = _stage_of(layer.name)
        if stage is not None:
            layer.trainable = stage > _NUM_STAGES - num_trainable_stages
    return keras.Model(whole.input, whole.get_layer("embeddings").output, name=EMBEDDINGS)


def _stage_of(layer_name: str) -> int | None:
    """Returns 3 for "layer3.depthwise_conv.bn", and None for a layer of no stage."""
    name, _, _ = layer_name.partition(".")
    return int(name.removeprefix("layer")) if name.startswith("layer") else None


@keras.saving.register_keras_serializable(package="beamtune")
class Patches(keras.layers.Layer):  # type: ignore[misc]
    """Patches of 96 frames, 48 apart, one after the other: (batch, frames, bands) → (batch · patches, 96, bands)."""

    def call(self, inputs: Any) -> Any:
        _, frames, bands = inputs.shape
        blocks = keras.ops.reshape(inputs, (-1, frames // _BLOCK_FRAMES, _BLOCK_FRAMES, bands))
        patches = keras.ops.concatenate([blocks[:, :-1], blocks[:, 1:]], axis=2)
        return keras.ops.reshape(patches, (-1, PATCH_FRAMES, bands))


@keras.saving.register_keras_serializable(package="beamtune")
class PatchMean(keras.layers.Layer):  # type: ignore[misc]
    """The mean over the patches of a segment: (batch · patches, values) → (batch, values).

    Args:
        num_patches: The patches of each segment, which follow one another.
    """

    def __init__(self, *, num_patches: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._num_patches = num_patches

    def call(self, inputs: Any) -> Any:
        patches = keras.ops.reshape(inputs, (-1, self._num_patches, inputs.shape[-1]))
        return keras.ops.mean(patches, axis=1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_patches": self._num_patches}
