"""Trains the best trial of a search on the train and the validation split, and evaluates it once on the test split."""

from dataclasses import replace
from typing import TextIO

from beam_pipelines.common.errors import UserError
from beam_pipelines.common.lease import holding
from beam_pipelines.common.terminal import counted
from beam_pipelines.records.schema import TEST
from trainer.evaluation.config import EvaluateConfig
from trainer.evaluation.evaluate import evaluate
from trainer.runs.run_dir import RunDir
from trainer.runs.run_metrics import metrics_to_json
from trainer.tracking.mlflow_session import below
from trainer.training.train import train
from trainer.tuner.best import config_of
from trainer.tuner.config import SearchConfig
from trainer.tuner.search_dir import SearchDir
from trainer.tuner.service.search_state import read_search
from trainer.tuner.space.space import Space


def refit(config: SearchConfig, *, space: Space, stream: TextIO) -> None:
    """Trains until the best epoch of the best trial, and evaluates on the test split. An interrupted refit resumes.

    The learning rate has the schedule of the trial, over all its epochs, so that an epoch is trained as in the trial.

    Raises:
        UserError: The search is not finished, no trial has completed, the test split was used before, or another
            command uses the search.
        RunFailedError: The loss is not finite, or a file is damaged.
        RunAgainError: SIGTERM came; everything is saved.
    """
    directory = SearchDir(config.search_dir)
    directory.config()
    # Two commands would both find that the test split was not used before.
    with holding(config.search_dir, key="search_dir"):
        _refit(config, directory=directory, space=space, stream=stream)


def _refit(config: SearchConfig, *, directory: SearchDir, space: Space, stream: TextIO) -> None:
    search = read_search(config.search_dir)
    if not search.is_finished:
        raise UserError(f"search_dir={config.search_dir} is not finished: run the command without refit=true first")
    score = directory.test_score()
    if score is not None and not config.evaluate_again:
        raise UserError(
            f"the test split was evaluated before ({score['run_dir']}: {score['metrics']['track']['accuracy']:.3f} of "
            "tracks): a choice between two test scores is biased; evaluate_again=true evaluates again"
        )
    best = search.best
    if best is None:
        raise UserError(f"search_dir={search.search_dir}: no trial has completed: see beamtune tune status")
    winner = replace(
        config_of(best, config, space=space),
        learn_from_validation=True,
        early_stopping_patience_epochs=None,
        mlflow=below(config.mlflow, config.search_dir),
    )
    print(
        f"trial {best.trial_id}, {search.objective} {best.score:.4f}: training it on train and validation for "
        f"{counted(best.best_epoch or winner.epochs, 'epoch')}",
        file=stream,
    )
    train(winner, until_epoch=best.best_epoch)
    evaluate(EvaluateConfig(run_dir=winner.run_dir, split=TEST))
    metrics = RunDir(winner.run_dir).metrics()
    assert metrics is not None
    levels = metrics_to_json(metrics.levels[TEST])
    directory.write_test_score({"trial": best.trial_id, "run_dir": winner.run_dir, "metrics": levels})
