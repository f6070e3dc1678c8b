"""The models, by name. A model is a config class in `trainer.model_config` and a `build` function in a module here."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import keras

from beam_pipelines.common.errors import UserError
from beam_pipelines.records.schema import BandStats, FeatureSpec
from trainer.models import (
    attention_pool,
    bilstm,
    cnn1d,
    cnn2d,
    crnn,
    parallel,
    res2d,
    transfer,
    wave1d,
    yamnet_finetune,
)
from trainer.models.config import (
    AttentionPoolConfig,
    BilstmConfig,
    Cnn1dConfig,
    Cnn2dConfig,
    CrnnConfig,
    ModelConfig,
    ParallelConfig,
    Res2dConfig,
    TransferConfig,
    Wave1dConfig,
    YamnetFinetuneConfig,
)


@dataclass(frozen=True)
class ModelEntry:
    """One model of the registry.

    Attributes:
        config_class: Its settings.
        build: Makes it: (config, *, specs, stats, num_classes) → a model from {feature: values} to logits. It reads no
            files.
        summary: What it is, in a few words.
        load_pretrained: Gives it weights that were learned elsewhere: (model, config) → None; None for a model that
            starts from nothing.
    """

    config_class: type[ModelConfig]
    build: Callable[..., keras.Model]
    summary: str
    load_pretrained: Callable[..., None] | None = None


MODELS: Mapping[str, ModelEntry] = {
    "cnn2d": ModelEntry(Cnn2dConfig, cnn2d.build, "convolutions on a spectrogram"),
    "bilstm": ModelEntry(BilstmConfig, bilstm.build, "two bidirectional LSTM layers over frames"),
    "cnn1d": ModelEntry(Cnn1dConfig, cnn1d.build, "convolutions over patches of embeddings"),
    "parallel": ModelEntry(ParallelConfig, parallel.build, "several features, a branch each, joined"),
    "crnn": ModelEntry(CrnnConfig, crnn.build, "convolutions, then a GRU over frames"),
    "res2d": ModelEntry(Res2dConfig, res2d.build, "residual network with squeeze and excitation"),
    "wave1d": ModelEntry(Wave1dConfig, wave1d.build, "residual convolutions on samples"),
    "attention_pool": ModelEntry(AttentionPoolConfig, attention_pool.build, "gated attention over embeddings"),
    "yamnet_finetune": ModelEntry(
        YamnetFinetuneConfig, yamnet_finetune.build, "YAMNet, trained on", yamnet_finetune.load_pretrained
    ),
    "transfer": ModelEntry(
        TransferConfig, transfer.build, "a network for photographs, trained on", transfer.load_pretrained
    ),
}


def build_model(
    config: ModelConfig,
    *,
    specs: Mapping[str, FeatureSpec],
    stats: Mapping[str, BandStats],
    num_classes: int,
    pretrained: bool = True,
) -> keras.Model:
    """Returns the model that the config names, with fresh weights.

    Its input is a dict of features, (batch, *shape of the feature) in their stored dtype; its output is logits,
    (batch, num_classes), float32.

    Args:
        config: Which model, and its settings.
        specs: The features of the data.
        stats: Their statistics.
        num_classes: The number of genres.
        pretrained: Whether a model that starts from weights learned elsewhere gets them, which reads files and may
            download them. False where a checkpoint brings all weights.

    Raises:
        UserError: There is no such model, it cannot take the features, or the file of its weights is wrong.
        RunFailedError: Its weights cannot be downloaded.
    """
    entry = _entry(config.name)
    model = entry.build(config, specs=specs, stats=stats, num_classes=num_classes)
    if pretrained and entry.load_pretrained is not None:
        entry.load_pretrained(model, config)
    return model


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
