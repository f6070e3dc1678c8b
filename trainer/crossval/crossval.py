"""`beamtune crossval`: trains on all folds of a data set but one, tests on that one, and repeats it for each fold."""

import math
import sys
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from typing import TextIO

from beam_pipelines.common.errors import RunFailedError
from beam_pipelines.common.lease import Lease, holding
from beam_pipelines.common.terminal import duration_in_words, kept_from_earlier
from beam_pipelines.prepare.plan import make_cache_key
from trainer.common import files
from trainer.common.left_leases import remove_left_leases
from trainer.common.stop_on_sigterm import StopRequest, stop_on_sigterm
from trainer.crossval.config import NETWORK, CrossvalConfig
from trainer.crossval.crossval_dir import CrossvalDir
from trainer.crossval.file_names import RESULT_FILE
from trainer.crossval.fold_data import FoldKey, is_written, remove_examples, write_fold
from trainer.crossval.fold_trainers import FoldTrainer, make_fold_trainer
from trainer.crossval.folds import Partition, partition_segments
from trainer.crossval.results import CrossvalHeader, ScoredRun, crossval_to_json
from trainer.crossval.results_table import describe_run, print_results
from trainer.crossval.source import Source, open_source
from trainer.data.contamination import find_contamination
from trainer.tracking.mlflow_group import group_run
from trainer.tracking.mlflow_session import MlflowSession


def crossval(config: CrossvalConfig, *, stream: TextIO) -> None:
    """Writes the folds, trains and evaluates each of them with each seed, and prints the results.

    Each fold is a prepared data set and each run an ordinary run directory. An interrupted cross-validation resumes
    when it is started again, and gives the same results.

    Args:
        config: The settings.
        stream: The stream to print the tables to.

    Raises:
        UserError: The data cannot be divided into folds, a directory contains other data, or as in training.
        RunFailedError: As in training; finished runs are kept.
        RunAgainError: The process received SIGTERM; its state is saved.
    """
    directory, trainer = CrossvalDir(config), make_fold_trainer(config)
    source = open_source(config.data_dir)
    partition = partition_segments(source, config)
    directory.check(source_cache_key=source.data.cache_key)
    trainer.check(source.data)
    for fold in range(config.folds):  # before anything is written: a shared folds_dir may contain other folds
        is_written(directory.fold_dir(fold), _fold_key(config, fold), source=source)
    with holding(config.output_dir, key="output_dir") as lease, stop_on_sigterm() as stop_request:
        directory.start(source_cache_key=source.data.cache_key)
        runner = _CrossvalRunner(
            config,
            directory=directory,
            trainer=trainer,
            source=source,
            partition=partition,
            stop_request=stop_request,
            lease=lease,
        )
        for note in runner.header.contamination:
            _log(f"note: {note}")
        with _mlflow_run(config) as mlflow:
            runner.run_all()
            if mlflow is not None:
                mlflow.log_text(RESULT_FILE, files.read_text(files.join(config.output_dir, RESULT_FILE)))
    print_results(runner.header, runner.results(), stream=stream)


def _mlflow_run(config: CrossvalConfig) -> AbstractContextManager[MlflowSession | None]:
    """Returns the run of MLflow for the whole; classical learners have no runs of their own there, and none for it."""
    if config.learner != NETWORK:
        return nullcontext()
    return group_run(config, config.mlflow, command="crossval", directory=config.output_dir, data_dir=config.data_dir)


