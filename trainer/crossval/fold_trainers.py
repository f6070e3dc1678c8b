"""What learns a fold: a network as `beamtune train` trains one, or the classical learners of `beamtune baselines`."""

import gc
import io
from contextlib import redirect_stdout
from dataclasses import fields, replace
from typing import Any, Protocol

import keras

from beam_pipelines.records.schema import TEST
from trainer.crossval.config import NETWORK, CrossvalConfig
from trainer.devices.strategy import make_strategy
from trainer.evaluation.config import EvaluateConfig
from trainer.evaluation.evaluate import evaluate
from trainer.training.config import TrainConfig, TrainingConfig
from trainer.training.train import train


class Learner(Protocol):
    """Learns folds.

    Attributes:
        result_names: What it learns at a time: a result is written for each, in a folder of that name; "" for the
            folder of the cross-validation itself.
    """

    result_names: tuple[str, ...]

    def run(self, *, data_dir: str, run_dir: str, seed: int) -> None:
        """Learns a fold, or goes on with it, and scores its test split.

        Raises:
            RunAgainError: The process was asked to end; what was done is saved.
        """


class NetworkTrainer:
    """Trains and evaluates networks, one after the other in this process."""

    result_names: tuple[str, ...] = ("",)

    def __init__(self, config: CrossvalConfig) -> None:
        self._config = config
        self._strategy: Any = None

    def run(self, *, data_dir: str, run_dir: str, seed: int) -> None:
        # A process has one strategy: a second one with the devices of the first fails.
        if self._strategy is None:
            self._strategy = make_strategy(self._config.strategy)
        settings = {field.name: getattr(self._config, field.name) for field in fields(TrainingConfig)}
        config = TrainConfig(**settings, data_dir=data_dir, run_dir=run_dir, seed=seed)
        # What they print of single runs would hide what they come to together; the run directories hold it.
        with redirect_stdout(io.StringIO()):
            _forget_models()
            train(config, strategy=self._strategy)
            _forget_models()
            evaluate(EvaluateConfig(run_dir=run_dir, split=TEST))


class BaselinesTrainer:
    """Fits the classical learners."""

    def __init__(self, config: CrossvalConfig) -> None:
        self._config = config.baselines
        self.result_names: tuple[str, ...] = tuple(config.baselines.learners)

    def run(self, *, data_dir: str, run_dir: str, seed: int) -> None:
        # scikit-learn takes seconds to import, and networks do without it.
        from trainer.baselines.baselines import run_baselines

        config = replace(self._config, data_dir=data_dir, output_dir=run_dir, seed=seed)
        run_baselines(config, stream=io.StringIO())


def make_fold_trainer(config: CrossvalConfig) -> Learner:
    """Returns what learns the folds."""
    return NetworkTrainer(config) if config.learner == NETWORK else BaselinesTrainer(config)


def _forget_models() -> None:
    """Frees what Keras keeps of models, and takes back its settings, so that each run is as one in a fresh process."""
    # What stays is the graph of the training loop, some 8 MiB a run: TensorFlow registers the gradient of `all_reduce`
    # for good, and that knows its graph.
    keras.backend.clear_session()
    gc.compute_statistics()
