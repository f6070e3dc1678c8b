"""`beamtune tune`: a search, as a whole on this machine or as one process of a cluster."""

import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TextIO

from beam_pipelines.common.checks import check_choice
from beam_pipelines.common.errors import UserError
from beam_pipelines.records.schema import TRAIN, VALIDATION
from trainer.data.prepared import check_has_several_genres, find_shards, open_prepared, select_features
from trainer.training.callbacks import metric_names
from trainer.tuner.best import ToOverrides, write_best
from trainer.tuner.config import SearchConfig
from trainer.tuner.local import LOCAL_CHIEF, LOCAL_ROLE_VARIABLE, end_with_parent, run_local
from trainer.tuner.refit import refit
from trainer.tuner.roles import CHIEF, Role, role_from_environment
from trainer.tuner.search_dir import SearchDir
from trainer.tuner.service_config import ServiceConfig
from trainer.tuner.space import Space
from trainer.tuner.space_file import read_space
from trainer.tuner.status import show_best
from trainer.tuner.view import FAILED, SearchView, read_search

_LOCALHOST = "127.0.0.1"
_NUM_BEST = 10


def tune(
    config: SearchConfig,
    *,
    space_text: str,
    command: Sequence[str],
    to_overrides: ToOverrides,
    stream: TextIO,
    environment: Mapping[str, str] = os.environ,
) -> int:
    """Does what this process has to do for a search; returns its exit code.

    Args:
        config: What to search, and how.
        space_text: The YAML of what is searched.
        command: The words that start this very command once more; the processes of a local search are started so.
        to_overrides: Turns settings into overrides of `beamtune train`.
        stream: Where results are printed.
        environment: Where the role of this process is looked for.

    Raises:
        UserError: The space, the data, the environment or the search_dir are not right; nothing was trained.
        RunFailedError: The search cannot succeed.
        RunAgainError: The process was asked to end; the same command goes on.
    """
    space = read_space(config, space_text)
    local_role = environment.get(LOCAL_ROLE_VARIABLE)
    role = None if local_role else role_from_environment(environment)
    if local_role:
        end_with_parent()
    else:
        check_choice(config.objective, metric_names(_labels_of_data(config)), key="objective")
    be_chief = partial(_be_chief, config, space=space, space_text=space_text, to_overrides=to_overrides, stream=stream)
    if local_role == LOCAL_CHIEF:
        return be_chief(host=_LOCALHOST, service=config.service)
    if local_role:
        return _be_worker(config, space=space, tuner_id=local_role, chief_address=None)
    if config.refit:
        refit(config, space=space, stream=stream)
        return 0
    directory = SearchDir(config.search_dir)
    if directory.is_started():
        directory.check_same(config, space_text=space_text)
    if role is None or _is_alone(role):
        exit_code = run_local(config, command=command)
        show_best(read_search(config.search_dir), num_trials=_NUM_BEST, stream=stream)
        return exit_code
    if role.kind == CHIEF:
        return be_chief(host=role.chief_host, service=replace(config.service, port=role.port))
    return _be_worker(config, space=space, tuner_id=role.tuner_id, chief_address=role.chief_address)


def _is_alone(role: Role) -> bool:
    return role.kind == CHIEF and role.workers == 0


def _labels_of_data(config: SearchConfig) -> Sequence[str]:
    """Makes sure once, rather than in every trial, that there are data to train on. Returns their genres."""
    data = open_prepared(config.data_dir)
    for split in (TRAIN, VALIDATION):
        find_shards(data, split)
    check_has_several_genres(data)
    select_features(data, config.model.feature_names)
    return data.labels


def _be_chief(
    config: SearchConfig,
    *,
    space: Space,
    space_text: str,
    host: str,
    service: ServiceConfig,
    to_overrides: ToOverrides,
    stream: TextIO,
) -> int:
    # These import TensorFlow and KerasTuner, which the process that only watches does not need.
    import time

    from trainer.tuner.chief import run_chief
    from trainer.tuner.hparams import write_experiment
    from trainer.tuner.hyperparameters import to_hyperparameters
    from trainer.tuner.oracles import OracleSettings

    directory = SearchDir(config.search_dir)
    if not directory.is_started():
        directory.start(config, space_text=space_text)
        write_experiment(config.search_dir, space, objective=config.objective, created_s=time.time())
    settings = OracleSettings(
        algorithm=config.tuner.kind,
        space=to_hyperparameters(space),
        objective=config.objective,
        direction=config.best_is,
        seed=config.tuner.seed + 1,
        epochs_per_trial=config.epochs,
        hyperband_factor=config.tuner.factor,
        hyperband_iterations=config.tuner.iterations,
        num_initial_points=config.tuner.num_initial_points,
    )
    try:
        run_chief(
            config.search_dir,
            oracle_settings=settings,
            budget=config.budget,
            pruning=config.pruning,
            service=service,
            host=host,
        )
    finally:
        # Also of a search that was ended by failures or from outside: what there is by now.
        with suppress(UserError):
            _conclude(read_search(config.search_dir), config, space=space, to_overrides=to_overrides, stream=stream)
    return 0


def _conclude(
    view: SearchView, config: SearchConfig, *, space: Space, to_overrides: ToOverrides, stream: TextIO
) -> None:
    """Writes and prints what came out of a search."""
    from trainer.tuner.hparams import end_sessions

    write_best(view, config, space=space, to_overrides=to_overrides)
    end_sessions(trial.directory for trial in view.trials if trial.status == FAILED)
    show_best(view, num_trials=_NUM_BEST, stream=stream)


def _be_worker(config: SearchConfig, *, space: Space, tuner_id: str, chief_address: str | None) -> int:
    from trainer.tuner.runner import TrainingRunner
    from trainer.tuner.worker import run_worker

    runner = TrainingRunner(
        config.base(),
        space=space,
        objective=config.objective,
        timeout_s=config.trial_timeout_s,
    )
    print(f"{tuner_id}: search_dir={config.search_dir}", file=sys.stderr, flush=True)
    return run_worker(
        config.search_dir, tuner_id=tuner_id, chief_address=chief_address, runner=runner, service=config.service
    )
