"""The commands of `beamtune` as functions, with their settings as keyword arguments."""

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from beam_pipelines.audio.quiet_decoders import silenced_decoders
from beam_pipelines.common.extras import naming_missing_extras
from beam_pipelines.common.terminal import stdout, without_output
from beamtune.settings import path_text, settings_from
from configs.command import load_config
from configs.resume import with_saved_settings

if TYPE_CHECKING:
    from beamtune.classifier import Classifier
    from beamtune.prepared_dataset import PreparedDataset
    from beamtune.split_metrics import SplitMetrics


@naming_missing_extras()
def prepare(*, progress: bool = False, **settings: Any) -> "PreparedDataset":
    """Prepares a data set as `beamtune prepare` does, or what is missing of it.

    Args:
        progress: Whether to print progress and a summary, as the command does.
        **settings: The settings of `beamtune prepare`. A group (dataset, split, features, runner) takes an option, as
            in dataset="synthetic", or an option with its settings, as in dataset={"folder": {"root": "~/Music"}};
            other settings take a value or a dict, as in audio={"sample_rate_hz": 22050}.

    Returns:
        The prepared data set in `output_dir`.

    Raises:
        UserError: A setting is wrong, or the data cannot be prepared with it; one line that says what to do.
        RunFailedError: Too many tracks cannot be used, or all tracks of a genre.

    Examples:
        >>> import beamtune
        >>> data = beamtune.prepare(
        ...     dataset={"folder": {"root": "music"}},
        ...     features={"log_mel": {"n_mels": 40}},
        ...     segment={"duration_s": 2, "hop_s": 2},
        ...     output_dir="prepared-40",
        ... )
        >>> data.features["log_mel"].shape
        (63, 40)
    """
    from beam_pipelines.prepare.config import PrepareConfig

    config = load_config(PrepareConfig, "prepare", settings_from("prepare", settings))
    with _quiet_imports():
        from beam_pipelines.prepare.pipeline import prepare as run_prepare
    from beamtune.prepared_dataset import PreparedDataset

    with _output(progress=progress), silenced_decoders():
        run_prepare(config)
    return PreparedDataset(config.output_dir)


@naming_missing_extras()
def train(*, progress: bool = False, **settings: Any) -> "Classifier":
    """Trains a model as `beamtune train` does, and loads it. A `run_dir` that holds an unfinished run is resumed.

    Args:
        progress: Whether to print each epoch and the scores, as the command does.
        **settings: The settings of `beamtune train`, in the same forms as for `prepare`: model="crnn", or
            model={"crnn": {"dropout": 0.3}}, or model={"dropout": 0.3} for the default model;
            optimizer={"learning_rate": 0.001}; overrides="best.yaml" reads those that a search found.

    Returns:
        The classifier of the best epoch; its `metrics` are those of the validation split.

    Raises:
        UserError: A setting is wrong, or data, model and run directory do not fit together.
        RunFailedError: The loss is not a finite number, or a file is damaged.
        RunAgainError: The process received SIGTERM, which is handled only if this runs in the main thread; the same
            call resumes.

    Examples:
        >>> import beamtune
        >>> classifier = beamtune.train(data_dir="prepared", run_dir="run-2", epochs=1, optimizer={"weight_decay": 0.1})
        >>> 0 <= classifier.metrics["validation"].track.accuracy <= 1
        True
    """
    from trainer.training.config import TrainConfig

    config = load_config(TrainConfig, "train", with_saved_settings(settings_from("train", settings)))
    from beamtune.classifier import load
    from trainer.training.train import train as run_train

    with _output(progress=progress):
        run_train(config)
    return load(config.run_dir)


@naming_missing_extras()
def evaluate(run_dir: str | os.PathLike[str], *, progress: bool = False, **settings: Any) -> "SplitMetrics":
    """Evaluates a run on a split as `beamtune evaluate` does, and adds the metrics to the run's `metrics.json`.

    Args:
        run_dir: The run, local or gs://.
        progress: Whether to print the tables of the command.
        **settings: The other settings of `beamtune evaluate`: split, "test" if not given; data_dir; batch_size.

    Raises:
        UserError: A setting is wrong, or the run and the data are missing or do not fit together.
        RunFailedError: A checkpoint or a shard is damaged.

    Examples:
        >>> import beamtune
        >>> metrics = beamtune.evaluate("run", split="test")
        >>> metrics.track.num_examples, len(metrics.track.confusion_matrix)
        (10, 5)
    """
    from trainer.evaluation.config import EvaluateConfig

    settings = {"run_dir": path_text(run_dir, name="run_dir"), **settings}
    config = load_config(EvaluateConfig, "evaluate", settings_from("evaluate", settings))
    from beamtune.split_metrics import SplitMetrics
    from trainer.evaluation.evaluate import evaluate as run_evaluate
    from trainer.runs.run_dir import RunDir

    with _output(progress=progress):
        levels = run_evaluate(config)
    return SplitMetrics(split=config.split, labels=RunDir(config.run_dir).dataset().labels, **levels)


@naming_missing_extras()
def quick(music_dir: str | os.PathLike[str], *, progress: bool = False, **settings: Any) -> "Classifier":
    """Makes a classifier of a folder of music as `beamtune quick` does, and loads it.

    Args:
        music_dir: The folder, with one for each genre and in it one for each artist, local or gs://.
        progress: Whether to print the steps and the table of the command.
        **settings: The settings of `beamtune quick`, in the same forms as for `prepare`; `output_dir` is required.

    Returns:
        The classifier that is fitted to all songs; its `metrics` are those of songs that were left out of the fit.

    Raises:
        UserError: A setting is wrong, or the music has a single genre.
        RunFailedError: Too many files cannot be used.

    Examples:
        The first call downloads the weights of musicnn.

        >>> import beamtune
        >>> classifier = beamtune.quick("music", output_dir="quick")  # doctest: +SKIP
        >>> classifier.metrics["out_of_fold"].track.accuracy  # doctest: +SKIP
        0.864
    """
    from trainer.quick.config import QuickConfig

    settings = {"dataset": {"folder": {"root": path_text(music_dir, name="music_dir")}}, **settings}
    config = load_config(QuickConfig, "quick", settings_from("quick", settings))
    with _quiet_imports():
        from configs.quick_steps import run_quick
    from beamtune.classifier import load
    from trainer.quick.quick_dir import QuickDir

    with _output(progress=progress), silenced_decoders():
        run_quick(config, stream=stdout())
    return load(QuickDir(config.output_dir).run)


@contextmanager
def _quiet_imports() -> Iterator[None]:
    """Hides what Apache Beam and the libraries of Google warn about when they are imported, as the commands do."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)


def _output(*, progress: bool) -> AbstractContextManager[None]:
    return nullcontext() if progress else without_output()
