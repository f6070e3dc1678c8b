"""The row of a run in the table of TensorBoard's HParams plugin: its settings and its scores."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from tensorboard.plugins.hparams import api_pb2
from tensorboard.plugins.hparams.summary import experiment_pb, session_end_pb, session_start_pb

from beam_pipelines.common.saved_settings import SettingValue, trained_settings
from beam_pipelines.records.schema import TEST
from trainer.board.config import RunSettings
from trainer.board.tags import scalar_tag
from trainer.data.prepared import PreparedData
from trainer.metrics.level_metrics import SEGMENT, TRACK, LevelMetrics

# The scores of the best weights on the validation split, by the names of the curves. They are scalars in the run
# directory itself, with the tags of the curves.
SCORES = ("track/accuracy", "track/balanced_accuracy", "track/macro_f1", "track/loss", "segment/accuracy")

# The score of `beamtune evaluate`, which most runs do not have. It comes after the five that TensorBoard shows first,
# because parallel coordinates leave out runs that lack the value of a column that is shown.
_TEST_SCORE = "track/accuracy"

# TensorBoard shows all numbers with five digits (12.000), and texts as they are. It sorts texts by their characters:
# with spaces in front, which it does not show, they are in the order of the numbers.
_WHOLE_NUMBER_WIDTH = 12

# TensorBoard first shows five columns, in the order of their names, and prefers those that are marked as different
# between runs: these are.
_FIRST_COLUMNS = frozenset({"data", "model.feature", "model.features", "model.name", "optimizer.learning_rate", "seed"})


def settings_of(config: RunSettings, data: PreparedData) -> dict[str, SettingValue]:
    """Returns the data set and the settings that change the trained weights, by dotted key; lists as JSON."""
    return {"data": data.info.name, "split": data.stats.split_source, **trained_settings(asdict(config))}


def best_scores(levels: Mapping[str, LevelMetrics]) -> dict[str, float]:
    """Returns the values of SCORES, by their tags in TensorBoard; those that are None are left out."""
    values = {f"{level}/{name}": value for level in (TRACK, SEGMENT) for name, value in asdict(levels[level]).items()}
    return {scalar_tag(name): values[name] for name in SCORES if values[name] is not None}


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
                name=api_pb2.MetricName(tag=scalar_tag(name)),
                display_name=name,
                dataset_type=api_pb2.DATASET_VALIDATION,
            )
            for name in SCORES
        ]
        + [
            api_pb2.MetricInfo(
                name=api_pb2.MetricName(group=TEST, tag=scalar_tag(_TEST_SCORE)), display_name=f"{TEST}/{_TEST_SCORE}"
            )
        ],
    )


def start_summary(settings: Mapping[str, SettingValue]) -> Any:
    """Returns the message with the settings of a run; a setting that is null has an empty cell."""
    return session_start_pb({key: shown_value(value) for key, value in settings.items() if value is not None})


def shown_value(value: bool | float | str) -> bool | float | str:
    """Returns a value of a setting as TensorBoard shows it well: a whole number as text that sorts like the number."""
    return f"{value:{_WHOLE_NUMBER_WIDTH}d}" if type(value) is int else value


def end_summary() -> Any:
    """Returns the message that marks a run as finished."""
    return session_end_pb(api_pb2.STATUS_SUCCESS)


def _type_of(value: SettingValue) -> Any:
    if isinstance(value, bool):
        return api_pb2.DATA_TYPE_BOOL
    # A setting that is null in this run is a number in others.
    return api_pb2.DATA_TYPE_STRING if isinstance(value, str | int) else api_pb2.DATA_TYPE_FLOAT64
