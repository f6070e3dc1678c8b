"""`beamtune evaluate`: the metrics of a run on a split."""

from collections.abc import Iterable, Mapping
from typing import Any

import keras

from beam_pipelines.common.errors import RunFailedError, UserError
from beam_pipelines.common.output_streams import visible_line
from beam_pipelines.common.terminal import stderr, stdout
from beam_pipelines.records.schema import TEST, TRAIN, VALIDATION
from trainer.board.evaluated_scores import write_test_scores
from trainer.data.batches import scoring_batches, shard_read_errors
from trainer.data.contamination import find_contamination
from trainer.data.group_word import group_word_of_preparation
from trainer.data.prepared import PreparedData, find_shards, open_prepared, read_groups, select_features
from trainer.devices.config import StrategyConfig
from trainer.devices.strategy import make_strategy
from trainer.evaluation.config import EvaluateConfig
from trainer.metrics.calibration import calibrated, fit_calibration
from trainer.metrics.level_metrics import TRACK, LevelMetrics, tracks_have_groups
from trainer.metrics.levels import evaluated_levels
from trainer.metrics.predictions import Predictions, predictions_of_scores
from trainer.metrics.score_tables import one_genre_notes, print_genres, print_scores
from trainer.model_card.model_card import write_model_card
from trainer.models.config import ModelConfig
from trainer.models.registry import model_config_from_dict
from trainer.runs.calibration_file import read_calibration, write_calibration
from trainer.runs.checkpoints import read_progress
from trainer.runs.prediction_files import write_predictions
from trainer.runs.restored_model import check_same_task, load_best_model, summarize_model
from trainer.runs.run_dir import EVALUATION_FILE, RunDir
from trainer.tracking.mlflow_sink import log_evaluation
from trainer.training.loop import ScoringLoop


def evaluate(config: EvaluateConfig) -> dict[str, LevelMetrics]:
    """Prints the metrics of a split at all levels, and merges them into the run's `metrics.json`.

    The predictions of the split's tracks go to `predictions-<split>.csv` in the same directory, and the settings of the
    evaluation to `evaluate-<split>.yaml`. `model_card.md` gets the new scores, and TensorBoard those of the test split.

    Metrics on another data set than that of the run are printed only, because `metrics.json` is of one data set. With
    `calibrate`, the run is calibrated.

    Returns:
        The metrics by level.

    Raises:
        UserError: The run or the data do not exist, or do not fit together.
        RunFailedError: A checkpoint or a shard is damaged, or another command has trained the run further.
    """
    run = RunDir(config.run_dir)
    run_config = run.config()
    checkpoint = run.best_checkpoint()
    trained_on = run.dataset()
    if config.data_dir is None and not trained_on.info.has_split(TEST):
        run.check_has_split(config.split)
    data = _open_data(config, run=run, data_dir=run_config["data_dir"], trained_on=trained_on)
    if config.calibrate:
        _check_can_be_calibrated(run, trained_on=trained_on, data=data)
    # Before the scoring, which takes long: it may be damaged.
    calibration = None if config.calibrate else read_calibration(run)
    model_config = model_config_from_dict(run_config["model"])
    model, predictions = predict_split(config, run=run, model_config=model_config, data=data)
    if config.calibrate:
        calibration = fit_calibration(predictions)
    levels = evaluated_levels(predictions, calibration=calibration)

    _print(levels, split=config.split, data=data, feature_names=model_config.feature_names)
    if data.cache_key != trained_on.cache_key:
        print(f"note: {data.path} is not the data set of {run.path}; metrics.json is not changed", file=stderr())
        return levels
    progress = read_progress(run.checkpoint_dir)

    def write_others() -> None:
        if run.best_checkpoint() != checkpoint:
            raise RunFailedError(
                f"another command has trained {run.path} further since its weights were read, and these scores are of "
                "earlier weights; nothing is written: run the same command again"
            )
        write_predictions(run, config.split, calibrated(predictions, calibration), labels=data.labels)
        if config.calibrate and calibration is not None:
            write_calibration(run, calibration)
        run.write_settings(EVALUATION_FILE.format(config.split), config)

    run.merge_metrics(
        config.split,
        levels,
        data=data,
        model=summarize_model(model_config, model, train_duration_s=progress.train_duration_s),
        write_others=write_others,
    )
    best_step = progress.early_stopping.best_epoch * _steps_per_epoch(run_config, trained_on)
    _show(run, config.split, levels, data=data, step=best_step)
    return levels


