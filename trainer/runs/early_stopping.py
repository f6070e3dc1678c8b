"""Early stopping: which epoch is the best so far, and whether training should stop."""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class EarlyStopping:
    """The state after some epochs.

    Attributes:
        best_loss: The lowest validation loss, or infinity before the first epoch.
        best_epoch: The epoch that had it, counted from 1, or 0 before the first epoch.
        epochs_without_improvement: Epochs since then.
    """

    best_loss: float = float("inf")
    best_epoch: int = 0
    epochs_without_improvement: int = 0

    def after(self, *, epoch: int, loss: float) -> "EarlyStopping":
        """Returns the state after one more epoch. An equal loss is not an improvement."""
        if loss < self.best_loss:
            return EarlyStopping(best_loss=loss, best_epoch=epoch)
        return replace(self, epochs_without_improvement=self.epochs_without_improvement + 1)

    def should_stop(self, patience_epochs: int | None) -> bool:
        """Returns whether the last `patience_epochs` epochs had no improvement; False where that is None."""
        return patience_epochs is not None and self.epochs_without_improvement >= patience_epochs