class _CrossvalRunner:
    """Carries out the runs of a cross-validation that are not finished."""

    def __init__(
        self,
        config: CrossvalConfig,
        *,
        directory: CrossvalDir,
        trainer: FoldTrainer,
        source: Source,
        partition: Partition,
        stop_request: StopRequest,
        lease: Lease,
    ) -> None:
        self._config = config
        self._directory = directory
        self._trainer = trainer
        self._source = source
        self._partition = partition
        self._stop_request = stop_request
        self._lease = lease
        # The durations of the runs of this process, to estimate the remaining time.
        self._durations_s: list[float] = []
        # The finished runs by fold, seed and the name of the result.
        self._scored_runs: dict[tuple[int, int, str], ScoredRun] = {}
        self.header = _header(config, source, partition)

    def run_all(self) -> None:
        """Carries out the missing runs fold by fold, and writes the results after each run."""
        config = self._config
        pairs = [(fold, seed) for fold in range(config.folds) for seed in config.seeds]
        missing = [pair for pair in pairs if not self._load_run(*pair)]
        for pair in pairs:
            if pair not in missing:
                remove_left_leases(self._directory.run_dir(*pair), key="output_dir")
        num_done = len(pairs) - len(missing)
        if num_done:
            _log(f"{kept_from_earlier(num_done, len(pairs), 'run')}, in {config.output_dir}")
        self._write_results()
        for fold in range(config.folds):
            seeds = [seed for seed in config.seeds if (fold, seed) in missing]
            if seeds:
                self._write_fold(fold)
            for seed in seeds:
                self._run(fold, seed)
                num_done += 1
                self._report(fold, seed, num_done=num_done, num_runs=len(pairs))
            fold_dir = self._directory.fold_dir(fold)
            if not config.keep_folds and files.exists(fold_dir):
                remove_examples(fold_dir)

    def results(self) -> dict[str, list[ScoredRun]]:
        """Returns the finished runs, in the order of folds and seeds, by the name of the result."""
        return {
            name: [
                self._scored_runs[fold, seed, name]
                for fold in range(self._config.folds)
                for seed in self._config.seeds
                if (fold, seed, name) in self._scored_runs
            ]
            for name in self._trainer.result_names
        }

    def _load_run(self, fold: int, seed: int) -> bool:
        """Loads the finished runs of a fold and a seed; returns whether none is missing."""
        names = self._trainer.result_names
        for name in names:
            run = self._directory.scored_run(fold, seed, result_name=name)
            if run is not None:
                self._scored_runs[fold, seed, name] = run
        return all((fold, seed, name) in self._scored_runs for name in names)

    def _write_fold(self, fold: int) -> None:
        key = _fold_key(self._config, fold)
        fold_dir = self._directory.fold_dir(fold)
        if is_written(fold_dir, key, source=self._source):
            remove_left_leases(fold_dir, key="folds_dir")
            return
        self._stop_request.finishing = "the current examples are copied"
        # A cross-validation that shares folds_dir may write the same fold.
        with holding(fold_dir, key="folds_dir", wait_s=math.inf, on_wait=self._check_may_go_on) as lease:

            def check() -> None:
                self._check_may_go_on()
                lease.check()

            if not is_written(fold_dir, key, source=self._source):
                write_fold(fold_dir, key, source=self._source, partition=self._partition, on_batch=check)

    def _run(self, fold: int, seed: int) -> None:
        self._check_may_go_on()
        # Said only while the run does not train, which has a request of its own.
        self._stop_request.finishing = "the first steps of the run, or after its evaluation on the test split"
        started_s = time.monotonic()
        self._trainer.run(
            data_dir=self._directory.fold_dir(fold), run_dir=self._directory.run_dir(fold, seed), seed=seed
        )
        self._durations_s.append(time.monotonic() - started_s)
        if not self._load_run(fold, seed):
            raise RunFailedError(f"{self._directory.run_dir(fold, seed)} has no scores: run the same command again")
        self._write_results()

    def _report(self, fold: int, seed: int, *, num_done: int, num_runs: int) -> None:
        """Logs the scores of a run, and the estimated remaining time."""
        left_s = sum(self._durations_s) / len(self._durations_s) * (num_runs - num_done)
        for name in self._trainer.result_names:
            _log(f"run {num_done}/{num_runs}, {describe_run(self._scored_runs[fold, seed, name])}")
        left = "" if num_done == num_runs else f"; about {duration_in_words(left_s)} left"
        _log(f"run {num_done}/{num_runs} took {duration_in_words(self._durations_s[-1])}{left}")

    def _write_results(self) -> None:
        for name, runs in self.results().items():
            text = crossval_to_json(self.header, runs, settings=asdict(self._config))
            self._directory.write_result(text, result_name=name)

    def _check_may_go_on(self) -> None:
        self._lease.check()
        if self._stop_request.is_set:
            raise self._stop_request.error("; the state is saved: the same command resumes")


def _fold_key(config: CrossvalConfig, fold: int) -> FoldKey:
    return FoldKey(num_folds=config.folds, fold=fold, split_by=config.split_by, split_seed=config.split_seed)


def _header(config: CrossvalConfig, source: Source, partition: Partition) -> CrossvalHeader:
    source_cache_key = source.data.cache_key
    is_network = config.learner == NETWORK
    feature_names = config.model.feature_names if is_network else config.baselines.feature_names
    return CrossvalHeader(
        data_name=source.data.info.name,
        data_path=source.data.path,
        source_cache_key=source_cache_key,
        cache_key=make_cache_key([source_cache_key, config.folds, config.split_by, config.split_seed]),
        split_source=partition.split_source,
        split_leak=partition.split_leak,
        contamination=find_contamination(source.preparation, feature_names),
        num_folds=config.folds,
        seeds=tuple(config.seeds),
    )


def _log(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
