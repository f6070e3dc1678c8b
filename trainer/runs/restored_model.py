"""The best weights of a run, loaded for evaluation and prediction."""

from typing import Any

import keras

from beam_pipelines.common.errors import UserError
from beam_pipelines.common.terminal import stderr
from trainer.data.prepared import PreparedData, select_features
from trainer.models.config import ModelConfig
from trainer.models.registry import build_model, model_config_from_dict
from trainer.runs.checkpoints import restore_model
from trainer.runs.run_dir import RunDir
from trainer.runs.run_metrics import ModelSummary


def load_best_model(run: RunDir, *, strategy: Any) -> keras.Model:
    """Returns the model of a run with its best weights, and warns on standard error if the run is not finished.

    Raises:
        UserError: There is no run, or it has no checkpoint yet.
        RunFailedError: The checkpoint is damaged.
    """
    path = run.best_checkpoint()
    data = run.dataset()
    model_config = model_config_from_dict(run.config()["model"])
    specs = select_features(data, model_config.feature_names)
    with strategy.scope():
        model = build_model(
            model_config,
            specs=specs,
            stats=run.band_stats(data),
            num_classes=len(data.labels),
            pretrained=False,
        )
    restore_model(model, path)
    if not run.is_finished():
        print(f"warning: {run.path} is not finished; using its best weights so far", file=stderr())
    return model


def summarize_model(config: ModelConfig, model: keras.Model, *, train_duration_s: float) -> ModelSummary:
    """Returns the entry of a network in `metrics.json`."""
    return ModelSummary(
        name=config.name,
        features=tuple(config.feature_names),
        num_parameters=int(model.count_params()),
        train_duration_s=train_duration_s,
    )


def check_same_task(run: RunDir, *, trained_on: PreparedData, data: PreparedData) -> None:
    """Checks that the model of a run takes the features of a data set and has its genres.

    Raises:
        UserError: The genres differ, or a feature has another shape or dtype.
    """
    if data.labels != trained_on.labels:
        raise UserError(
            f"{data.path} has the genres {', '.join(data.labels)}, and {run.path} was trained on "
            f"{', '.join(trained_on.labels)}: evaluate on data with the same genres"
        )
    for name in model_config_from_dict(run.config()["model"]).feature_names:
        if data.specs.get(name) != trained_on.specs[name]:
            raise UserError(
                f"feature {name} of {data.path} is {_describe(data, name)}, and {run.path} was trained on "
                f"{_describe(trained_on, name)}: prepare the data with the settings of the run's data set"
            )


def _describe(data: PreparedData, name: str) -> str:
    spec = data.specs.get(name)
    return "missing" if spec is None else f"{spec.dtype} {spec.shape}"
