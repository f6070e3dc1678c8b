"""A run as a row of TensorBoard's table of settings and scores."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from tensorboard.plugins.hparams import api_pb2
from tensorboard.plugins.hparams.summary import experiment_pb, session_end_pb, session_start_pb

from trainer.board.config import RunSettings
from trainer.data.prepared import PreparedData
from trainer.metrics.levels import SEGMENT, TRACK
from trainer.metrics.metrics import LevelMetrics

# Scalars of a run's own directory: those of its best weights on the validation split.
SCORES = ("track/accuracy", "track/balanced_accuracy", "track/macro_f1", "track/loss", "segment/accuracy")

# What does not decide what is learned: places, devices, and how fast it goes.
_LEFT_OUT = frozenset(
    {"run_dir", "data_dir", "checkpoint_interval_s", "steps_per_call", "cache", "shuffle_buffer_examples"}
    | {"strategy", "board", "weights_path"}
)
# TensorBoard shows columns in the order of their names and, at first, five of them: these, for it takes settings that
# differ first.
_FIRST_COLUMNS = frozenset({"data", "model.feature", "model.features", "model.name", "optimizer.learning_rate", "seed"})

Value = bool | int | float | str | None


def settings_of(config: RunSettings, data: PreparedData) -> dict[str, Value]:
    """Returns the settings that decide what is learned, by their keys, and the data set; lists are text."""
    return {"data": data.info.name, "split": data.stats.split_source, **_flatten(asdict(config))}


def _flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Value]:
    flat: dict[str, Value] = {}
    for key, value in values.items():
        if key in _LEFT_OUT:
            continue
        if isinstance(value, Mapping):
            flat.update(_flatten(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = json.dumps(value) if isinstance(value, list | tuple) else value
    return flat


def best_scores(levels: Mapping[str, LevelMetrics]) -> dict[str, float]:
    """Returns the values of SCORES; those that are not known are left out."""
    values = {f"{level}/{name}": value for level in (TRACK, SEGMENT) for name, value in asdict(levels[level]).items()}
    return {tag: values[tag] for tag in SCORES if values[tag] is not None}


def experiment_summary(settings: Mapping[str, Value]) -> Any:
    """Returns the message that names the columns of the table: settings, then scores.

    TensorBoard takes the columns of one of the runs that it shows.
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


def start_summary(settings: Mapping[str, Value]) -> Any:
    """Returns the message that says what a run was told; a setting that is null has an empty cell."""
    return session_start_pb({key: value for key, value in settings.items() if value is not None})


def end_summary() -> Any:
    """Returns the message that says that a run came to its end."""
    return session_end_pb(api_pb2.STATUS_SUCCESS)


def _type_of(value: Value) -> Any:
    if isinstance(value, bool):
        return api_pb2.DATA_TYPE_BOOL
    # What may be null is a number elsewhere.
    return api_pb2.DATA_TYPE_STRING if isinstance(value, str) else api_pb2.DATA_TYPE_FLOAT64
