"""The progress of a run, and how checkpoints hold it."""

import json
from dataclasses import replace

from trainer.runs.early_stopping import EarlyStopping
from trainer.runs.run_progress import RunProgress, StepSums

STEPS = StepSums(num_steps=3, loss=1.5, cross_entropy=1.5, num_correct=6.0, gradient_norm=0.75, duration_s=1.5)
WAITS = replace(STEPS, input_wait_s=0.5)


def test_a_finished_epoch_adds_its_time_and_resets_the_sums() -> None:
    progress = RunProgress()
    progress.epoch_sums = WAITS
    assert (progress.describe(), progress.train_duration_s) == ("epoch 0 and 3 steps", 1.5)
    progress.finish_epoch(EarlyStopping(best_loss=0.5, best_epoch=1))
    assert (progress.describe(), progress.train_duration_s, progress.epoch_sums) == ("epoch 1", 1.5, StepSums())
    assert progress.steps_input_wait_s == 0.5
    progress.epoch_sums = StepSums(num_steps=1, duration_s=0.25)
    assert (progress.describe(), progress.train_duration_s) == ("epoch 1 and 1 step", 1.75)


def test_progress_is_restored_from_a_checkpoint() -> None:
    progress = RunProgress()
    progress.epoch_sums = WAITS
    progress.finish_epoch(EarlyStopping(best_loss=0.5, best_epoch=1))
    progress.epoch_sums = STEPS
    restored = RunProgress()
    restored.deserialize(progress.serialize())
    assert vars_of(restored) == vars_of(progress)


def test_checkpoints_of_earlier_versions_have_these_keys() -> None:
    progress = RunProgress()
    progress.deserialize(
        json.dumps(
            {
                "epochs_done": 2,
                "early_stopping": {"best_loss": 0.5, "best_epoch": 1, "epochs_without_improvement": 1},
                "epoch_sums": {
                    "num_steps": 3,
                    "loss": 1.5,
                    "num_correct": 6.0,
                    "gradient_norm": 0.75,
                    "duration_s": 1.5,
                },
                "steps_duration_s": 4.0,
            }
        )
    )
    assert vars_of(progress) == (2, EarlyStopping(0.5, 1, 1), STEPS, 4.0, 0.0)


def vars_of(progress: RunProgress) -> tuple[object, ...]:
    times = (progress.steps_duration_s, progress.steps_input_wait_s)
    return progress.epochs_done, progress.early_stopping, progress.epoch_sums, *times
