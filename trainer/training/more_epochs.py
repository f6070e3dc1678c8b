"""More epochs for a run: which changes of its settings leave the result that of a run which had them from the start."""

from collections.abc import Mapping
from typing import Any

from beam_pipelines.common.errors import UserError
from beam_pipelines.common.terminal import counted
from trainer.runs.early_stopping import EarlyStopping
from trainer.training.config import TrainConfig

_EPOCHS, _PATIENCE = "epochs", "early_stopping_patience_epochs"


def keys_of_more_epochs(saved: Mapping[str, Any], config: TrainConfig, *, is_finished: bool) -> frozenset[str]:
    """Returns those of the settings that let a run train longer than the saved ones, and differ from them.

    Args:
        saved: The settings that the run was started with.
        config: The given ones.
        is_finished: Whether the run has trained all of its epochs, or early stopping has ended it.

    Raises:
        UserError: `epochs` is higher, and the learning rate depends on it.
    """
    keys = set()
    if config.epochs > saved.get(_EPOCHS, config.epochs):
        if config.optimizer.schedule == "cosine":
            planned = counted(saved[_EPOCHS], "epoch")
            raise UserError(
                f"epochs={config.epochs}: the learning rate of run_dir={config.run_dir} has fallen to 0 at the end of "
                f"its {planned} (optimizer.schedule=cosine), so that it cannot continue: "
                "choose another run_dir, with optimizer.schedule=constant if it shall be continued later"
                if is_finished
                else f"epochs={config.epochs}: the learning rates of run_dir={config.run_dir} are planned for "
                f"{planned} (optimizer.schedule=cosine): continue it without epochs=, or choose another run_dir"
            )
        keys.add(_EPOCHS)
    patience, saved_patience = config.early_stopping_patience_epochs, saved.get(_PATIENCE)
    if saved_patience is not None and (patience is None or patience > saved_patience):
        keys.add(_PATIENCE)
    return frozenset(keys)


def check_trains_more(config: TrainConfig, early_stopping: EarlyStopping, *, epochs_done: int) -> None:
    """Checks that a finished run has epochs left with settings that let it train longer.

    Args:
        config: The settings.
        early_stopping: Its state at the end of the run.
        epochs_done: The epochs that the run has trained.

    Raises:
        UserError: Early stopping would end it at once, or it has trained all epochs.
    """
    if early_stopping.should_stop(config.early_stopping_patience_epochs):
        raise UserError(
            f"run_dir={config.run_dir}: early stopping ended the run after epoch {epochs_done}, because epoch "
            f"{early_stopping.best_epoch} had the lowest validation loss: give {_PATIENCE}=null, or more than "
            f"{early_stopping.epochs_without_improvement}, to continue it"
        )
    if epochs_done >= config.epochs:
        raise UserError(
            f"run_dir={config.run_dir} has trained all of its epochs, {epochs_done}: give more epochs to continue it"
        )
