"""The tags of scalars, in the order in which TensorBoard shows them."""

import numpy as np

from trainer.board.tags import BEST_CONFUSION, EPOCH_CONFUSION, SPECTROGRAMS, scalar_tag
from trainer.metrics.metrics import classification_metrics
from trainer.metrics.scalars import scalars_of_split
from trainer.runs.run_progress import StepSums
from trainer.training.callbacks import EpochMetrics

SHOWN = [
    "segment/accuracy",
    "segment/loss",
    "segment/macro_f1",
    "segment/other/balanced_accuracy",
    "segment/other/expected_calibration_error",
    "track/accuracy",
    "track/loss",
    "track/macro_f1",
    "track/other/balanced_accuracy",
    "track/other/expected_calibration_error",
    "track_confusion/best_weights",
    "track_confusion/each_epoch",
    "track_f1/a",
    "track_f1/b",
    "track_segments/a",
    "track_vote/accuracy",
    "track_vote/loss",
    "track_vote/macro_f1",
    "track_vote/other/balanced_accuracy",
    "training/examples_per_s",
    "training/gradient_norm",
    "training/learning_rate",
    "training/minimized_loss",
    "training/step_time_ms",
    "training/time/compute_ms",
    "training/time/input_wait_ms",
    "training/time/input_wait_share",
]


def test_accuracy_loss_and_f1_are_first_and_rates_and_times_are_last():
    level = classification_metrics(np.array([[0.75, 0.25], [0.5, 0.5]]), np.array([0, 1]))
    levels = dict.fromkeys(("segment", "track", "track_vote"), level)
    sums = StepSums(num_steps=1, loss=1.0, duration_s=1.0)
    epoch = EpochMetrics.from_sums(sums, global_batch_size=8, learning_rate=0.1, validation=levels)
    names = {*scalars_of_split(levels, labels=["a", "b"]), *epoch.training_scalars()}
    tags = [*map(scalar_tag, names), BEST_CONFUSION, EPOCH_CONFUSION, f"{SPECTROGRAMS}/a"]
    # TensorBoard compares tags by character; a slash and an underscore come before letters, as they do not in ASCII.
    assert sorted(tags, key=lambda tag: tag.replace("/", "\0").replace("_", "\1")) == SHOWN
