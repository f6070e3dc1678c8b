"""`beamtune tune`: a whole search on this machine, or one process of a search on a cluster."""

import os
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TextIO

from beam_pipelines.common.bucket_errors import BucketOutageError
from beam_pipelines.common.checks import check_choice
from beam_pipelines.common.errors import UserError
from beam_pipelines.common.lease import UPDATE_LEASE_FILE, holding
from beam_pipelines.records.schema import TRAIN, VALIDATION
from trainer.common import files
from trainer.data.prepared import check_has_several_genres, find_shards, open_prepared, select_features
from trainer.tracking.mlflow_group import group_run
from trainer.tracking.mlflow_session import MlflowSession
from trainer.training.callbacks import metric_names
from trainer.tuner.best import ToOverrides, write_best
from trainer.tuner.config import SearchConfig
from trainer.tuner.hparams_events import write_experiment, write_session_failure
from trainer.tuner.local import LOCAL_CHIEF, LOCAL_ROLE_VARIABLE, exit_with_parent, run_local
from trainer.tuner.refit import refit
from trainer.tuner.search_dir import SearchDir
from trainer.tuner.service.cluster_role import CHIEF, role_from_environment
from trainer.tuner.service.leader_lease import LostLeadershipError
from trainer.tuner.service.search_state import read_search
from trainer.tuner.space.space import Space
from trainer.tuner.space.space_file import read_space
from trainer.tuner.status import show_best
from trainer.tuner.trial import FAILED

_LOCALHOST = "127.0.0.1"
_NUM_BEST = 10
# How long another chief may take to write the settings of the search.
_START_WAIT_S = 60.0


def tune(
    config: SearchConfig,
    *,
    space_text: str,
    command: Sequence[str],
    to_overrides: ToOverrides,
    stream: TextIO,
    environment: Mapping[str, str] = os.environ,
) -> int:
    """Runs a search, or the part of it that the environment assigns to this process; returns the exit code.

    Args:
        config: The search.
        space_text: The YAML of its space.
        command: Starts this command again; the processes of a local search are started with it.
        to_overrides: Turns settings into overrides of `beamtune train`.
        stream: Where results are printed.
        environment: Variables that may set the role of this process.

    Raises:
        UserError: The space, the data, the environment or search_dir is wrong; nothing was trained.
        RunFailedError: The search cannot succeed.
        RunAgainError: SIGTERM came; the same command resumes the search.
    """
    space = read_space(config, space_text)
    directory = SearchDir(config.search_dir)
    be_chief = partial(_run_chief, space=space, space_text=space_text, to_overrides=to_overrides, stream=stream)
    local_role = environment.get(LOCAL_ROLE_VARIABLE)
    if local_role:
        exit_with_parent()
        return be_chief(config) if local_role == LOCAL_CHIEF else _run_worker(config, space, local_role)
    role = role_from_environment(environment)
    check_choice(config.objective, metric_names(_labels_of_data(config)), key="objective")
    if config.refit:
        refit(config, space=space, stream=stream)
        return 0
    if directory.is_started():
        directory.check_same(config, space_text=space_text)
    if role is None or (role.kind == CHIEF and role.num_workers == 0):
        if not directory.is_started():
            directory.check_is_empty()
        with holding(config.search_dir, key="search_dir"):
            run_local(config, command=command)
        show_best(read_search(config.search_dir), num_trials=_NUM_BEST, stream=stream)
        return 0
    if role.kind == CHIEF:
        return be_chief(replace(config, service=replace(config.service, port=role.port)), host=role.chief_host)
    return _run_worker(config, space, role.worker_name, chief_address=role.chief_address)


def _labels_of_data(config: SearchConfig) -> Sequence[str]:
    """Checks the data once rather than in every trial; returns the genres."""
    data = open_prepared(config.data_dir)
    for split in (TRAIN, VALIDATION):
        find_shards(data, split)
    check_has_several_genres(data)
    select_features(data, config.model.feature_names)
    return data.labels


def _run_chief(
    config: SearchConfig,
    *,
    host: str = _LOCALHOST,
    space: Space,
    space_text: str,
    to_overrides: ToOverrides,
    stream: TextIO,
) -> int:
    # Loads KerasTuner, which the process that only watches does not need.
    from trainer.tuner.service.chief import run_chief

    directory = SearchDir(config.search_dir)
    # Another chief may start at the same time.
    with holding(config.search_dir, key="search_dir", name=UPDATE_LEASE_FILE, wait_s=_START_WAIT_S):
        if directory.is_started():
            directory.check_same(config, space_text=space_text)
        else:
            directory.start(config, space_text=space_text)
            write_experiment(config.search_dir, space, objective=config.objective, created_s=time.time())
    can_write = True
    with group_run(
        config, config.mlflow, command="tune", directory=config.search_dir, data_dir=config.data_dir
    ) as mlflow:
        try:
            run_chief(config, space=space, host=host)
        except (LostLeadershipError, BucketOutageError):
            can_write = False  # another chief writes the results, or this one when it is started again
            if mlflow is not None:
                mlflow.keep_status()
            raise
        finally:
            # Also of a search that failed or was stopped. The state may not exist yet.
            if can_write:
                with suppress(UserError):
                    _write_results(config, space=space, to_overrides=to_overrides, stream=stream)
                    _log_best(config, mlflow)
    return 0


def _log_best(config: SearchConfig, mlflow: MlflowSession | None) -> None:
    """Sends the score and the settings of the best trial to MLflow."""
    search = read_search(config.search_dir)
    if mlflow is not None and search.best is not None and search.best.score is not None:
        mlflow.log({f"best/{config.objective}": search.best.score}, step=len(search.trials))
        mlflow.log_text("best.yaml", files.read_text(SearchDir(config.search_dir).best_path))


def _write_results(config: SearchConfig, *, space: Space, to_overrides: ToOverrides, stream: TextIO) -> None:
    search = read_search(config.search_dir)
    write_best(search, config, space=space, to_overrides=to_overrides)
    for trial in search.trials:
        if trial.status == FAILED:
            write_session_failure(trial.directory)  # the worker may have been lost before it wrote this
    show_best(search, num_trials=_NUM_BEST, stream=stream)


def _run_worker(config: SearchConfig, space: Space, worker_name: str, *, chief_address: str | None = None) -> int:
    from trainer.tuner.runner import TrainingRunner
    from trainer.tuner.service.worker import run_worker

    print(f"{worker_name}: search_dir={config.search_dir}", file=sys.stderr, flush=True)
    runner = TrainingRunner(config, space=space)
    run_worker(
        config.search_dir, worker_name=worker_name, chief_address=chief_address, runner=runner, service=config.service
    )
    return 0
