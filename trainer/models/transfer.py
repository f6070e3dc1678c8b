"""A network for photographs, on spectrograms."""

import os
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import keras
import numpy as np

from beam_pipelines.common.errors import RunFailedError, UserError
from beam_pipelines.records.schema import BandStats, FeatureSpec
from trainer.models.blocks import logits, require_spectrogram, standardized_input
from trainer.models.config import IMAGENET, NO_WEIGHTS, TransferConfig
from trainer.models.pretrained import adapt_norms, outside_strategy

# Where keras.applications has each backbone and what it does to pixels.
_MODULES: Mapping[str, ModuleType] = {
    "MobileNetV2": keras.applications.mobilenet_v2,
    "MobileNetV3Small": keras.applications.mobilenet_v3,
    "EfficientNetV2B0": keras.applications.efficientnet_v2,
    "ResNet50V2": keras.applications.resnet_v2,
    "DenseNet121": keras.applications.densenet,
    "ConvNeXtTiny": keras.applications.convnext,
}
# Mean and deviation of the photographs of ImageNet, red, green and blue from 0 to 255.
_PIXEL_MEAN, _PIXEL_STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


def build(
    config: TransferConfig,
    *,
    specs: Mapping[str, FeatureSpec],
    stats: Mapping[str, BandStats],
    num_classes: int,
) -> keras.Model:
    """Returns a model from {feature: (batch, frames, bands)} to logits (batch, num_classes), float32.

    Filters learned from photographs help on spectrograms too (K. Palanisamy, D. Singhania and A. Yao, "Rethinking CNN
    models for audio classification", arXiv:2007.11154). Layers that do not train keep their batch normalisation as it
    is, too.

    Raises:
        UserError: The feature is not of shape (frames, bands).
    """
    spec = specs[config.feature]
    require_spectrogram(spec, model=config.name)
    inputs, x = standardized_input(spec, stats[config.feature], center_bands=config.center_bands)
    x = ImagenetImage(backbone=config.backbone, size=config.image_size, name="image")(x)
    backbone = _make_backbone(config, weights=None)
    adapt_norms(backbone.layers)
    _freeze(backbone, trainable_fraction=config.trainable_fraction)
    outputs = logits(backbone(x), dropout=config.dropout, num_classes=num_classes)
    return keras.Model({config.feature: inputs}, outputs, name=config.name)


def load_pretrained(model: keras.Model, config: TransferConfig) -> None:
    """Gives the backbone of a model its weights, which Keras downloads into its cache where they are ImageNet's.

    Raises:
        UserError: The file that the config names does not hold weights of this backbone without its top.
        RunFailedError: The weights cannot be downloaded.
    """
    if config.weights == NO_WEIGHTS:
        return
    source = outside_strategy(lambda: _load_backbone(config))
    [backbone] = [layer for layer in model.layers if isinstance(layer, keras.Model)]
    backbone.set_weights(source)


def _load_backbone(config: TransferConfig) -> list[Any]:
    """Returns the weights that the config names, in Keras' order."""
    weights, backbone = config.weights, config.backbone
    if weights == IMAGENET:
        try:
            return list(_make_backbone(config, weights=IMAGENET).get_weights())
        except Exception as error:  # Keras raises nothing more particular when a download fails
            reason = " ".join(str(error).split())
            raise RunFailedError(
                f"model.weights={weights}: the weights of {backbone} cannot be loaded ({reason}): get them in another "
                "way and set model.weights to their path, or to none"
            ) from error
    if not os.path.isfile(weights):
        raise UserError(f"model.weights={weights}: there is no such file; expected imagenet, none or a local file")
    try:
        return list(_make_backbone(config, weights=weights).get_weights())
    except (ValueError, OSError, KeyError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"model.weights={weights}: expected weights of {backbone} without its top, as Keras saves them ({reason})"
        ) from error


def _make_backbone(config: TransferConfig, *, weights: str | None) -> keras.Model:
    """Returns the backbone, (batch, size, size, 3) → (batch, values)."""
    make = getattr(keras.applications, config.backbone)
    shape = (config.image_size, config.image_size, 3)
    return make(include_top=False, weights=weights, input_shape=shape, pooling="avg")


def _freeze(backbone: keras.Model, *, trainable_fraction: float) -> None:
    """Leaves only the last of the layers with weights trainable."""
    layers = [layer for layer in backbone.layers if layer.weights]
    num_trainable = round(trainable_fraction * len(layers))
    for layer in layers[: len(layers) - num_trainable]:
        layer.trainable = False


@keras.saving.register_keras_serializable(package="beamtune")
class ImagenetImage(keras.layers.Layer):  # type: ignore[misc]
    """A standardised spectrogram as a backbone takes photographs: (batch, frames, bands) → (batch, size, size, 3).

    It is resized; values of mean 0 and deviation 1 become pixels with ImageNet's mean and deviation of each colour,
    which then go through the backbone's own `preprocess_input`. The arithmetic is in float32 whatever the policy.

    Args:
        backbone: The name of the backbone in keras.applications.
        size: Pixels on each side.
    """

    def __init__(self, *, backbone: str, size: int, **kwargs: Any) -> None:
        super().__init__(trainable=False, **kwargs)
        self._backbone = backbone
        self._size = size

    def call(self, inputs: Any) -> Any:
        grey = keras.ops.expand_dims(keras.ops.cast(inputs, "float32"), axis=-1)
        resized = keras.ops.image.resize(grey, (self._size, self._size), interpolation="bilinear")
        pixels = resized * np.asarray(_PIXEL_STD, np.float32) + np.asarray(_PIXEL_MEAN, np.float32)
        return keras.ops.cast(_MODULES[self._backbone].preprocess_input(pixels), self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config.pop("trainable", None)
        return {**config, "backbone": self._backbone, "size": self._size}
