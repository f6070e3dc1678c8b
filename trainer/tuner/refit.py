"""The winner of a search, trained on all that is not test, and scored on test once."""

from dataclasses import replace
from typing import TextIO

from beam_pipelines.common.errors import UserError
from beam_pipelines.records.schema import TEST
from trainer.evaluation.config import EvaluateConfig
from trainer.evaluation.evaluate import evaluate
from trainer.runs.run_dir import RunDir
from trainer.runs.run_metrics import metrics_to_json
from trainer.training.train import train
from trainer.tuner.best import best_trial, config_of
from trainer.tuner.config import SearchConfig
from trainer.tuner.search_dir import SearchDir
from trainer.tuner.space import Space
from trainer.tuner.view import read_search


def refit(config: SearchConfig, *, space: Space, stream: TextIO) -> None:
    """Trains the winner on the train and the validation split, as far as its best epoch, and scores it on test.

    The learning rate falls as it did in the trial, over the epochs that this had before it, so that the epochs mean the
    same. A refit that was broken off goes on.

    Raises:
        UserError: The search is not finished, or its winner was scored on the test split before.
        RunFailedError: The loss is no longer a finite number, or a file is damaged.
        RunAgainError: The process was asked to end; what was done is saved.
    """
    directory = SearchDir(config.search_dir)
    directory.config()
    view = read_search(config.search_dir)
    if not view.is_finished:
        raise UserError(f"search_dir={config.search_dir} is not finished: give the command without refit=true first")
    score = directory.test_score()
    if score is not None and not config.evaluate_again:
        raise UserError(
            f"the test split was looked at before ({score['run_dir']}: {score['metrics']['track']['accuracy']:.3f} of "
            "tracks): who looks twice chooses by it; evaluate_again=true does so nevertheless"
        )
    best = best_trial(view)
    winner = replace(
        config_of(best, config, space=space), learn_from_validation=True, early_stopping_patience_epochs=None
    )
    print(
        f"trial {best.trial_id}, {view.objective} {best.score:.4f}: training it on train and validation for "
        f"{best.best_epoch} epochs",
        file=stream,
    )
    train(winner, until_epoch=best.best_epoch)
    evaluate(EvaluateConfig(run_dir=winner.run_dir, split=TEST))
    scored = RunDir(winner.run_dir).metrics()
    assert scored is not None
    metrics = metrics_to_json(scored.levels[TEST])
    directory.write_test_score({"trial": best.trial_id, "run_dir": winner.run_dir, "metrics": metrics})
