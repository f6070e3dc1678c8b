"""A search in TensorBoard's HParams plugin: the domain of each parameter, and a session for each trial.

Its parallel coordinates leave out trials that lack the value of a column that is shown, and it first shows five
columns, in the order of their names. Hence a trial has a value for each parameter, also for those that are not active,
and the five are parameters that every trial varies.
"""

import time
from typing import Any

from tensorboard.plugins.hparams import api, api_pb2, summary

from trainer.board.hparams_plugin import shown_value
from trainer.board.tags import scalar_tag
from trainer.common import files
from trainer.common.event_files import EventFile
from trainer.common.vertex_logs import event_directories, vertex_log_dir
from trainer.tuner.space.space import Choice, Parameter, Range, Space
from trainer.tuner.trial import HyperparameterValue, Trial

# The scalar with the score of a trial at its best epoch; its curves have the same tags as those of any run.
_BEST = "trial/best"
_SUFFIX = ".v2"
# The run of TensorBoard that has the domains. In the directory of the search itself it would be called ".".
_SEARCH_RUN = "search"
# The value of a parameter whose conditions do not hold.
_OFF = "off"
_NUM_FIRST_COLUMNS = 5
# Up to so many whole numbers are shown as texts, which TensorBoard does not round, and places on an axis with one place
# for each of them.
_MOST_PLACES = 20


def write_experiment(search_dir: str, space: Space, *, objective: str, created_s: float) -> None:
    """Writes the domains of a space and the metrics that the plugin shows; created_s is in seconds since 1970."""
    split, _, tag = objective.partition("/")
    metrics = [
        api.Metric(f"{_BEST}/{objective}", display_name=f"best {objective}"),
        api.Metric(scalar_tag(tag), group=split, display_name=f"last {objective}"),
        api.Metric("segment/loss", group="validation", display_name="last validation/segment/loss"),
    ]
    message = summary.experiment_pb(
        hparam_infos=_columns(space),
        metric_infos=[metric.as_proto() for metric in metrics],
        time_created_secs=created_s,
    )
    vertex_dir = vertex_log_dir()
    for directory in [search_dir] if vertex_dir is None else [search_dir, vertex_dir]:
        _write(files.join(directory, _SEARCH_RUN), message)


def write_session_start(trial: Trial, space: Space) -> None:
    """Writes the values of a trial, with "off" for the parameters of the space that it does not have."""
    values = {parameter.name: _cell(parameter, trial.values.get(parameter.name)) for parameter in space.parameters}
    _write_session(trial.directory, api.hparams_pb(values, trial_id=trial.trial_id))


def write_session_success(directory: str, *, objective: str, score: float) -> None:
    """Writes that a trial has completed, and its score."""
    end = summary.session_end_pb(api_pb2.STATUS_SUCCESS, end_time_secs=time.time())
    _write_session(directory, end, scalars={f"{_BEST}/{objective}": score})


def write_session_failure(directory: str) -> None:
    """Writes that a trial has failed. TensorBoard ignores this if the end of the session was written before."""
    _write_session(directory, summary.session_end_pb(api_pb2.STATUS_FAILURE, end_time_secs=time.time()))


def _write_session(directory: str, message: Any, *, scalars: dict[str, float] | None = None) -> None:
    for one in event_directories(directory):
        _write(one, message, scalars=scalars)


def _write(directory: str, message: Any, *, scalars: dict[str, float] | None = None) -> None:
    with EventFile(directory, suffix=_SUFFIX) as events:
        events.message(message, step=0)
        for name, value in (scalars or {}).items():
            events.scalar(name, value, step=0)


def _columns(space: Space) -> list[Any]:
    """Returns the columns of the table; those that TensorBoard shows first have `differs`."""
    unconditional = [parameter for parameter in space.parameters if not parameter.conditions]
    varied = sorted(unconditional, key=lambda parameter: parameter.domain.num_values, reverse=True)
    first = {parameter.name for parameter in varied[:_NUM_FIRST_COLUMNS]}
    columns = []
    for parameter in space.parameters:
        column = api_pb2.HParamInfo(name=parameter.name, differs=parameter.name in first)
        domain = _domain(parameter)
        if domain is None:
            column.type = api_pb2.DATA_TYPE_STRING
        else:
            domain.update_hparam_info(column)
        columns.append(column)
    return columns


def _domain(parameter: Parameter) -> api.Domain | None:
    """Returns the domain of a column; None for one of texts that cannot be listed."""
    domain = parameter.domain
    if isinstance(domain, Range) and not (domain.is_whole and domain.num_values <= _MOST_PLACES):
        return None if parameter.conditions else api.RealInterval(float(domain.low), float(domain.high))
    values = domain.values if isinstance(domain, Choice) else range(round(domain.low), round(domain.high) + 1)
    off = [_OFF] if parameter.conditions else []
    return api.Discrete([*(_cell(parameter, parameter.encode(value)) for value in values), *off])


def _cell(parameter: Parameter, value: HyperparameterValue | None) -> HyperparameterValue:
    """Returns what the table has for an encoded value; all cells of a column are numbers, or all are texts."""
    if value is None:
        return _OFF
    if parameter.domain.num_values <= _MOST_PLACES:
        value = shown_value(value)
    if parameter.conditions and not isinstance(value, str):
        return f"{value:.5g}"
    return value
