"""Early stopping over a sequence of losses."""

from trainer.runs.early_stopping import EarlyStopping


def test_early_stopping_counts_epochs_without_a_lower_loss() -> None:
    state = EarlyStopping()
    seen = []
    for epoch, loss in enumerate([1.0, 0.8, 0.9, 0.8, 0.7, 0.75, 0.75, 0.75], start=1):
        state = state.after(epoch=epoch, loss=loss)
        seen.append((state.best_epoch, state.epochs_without_improvement, state.should_stop(3)))
    assert seen == [
        (1, 0, False),
        (2, 0, False),
        (2, 1, False),
        (2, 2, False),
        (5, 0, False),
        (5, 1, False),
        (5, 2, False),
        (5, 3, True),
    ]
    assert state.best_loss == 0.7
    assert not state.should_stop(None)
