"""YAMNet with a new classifier, whose last stages are fine-tuned."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

from beam_pipelines.common.checks import check
from beam_pipelines.common.errors import UserError
from beam_pipelines.records.schema import BandStats, FeatureSpec
from trainer.models.config import OneFeatureConfig
from trainer.models.lazy import blocks, keras, layers, pretrained
from trainer.models.setting_checks import check_dropout, check_local_path, check_units

SUMMARY = "YAMNet, fine-tuned"

# The layer that holds YAMNet.
YAMNET_LAYER = "yamnet"

_NUM_STAGES = 14


@dataclass(frozen=True)
class YamnetFinetuneConfig(OneFeatureConfig):
    """Settings of `yamnet_finetune`.

    Attributes:
        feature: The feature: YAMNet's own log-mel spectrogram, of shape (frames, 64).
        weights_path: A local copy of yamnet.h5; None downloads Google's, once, into the cache folder.
        trainable_stages: How many of its 14 stages are trained, counted from the last; 0 trains the classifier alone.
        hidden_units: Units of the dense layer between the embeddings and the logits.
        dropout: The dropout rate before and after the dense layer, in [0, 1).
    """

    name: str = "yamnet_finetune"
    feature: str = "yamnet_log_mel"
    weights_path: str | None = None
    trainable_stages: int = 2
    hidden_units: int = 128
    dropout: float = 0.4

    def __post_init__(self) -> None:
        if self.weights_path is not None:
            check_local_path(self.weights_path, key="model.weights_path")
        check(
            0 <= self.trainable_stages <= _NUM_STAGES,
            key="model.trainable_stages",
            value=self.trainable_stages,
            expected=f"0 to {_NUM_STAGES} stages",
        )
        check_units(self.hidden_units, key="model.hidden_units")
        check_dropout(self.dropout)


def build(
    config: YamnetFinetuneConfig,
    *,
    specs: Mapping[str, FeatureSpec],
    stats: Mapping[str, BandStats],
    num_classes: int,
) -> "keras.Model":
    """Returns a model from {feature: (batch, frames, 64)} to logits (batch, num_classes), float32.

    The spectrogram is cut into the patches of the pipeline's feature `yamnet`; the mean of their embeddings goes to a
    dense layer. Stages that are not trained do not update their batch normalisation either.

    Args:
        config: The settings.
        specs: The features of the data.
        stats: Not used: YAMNet takes the spectrogram as it is.
        num_classes: The number of genres.

    Raises:
        UserError: The feature is not a whole number of patches of 64 bands.
    """
    from beam_pipelines.features.yamnet_log_mel import NUM_BANDS, PATCH_FRAMES

    spec = specs[config.feature]
    # Patches overlap by half: two neighbouring blocks of this length make one patch.
    block_frames = PATCH_FRAMES // 2
    blocks.require(
        len(spec.shape) == 2
        and spec.shape[1] == NUM_BANDS
        and spec.shape[0] >= PATCH_FRAMES
        and spec.shape[0] % block_frames == 0,
        spec=spec,
        model=config.name,
        takes=f"the spectrogram yamnet_log_mel, of shape (frames, {NUM_BANDS}) in whole patches of {PATCH_FRAMES}",
    )
    inputs = keras.Input(shape=spec.shape, dtype=spec.dtype, name=config.feature)
    embeddings = _embeddings_network(config.trainable_stages)(layers.Patches(name="patches")(inputs))
    x = layers.PatchMean(num_patches=spec.shape[0] // block_frames - 1, name="patch_mean")(embeddings)
    outputs = blocks.dense_head(
        blocks.normalized(x), hidden_units=config.hidden_units, dropout=config.dropout, num_classes=num_classes
    )
    return keras.Model({config.feature: inputs}, outputs, name=config.name)


def load_pretrained(model: "keras.Model", config: YamnetFinetuneConfig) -> None:
    """Sets the weights of YAMNet in a model, from the file of the settings or from the cache folder.

    Raises:
        UserError: There is no such file, or it does not hold YAMNet's weights.
        RunFailedError: The weights are not in the cache folder and cannot be downloaded.
    """
    from beam_pipelines.features import yamnet
    from beam_pipelines.features.config import YamnetConfig

    path = config.weights_path
    if path is not None and not os.path.isfile(path):
        raise UserError(f"model.weights_path={path}: there is no such file")
    weights = pretrained.outside_strategy(lambda: yamnet.load_network(YamnetConfig(weights_path=path)).copy_weights())
    for layer in model.get_layer(YAMNET_LAYER).layers:
        if layer.weights:
            layer.set_weights(weights[layer.name])


def _embeddings_network(num_trainable_stages: int) -> "keras.Model":
    """Returns YAMNet up to its embeddings, (patches, 96, 64) → (patches, 1024); only the last stages are trainable."""
    from beam_pipelines.features import yamnet_network

    whole = yamnet_network.build_model(dtype=keras.config.dtype_policy())
    pretrained.adapt_norms(whole.layers)
    for layer in whole.layers:
        stage = _stage_of(layer.name)
        if stage is not None:
            layer.trainable = stage > _NUM_STAGES - num_trainable_stages
    return keras.Model(whole.input, whole.get_layer("embeddings").output, name=YAMNET_LAYER)


def _stage_of(layer_name: str) -> int | None:
    """Returns 3 for "layer3.depthwise_conv.bn", and None for a layer outside of the stages."""
    name, _, _ = layer_name.partition(".")
    return int(name.removeprefix("layer")) if name.startswith("layer") else None
