"""A search in TensorBoard's HParams plugin: the domain of each parameter, and a session for each trial."""

import time
from typing import Any

from tensorboard.plugins.hparams import api, api_pb2, summary

from trainer.common.event_files import EventFile
from trainer.common.vertex_logs import event_directories, vertex_log_dir
from trainer.tuner.space.space import Choice, Parameter, Range, Space
from trainer.tuner.trial import Trial

# The scalar with the score of a trial at its best epoch; its curves have the same names as those of any run.
_BEST = "best"
_SUFFIX = ".v2"


def write_experiment(search_dir: str, space: Space, *, objective: str, created_s: float) -> None:
    """Writes the domains of a space and the metrics that the plugin shows; created_s is in seconds since 1970."""
    split, _, tag = objective.partition("/")
    metrics = [
        api.Metric(f"{_BEST}/{objective}", display_name=f"best {objective}"),
        api.Metric(tag, group=split, display_name=f"last {objective}"),
        api.Metric("segment/loss", group="validation", display_name="last validation/segment/loss"),
    ]
    hparams = [api.HParam(parameter.name, _domain(parameter)) for parameter in space.parameters]
    message = api.hparams_config_pb(hparams, metrics, time_created_secs=created_s)
    vertex_dir = vertex_log_dir()
    for directory in [search_dir] if vertex_dir is None else [search_dir, vertex_dir]:
        _write(directory, message)


def write_session_start(trial: Trial) -> None:
    """Writes the values of a trial."""
    _write_session(trial.directory, api.hparams_pb(dict(trial.values), trial_id=trial.trial_id))


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


def _domain(parameter: Parameter) -> api.Domain:
    domain = parameter.domain
    if isinstance(domain, Choice):
        return api.Discrete([parameter.encode(value) for value in domain.values])
    assert isinstance(domain, Range)
    if domain.is_whole:
        return api.IntInterval(round(domain.low), round(domain.high))
    return api.RealInterval(float(domain.low), float(domain.high))
