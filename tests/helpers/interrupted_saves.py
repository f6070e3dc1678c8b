"""Trainings that end in the call that saves a checkpoint."""

from typing import Any

import pytest

from trainer.runs.checkpoints import Checkpoints


def fail_after_saves(num_saves: int, error: Exception, patch: pytest.MonkeyPatch) -> None:
    """Makes the call fail that saves the state after this many calls have saved it."""
    real_save, calls = Checkpoints.save, iter(range(num_saves))

    def save(*args: Any, **options: Any) -> None:
        if next(calls, None) is None:
            raise error
        real_save(*args, **options)

    patch.setattr(Checkpoints, "save", save)
