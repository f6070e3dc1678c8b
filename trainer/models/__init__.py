"""The models, by name. A model is a config class in `trainer.config` and a `build` function in a module here."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import keras

from beam_pipelines.errors import UserError
from beam_pipelines.records.schema import BandStats, FeatureSpec
from trainer.model_config import Cnn2dConfig, ModelConfig
from trainer.models import cnn2d


@dataclass(frozen=True)
class ModelEntry:
    """One model of the registry.

    Attributes:
        config_class: Its settings.
        build: Makes it: (config, *, specs, stats, num_classes) → a model from {feature: values} to logits.
    """

    config_class: type[ModelConfig]
    build: Callable[..., keras.Model]


MODELS: Mapping[str, ModelEntry] = {"cnn2d": ModelEntry(config_class=Cnn2dConfig, build=cnn2d.build)}


def build_model(
    config: ModelConfig,
    *,
    specs: Mapping[str, FeatureSpec],
    stats: Mapping[str, BandStats],
    num_classes: int,
) -> keras.Model:
    """Returns the model that the config names, with fresh weights.

    Its input is a dict of features, (batch, *shape of the feature) in their stored dtype; its output is logits,
    (batch, num_classes), float32.

    Raises:
        UserError: There is no such model, or it cannot take the features.
    """
    return _entry(config.name).build(config, specs=specs, stats=stats, num_classes=num_classes)


def model_config_from_dict(values: Mapping[str, Any]) -> ModelConfig:
    """Returns the config of a model from the values that `config.yaml` of a run holds for it.

    Raises:
        UserError: There is no such model, or it has no such settings.
    """
    entry = _entry(str(values.get("name")))
    try:
        return entry.config_class(**values)
    except TypeError as error:
        raise UserError(f"the settings of model {values['name']} are not those of this beamtune: {error}") from error


def _entry(name: str) -> ModelEntry:
    if name not in MODELS:
        raise UserError(f"model.name={name}: expected {' or '.join(MODELS)}")
    return MODELS[name]
