"""A network of keras.applications that was trained on photographs, fine-tuned on a spectrogram as an image."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from beam_pipelines.common.checks import check, check_choice
from beam_pipelines.common.errors import RunFailedError, UserError, first_line
from beam_pipelines.records.schema import BandStats, FeatureSpec
from trainer.models.config import OneFeatureConfig
from trainer.models.lazy import blocks, keras, layers, pretrained
from trainer.models.setting_checks import check_dropout, check_local_path

SUMMARY = "an ImageNet network, fine-tuned"

BACKBONES = ("MobileNetV2", "MobileNetV3Small", "EfficientNetV2B0", "ResNet50V2", "DenseNet121", "ConvNeXtTiny")
IMAGENET, NO_WEIGHTS = "imagenet", "none"


@dataclass(frozen=True)
class TransferConfig(OneFeatureConfig):
    """Settings of `transfer`.

    Attributes:
        feature: The feature, of shape (frames, bands).
        center_bands: Whether each band's mean over a segment is subtracted.
        backbone: The network: one of `BACKBONES`, by its name in keras.applications.
        weights: imagenet, which Keras downloads once into its own cache; none, random weights; or the path of a local
            file with the weights of the backbone without its top.
        image_size: Pixels on each side of the image to which the spectrogram is resized.
        trainable_fraction: The share of the backbone's layers that are trained, counted from the last.
        dropout: The dropout rate before the logits, in [0, 1).
    """

    name: str = "transfer"
    feature: str = "log_mel"
    center_bands: bool = True
    backbone: str = "MobileNetV2"
    weights: str = IMAGENET
    image_size: int = 128
    trainable_fraction: float = 0.3
    dropout: float = 0.3

    def __post_init__(self) -> None:
        check_choice(self.backbone, BACKBONES, key="model.backbone")
        if self.weights not in (IMAGENET, NO_WEIGHTS):
            check_local_path(self.weights, key="model.weights")
        check(32 <= self.image_size <= 2048, key="model.image_size", value=self.image_size, expected="32 to 2048")
        check(
            0 <= self.trainable_fraction <= 1,
            key="model.trainable_fraction",
            value=self.trainable_fraction,
            expected="a share from 0 to 1",
        )
        check_dropout(self.dropout)


def build(
    config: TransferConfig,
    *,
    specs: Mapping[str, FeatureSpec],
    stats: Mapping[str, BandStats],
    num_classes: int,
) -> "keras.Model":
    """Returns a model from {feature: (batch, frames, bands)} to logits (batch, num_classes), float32.

    Filters that were learned from photographs help on spectrograms too (K. Palanisamy, D. Singhania and A. Yao,
    "Rethinking CNN models for audio classification", arXiv:2007.11154). Layers that are not trained do not update their
    batch normalisation either.

    Raises:
        UserError: The feature is not of shape (frames, bands).
    """
    spec = specs[config.feature]
    blocks.require_spectrogram(spec, model=config.name)
    inputs, x = blocks.standardized_input(spec, stats[config.feature], center_bands=config.center_bands)
    x = layers.ImagenetImage(backbone=config.backbone, size=config.image_size, name="image")(x)
    backbone = _make_backbone(config, weights=None)
    pretrained.adapt_norms(backbone.layers)
    _freeze(backbone, trainable_fraction=config.trainable_fraction)
    outputs = blocks.logits(backbone(x), dropout=config.dropout, num_classes=num_classes)
    return keras.Model({config.feature: inputs}, outputs, name=config.name)


def load_pretrained(model: "keras.Model", config: TransferConfig) -> None:
    """Sets the weights of the backbone of a model. Keras downloads ImageNet's into its cache.

    Raises:
        UserError: The file of the settings does not hold weights of this backbone without its top.
        RunFailedError: The weights cannot be downloaded.
    """
    if config.weights == NO_WEIGHTS:
        return
    weights = pretrained.outside_strategy(lambda: _load_weights(config))
    [backbone] = [layer for layer in model.layers if isinstance(layer, keras.Model)]
    backbone.set_weights(weights)


def _load_weights(config: TransferConfig) -> list[Any]:
    """Returns the weights of the backbone, in Keras' order."""
    weights, backbone = config.weights, config.backbone
    if weights == IMAGENET:
        try:
            return list(_make_backbone(config, weights=IMAGENET).get_weights())
        except Exception as error:  # Keras raises a bare Exception when a download fails
            reason = " ".join(str(error).split())
            raise RunFailedError(
                f"model.weights={weights}: the weights of {backbone} cannot be loaded ({reason}): download them in "
                "another way and set model.weights to their path, or to none"
            ) from error
    if not os.path.isfile(weights):
        raise UserError(f"model.weights={weights}: there is no such file; expected imagenet, none or a local file")
    try:
        return list(_make_backbone(config, weights=weights).get_weights())
    except (ValueError, OSError, KeyError) as error:
        raise UserError(
            f"model.weights={weights}: expected weights of {backbone} without its top, as Keras saves them "
            f"({first_line(error)})"
        ) from error


def _make_backbone(config: TransferConfig, *, weights: str | None) -> "keras.Model":
    """Returns the backbone, (batch, size, size, 3) → (batch, values)."""
    make = getattr(keras.applications, config.backbone)
    shape = (config.image_size, config.image_size, 3)
    return make(include_top=False, weights=weights, input_shape=shape, pooling="avg")


def _freeze(backbone: "keras.Model", *, trainable_fraction: float) -> None:
    """Makes all but the last of the layers with weights not trainable."""
    with_weights = [layer for layer in backbone.layers if layer.weights]
    num_trainable = round(trainable_fraction * len(with_weights))
    for layer in with_weights[: len(with_weights) - num_trainable]:
        layer.trainable = False
