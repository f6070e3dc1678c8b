"""Trains and evaluates on a fold: a network as `beamtune train` does, or the learners of `beamtune baselines`."""

import gc
import io
from contextlib import redirect_stdout
from dataclasses import fields, replace
from typing import Any, Protocol

import keras

from beam_pipelines.common.errors import UserError
from beam_pipelines.records.schema import TEST
from trainer.baselines.vectors import make_vectorizer
from trainer.crossval.config import NETWORK, CrossvalConfig
from trainer.data.prepared import PreparedData
from trainer.devices.strategy import make_strategy
from trainer.evaluation.config import EvaluateConfig
from trainer.evaluation.evaluate import evaluate
from trainer.tracking.mlflow_session import below
from trainer.training.config import TrainConfig, TrainingConfig
from trainer.training.train import train


class FoldTrainer(Protocol):
    """Trains and evaluates one model, or several, on a fold.

    Attributes:
        result_names: The names of the models. The results of each are written to a folder of its name; "" for the
            directory of the cross-validation itself.
    """

    result_names: tuple[str, ...]

    def check(self, data: PreparedData) -> None:
        """Checks, before folds are written, that the data set has what the models take.

        Raises:
            UserError: It has not.
        """

    def run(self, *, data_dir: str, run_dir: str, seed: int) -> None:
        """Trains on a fold, or resumes, and evaluates the test split.

        Raises:
            RunAgainError: The process received SIGTERM; its state is saved.
        """


class NetworkTrainer:
    """Trains and evaluates networks, one after the other in this process."""

    result_names: tuple[str, ...] = ("",)

    def __init__(self, config: CrossvalConfig) -> None:
        self._config = config
        self._strategy: Any = None

    def check(self, data: PreparedData) -> None:
        pass  # `train` checks it on the first fold

    def run(self, *, data_dir: str, run_dir: str, seed: int) -> None:
        # Making a second strategy with the same devices in one process fails.
        if self._strategy is None:
            self._strategy = make_strategy(self._config.strategy)
        settings = {field.name: getattr(self._config, field.name) for field in fields(TrainingConfig)}
        settings["mlflow"] = below(self._config.mlflow, self._config.output_dir)
        config = TrainConfig(**settings, data_dir=data_dir, run_dir=run_dir, seed=seed)
        # The output of single runs would hide the summary; their run directories have the scores.
        with redirect_stdout(io.StringIO()):
            _reset_keras()
            train(config, strategy=self._strategy)
            _reset_keras()
            evaluate(EvaluateConfig(run_dir=run_dir, split=TEST))


class BaselinesTrainer:
    """Fits the classical learners."""

    def __init__(self, config: CrossvalConfig) -> None:
        self._config = config.baselines
        self.result_names: tuple[str, ...] = tuple(config.baselines.learners)

    def check(self, data: PreparedData) -> None:
        try:
            make_vectorizer(data, self._config.feature_names, pooling=self._config.pooling)
        except UserError as error:
            raise UserError(f"baselines.{error}") from error

    def run(self, *, data_dir: str, run_dir: str, seed: int) -> None:
        # scikit-learn takes seconds to import, and networks do not need it.
        from trainer.baselines.baselines import run_baselines

        config = replace(self._config, data_dir=data_dir, output_dir=run_dir, seed=seed)
        run_baselines(config, stream=io.StringIO())


def make_fold_trainer(config: CrossvalConfig) -> FoldTrainer:
    """Returns the trainer for `config.learner`."""
    return NetworkTrainer(config) if config.learner == NETWORK else BaselinesTrainer(config)


def _reset_keras() -> None:
    """Frees the models that Keras keeps and resets its global state, so that each run is as in a new process."""
    # The graph of the training loop is not freed, some 8 MiB a run: TensorFlow registers the gradient of `all_reduce`
    # permanently, and it refers to its graph.
    keras.backend.clear_session()
    gc.collect()
