"""A search for TensorBoard's HParams plugin: the domain of each parameter, and a session for each trial."""

import time
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any

import tensorflow as tf
from tensorboard.plugins.hparams import api, api_pb2, summary

from trainer.tuner.space import Choice, Domain, Parameter, Range, Space
from trainer.tuner.trials import Trial

# Below this, the score of a trial at its best epoch; its curves have the names of those of any run.
_BEST = "best"


class SessionStatus(Enum):
    """How a trial ended."""

    SUCCESS = api_pb2.STATUS_SUCCESS
    FAILURE = api_pb2.STATUS_FAILURE


def write_experiment(search_dir: str, space: Space, *, objective: str, created_s: float) -> None:
    """Writes what is searched.

    Args:
        search_dir: The search.
        space: Its space.
        objective: The metric that is sought to be best.
        created_s: When it was begun, in seconds since 1970.
    """
    split, _, tag = objective.partition("/")
    metrics = [
        api.Metric(f"{_BEST}/{objective}", display_name=f"best {objective}"),
        api.Metric(tag, group=split, display_name=f"last {objective}"),
        api.Metric("segment/loss", group="validation", display_name="last validation/segment/loss"),
    ]
    hparams = [api.HParam(parameter.name, _domain(parameter)) for parameter in space.parameters]
    _write(search_dir, api.hparams_config_pb(hparams, metrics, time_created_secs=created_s))


def write_session_start(trial: Trial) -> None:
    """Writes the values of a trial."""
    _write(trial.directory, api.hparams_pb(dict(trial.values), trial_id=trial.trial_id))


def write_session_end(directory: str, status: SessionStatus, *, best: Mapping[str, float] | None = None) -> None:
    """Writes how a trial ended.

    Args:
        directory: The trial.
        status: How.
        best: Metrics of its best epoch.
    """
    scalars = {f"{_BEST}/{name}": value for name, value in (best or {}).items()}
    _write(directory, summary.session_end_pb(status.value, end_time_secs=time.time()), scalars=scalars)


def end_sessions(directories: Iterable[str]) -> None:
    """Writes that some trials have failed, for those whose worker could not say so itself.

    Where it could, this changes nothing: TensorBoard takes the first end of a session.
    """
    for directory in directories:
        write_session_end(directory, SessionStatus.FAILURE)


def _write(directory: str, message: Any, *, scalars: Mapping[str, float] | None = None) -> None:
    with tf.summary.create_file_writer(directory).as_default(step=0) as writer:
        tf.summary.experimental.write_raw_pb(message.SerializeToString(), step=0)
        for name, value in (scalars or {}).items():
            tf.summary.scalar(name, value)
        writer.close()


def _domain(parameter: Parameter) -> api.Domain:
    domain: Domain = parameter.domain
    if isinstance(domain, Range):
        if domain.is_whole:
            return api.IntInterval(round(domain.low), round(domain.high))
        return api.RealInterval(float(domain.low), float(domain.high))
    assert isinstance(domain, Choice)
    return api.Discrete([parameter.encode(value) for value in domain.values])
