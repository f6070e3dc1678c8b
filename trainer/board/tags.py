"""The tags of scalars in TensorBoard, which sorts charts by tag and opens the first two groups of them.

These are `segment/…` and `track/…`: accuracy, loss and macro-F1 come first in both. Rates, norms and times are in the
last group. Images, which the same page shows, have tags between them.
"""

from trainer.metrics.level_metrics import LEVELS

# Of pictures: the confusion matrices after each epoch and of the best weights, and spectrograms by genre.
EPOCH_CONFUSION, BEST_CONFUSION = "track_confusion/each_epoch", "track_confusion/best_weights"
SPECTROGRAMS = "track_segments"

_FIRST = ("accuracy", "loss", "macro_f1")
_GENRES = "per_class_f1"


def scalar_tag(name: str) -> str:
    """Returns the tag of a scalar.

    Args:
        name: Its name in `EpochMetrics.training_scalars` or `scalars_of_split`, such as "track/balanced_accuracy".

    Returns:
        A tag such as "track/other/balanced_accuracy", "track_f1/rock" or "training/learning_rate".
    """
    group, _, rest = name.partition("/")
    if group in LEVELS:
        return name if rest in _FIRST else f"{group}/other/{rest}"
    return f"track_f1/{rest}" if group == _GENRES else f"training/{name}"
