"""The row of a run in the table of TensorBoard's HParams plugin: its settings and its scores."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from tensorboard.plugins.hparams import api_pb2
from tensorboard.plugins.hparams.summary import experiment_pb, session_end_pb, session_start_pb

from beam_pipelines.common.saved_settings import SettingValue, trained_settings
from trainer.board.config import RunSettings
from trainer.data.prepared import PreparedData
from trainer.metrics.levels import SEGMENT, TRACK
from trainer.metrics.metrics import LevelMetrics

# Scalars in the run directory itself: the scores of the best weights on the validation split.
SCORES = ("track/accuracy", "track/balanced_accuracy", "track/macro_f1", "track/loss", "segment/accuracy")

# TensorBoard first shows five columns, in the order of their names, and prefers those that are marked as different
# between runs: these are.
_FIRST_COLUMNS = frozenset({"data", "model.feature", "model.features", "model.name", "optimizer.learning_rate", "seed"})


def settings_of(config: RunSettings, data: PreparedData) -> dict[str, SettingValue]:
    """Returns the data set and the settings that change the trained weights, by dotted key; lists as JSON."""
    return {"data": data.info.name, "split": data.stats.split_source, **trained_settings(asdict(config))}


def best_scores(levels: Mapping[str, LevelMetrics]) -> dict[str, float]:
    """Returns the values of SCORES, by tag; those that are None are left out."""
    values = {f"{level}/{name}": value for level in (TRACK, SEGMENT) for name, value in asdict(levels[level]).items()}
    return {tag: values[tag] for tag in SCORES if values[tag] is not None}


def experiment_summary(settings: Mapping[str, SettingValue]) -> Any:
    """Returns the message that names the columns of the table: settings, then scores.

    TensorBoard uses the message of one of the runs that it shows for all of them.
    """
    return experiment_pb(
        hparam_infos=[
            api_pb2.HParamInfo(name=name, type=_type_of(value), differs=name in _FIRST_COLUMNS)
            for name, value in settings.items()
        ],
        metric_infos=[
            api_pb2.MetricInfo(
                name=api_pb2.MetricName(tag=tag), display_name=tag, dataset_type=api_pb2.DATASET_VALIDATION
            )
            for tag in SCORES
        ],
    )


def start_summary(settings: Mapping[str, SettingValue]) -> Any:
    """Returns the message with the settings of a run; a setting that is null has an empty cell."""
    return session_start_pb({key: value for key, value in settings.items() if value is not None})


def end_summary() -> Any:
    """Returns the message that marks a run as finished."""
    return session_end_pb(api_pb2.STATUS_SUCCESS)


def _type_of(value: SettingValue) -> Any:
    if isinstance(value, bool):
        return api_pb2.DATA_TYPE_BOOL
    # A setting that is null in this run is a number in others.
    return api_pb2.DATA_TYPE_STRING if isinstance(value, str) else api_pb2.DATA_TYPE_FLOAT64