def _show(run: RunDir, split: str, levels: Mapping[str, LevelMetrics], *, data: PreparedData, step: int) -> None:
    """Writes the scores for those who read them: to the model card, to TensorBoard and to MLflow."""
    if run.is_finished():  # otherwise the end of the training writes it
        write_model_card(run)
    if split == TEST:  # the others have curves there
        write_test_scores(run.path, levels, data=data, step=step)
    log_evaluation(run, split, levels, data=data, step=step)


def _print(levels: Mapping[str, LevelMetrics], *, split: str, data: PreparedData, feature_names: Iterable[str]) -> None:
    word = group_word_of_preparation(
        data.preparation, has_groups=tracks_have_groups(levels, split_leak=data.stats.split_leak)
    )
    print_scores(split, levels, leak=data.stats.split_leak, group_word=word, stream=stdout())
    print(file=stdout())
    print_genres(f"{split} tracks", levels[TRACK], labels=data.labels, stream=stdout())
    notes = one_genre_notes(split, levels[TRACK], labels=data.labels, is_network=True)
    for note in [*notes, *find_contamination(data.preparation, feature_names)]:
        print(f"note: {visible_line(note)}", file=stdout())


def _steps_per_epoch(run_config: Mapping[str, Any], data: PreparedData) -> int:
    splits = (TRAIN, VALIDATION) if run_config.get("learn_from_validation", False) else (TRAIN,)
    return -(-sum(data.info.split(split).num_examples for split in splits) // int(run_config["global_batch_size"]))


def predict_split(
    config: EvaluateConfig, *, run: RunDir, model_config: ModelConfig, data: PreparedData
) -> tuple[keras.Model, Predictions]:
    """Returns the model of a run, with its best weights, and its predictions for the split."""
    shards = find_shards(data, config.split)
    group_of_track = read_groups(data)
    strategy = make_strategy(StrategyConfig())
    model = load_best_model(run, strategy=strategy)
    specs = select_features(data, model_config.feature_names)
    batches = scoring_batches(strategy, shards, specs=specs, global_batch_size=config.batch_size, cache=False)
    with shard_read_errors(shards):
        scores = ScoringLoop(strategy=strategy, model=model).score(batches)
    return model, predictions_of_scores(scores, group_of_track=group_of_track)


def _check_can_be_calibrated(run: RunDir, *, trained_on: PreparedData, data: PreparedData) -> None:
    """Checks that the validation split has not been trained on, and that training will not calibrate the run.

    Raises:
        UserError: The run is not finished, has learned from its validation split, or was trained on other data.
    """
    if not run.is_finished():
        raise UserError(f"calibrate=true: {run.path} is not finished: its training calibrates it at the end")
    if run.config().get("learn_from_validation", False):
        raise UserError(
            f"calibrate=true: {run.path} was trained with learn_from_validation=true, and so has no examples left to "
            "calibrate it with"
        )
    if data.cache_key != trained_on.cache_key:
        raise UserError(f"calibrate=true: {data.path} is not the data set of {run.path}: leave data_dir out")


def _open_data(config: EvaluateConfig, *, run: RunDir, data_dir: str, trained_on: PreparedData) -> PreparedData:
    """Returns the data set of the settings or of the run, if the model of the run takes it."""
    data = open_prepared(data_dir if config.data_dir is None else config.data_dir)
    if config.data_dir is None and data.cache_key != trained_on.cache_key:
        raise UserError(
            f"{data.path} was prepared again with other content since {run.path} was trained: "
            "train again, or set data_dir"
        )
    check_same_task(run, trained_on=trained_on, data=data)
    return data
