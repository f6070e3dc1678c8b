"""Writes the run of a linear model that is fitted to all tracks: a run like those of `beamtune train`."""

import keras

from trainer.baselines.fitting import FittedLearner
from trainer.common import files
from trainer.data.prepared import PreparedData
from trainer.metrics.levels import evaluated_levels
from trainer.metrics.predictions import Predictions
from trainer.model_card.model_card import write_model_card
from trainer.models.architectures.linear import LinearConfig
from trainer.models.config import LOGITS
from trainer.models.registry import build_model
from trainer.quick.linear_weights import linear_weights
from trainer.runs.checkpoint_index import LAST
from trainer.runs.checkpoints import Checkpoints
from trainer.runs.early_stopping import EarlyStopping
from trainer.runs.prediction_files import write_predictions
from trainer.runs.run_dir import METRICS_FILE, RunDir
from trainer.runs.run_metrics import OUT_OF_FOLD, ModelSummary, RunMetrics
from trainer.runs.run_progress import RunProgress
from trainer.runs.versions_file import write_versions
from trainer.training.config import TrainConfig
from trainer.training.optimizer import make_optimizer


def train_config(run_dir: str, *, data_dir: str, features: list[str], seed: int) -> TrainConfig:
    """Returns the settings in `config.yaml` of the run."""
    return TrainConfig(
        run_dir=run_dir,
        data_dir=data_dir,
        seed=seed,
        model=LinearConfig(features=features),
        epochs=1,
        early_stopping_patience_epochs=None,
        label_smoothing=0.0,
        class_weighting="balanced",
        learn_from_validation=True,
        calibrate=False,
    )


def write_run(
    config: TrainConfig, fitted: FittedLearner, *, data: PreparedData, out_of_fold: Predictions | None
) -> None:
    """Writes the run directory: settings, checkpoint, scores and model card, `_SUCCESS` last.

    Args:
        config: The settings of the run.
        fitted: Logistic regression that is fitted on all tracks.
        data: The prepared data set.
        out_of_fold: The predictions of the cross-validation, which are the scores of the run; None without one.
    """
    run, features = RunDir(config.run_dir), config.model.feature_names
    run.start(config, data)
    specs = {name: data.specs[name] for name in features}
    stats = run.band_stats(data)
    model = build_model(config.model, specs=specs, stats=stats, num_classes=len(data.labels))
    model.get_layer(LOGITS).set_weights(linear_weights(fitted, features=features, specs=specs, stats=stats))
    _save(run, model, config=config)
    summary = ModelSummary(
        name=config.model.name,
        features=features,
        num_parameters=int(model.count_params()),
        train_duration_s=fitted.train_duration_s,
        hyperparameters=fitted.hyperparameters,
    )
    levels = {} if out_of_fold is None else {OUT_OF_FOLD: evaluated_levels(out_of_fold)}
    metrics = RunMetrics(
        labels=data.labels,
        split_source=data.stats.split_source,
        split_leak=data.stats.split_leak,
        model=summary,
        levels=levels,
    )
    if out_of_fold is not None:
        write_predictions(run, OUT_OF_FOLD, out_of_fold, labels=data.labels)
    files.write_text(files.join(run.path, METRICS_FILE), metrics.to_json())
    write_versions(run)
    write_model_card(run)
    run.mark_finished()


def _save(run: RunDir, model: keras.Model, *, config: TrainConfig) -> None:
    """Saves the model as the last and best checkpoint of a run of one epoch."""
    optimizer = make_optimizer(config.optimizer, epochs=config.epochs, steps_per_epoch=1)
    optimizer.build(model.trainable_variables)
    progress = RunProgress()
    progress.finish_epoch(EarlyStopping(best_epoch=1))
    Checkpoints(run.checkpoint_dir, model=model, optimizer=optimizer, progress=progress).save(best=LAST)
