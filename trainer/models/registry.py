"""The models by name: the modules in `trainer.models.architectures`."""

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from beam_pipelines.common.errors import UserError
from beam_pipelines.records.schema import BandStats, FeatureSpec
from trainer.models import architectures
from trainer.models.config import LOGITS, ModelConfig, config_class_of
from trainer.models.lazy import keras


@dataclass(frozen=True)
class ModelEntry:
    """One model.

    Attributes:
        config_class: Its settings.
        build: (config, *, specs, stats, num_classes) → a model from {feature: values} to logits. It reads no files.
        summary: A few words for `beamtune models`.
        load_pretrained: (model, config) → None; sets pretrained weights. None for a model that starts from random ones.
    """

    config_class: type[ModelConfig]
    build: Callable[..., "keras.Model"]
    summary: str
    load_pretrained: Callable[..., None] | None = None


def find_models(package: ModuleType) -> dict[str, ModelEntry]:
    """Returns the models that the modules of a package define, in alphabetical order.

    Raises:
        TypeError: A module lacks something that a model needs. The message says what.
    """
    names = sorted(module.name for module in pkgutil.iter_modules(package.__path__))
    return {name: _entry_of(importlib.import_module(f"{package.__name__}.{name}")) for name in names}


def _entry_of(module: ModuleType) -> ModelEntry:
    config_class = config_class_of(module)
    for attribute, is_valid in (
        ("build", callable(getattr(module, "build", None))),
        ("SUMMARY", isinstance(getattr(module, "SUMMARY", None), str)),
    ):
        if not is_valid:
            raise TypeError(f"{module.__name__} does not define {attribute}")
    return ModelEntry(
        config_class=config_class,
        build=module.build,
        summary=module.SUMMARY,
        load_pretrained=getattr(module, "load_pretrained", None),
    )


MODELS: Mapping[str, ModelEntry] = find_models(architectures)


def build_model(
    config: ModelConfig,
    *,
    specs: Mapping[str, FeatureSpec],
    stats: Mapping[str, BandStats],
    num_classes: int,
    pretrained: bool = True,
) -> "keras.Model":
    """Returns a new model.

    Its input is a dict of features, (batch, *shape of the feature) in their stored dtype. Its output is logits,
    (batch, num_classes), float32.

    Args:
        config: Which model, and its settings.
        specs: The features of the data.
        stats: Their statistics.
        num_classes: The number of genres.
        pretrained: Whether a model that starts from pretrained weights gets them, which reads files and may download
            them. False where a checkpoint is restored into the model.

    Raises:
        UserError: There is no such model, it cannot take the features, or the file with its weights is wrong.
        RunFailedError: Its weights cannot be downloaded.
        TypeError: The model lacks the layer that computes the logits.
    """
    entry = _find(config.name)
    model = entry.build(config, specs=specs, stats=stats, num_classes=num_classes)
    # Embeddings are the input of this layer. A run must not find out after its training that it is missing.
    if LOGITS not in {layer.name for layer in model.layers}:
        raise TypeError(
            f"trainer.models.architectures.{config.name}: the model has no layer named {LOGITS!r}: end it with "
            "blocks.logits"
        )
    if pretrained and entry.load_pretrained is not None:
        entry.load_pretrained(model, config)
    return model


def model_config_from_dict(values: Mapping[str, Any]) -> ModelConfig:
    """Returns the settings of a model from their values in the `config.yaml` of a run.

    Raises:
        UserError: There is no such model, or it has no such settings.
    """
    entry = _find(str(values.get("name")))
    try:
        return entry.config_class(**values)
    except TypeError as error:
        raise UserError(f"the settings of model {values['name']} are not those of this beamtune: {error}") from error


def _find(name: str) -> ModelEntry:
    if name not in MODELS:
        raise UserError(f"model.name={name}: expected {' or '.join(MODELS)}")
    return MODELS[name]
