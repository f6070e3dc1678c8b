"""The scores of the test split in TensorBoard: points beside the curves of the validation split."""

from collections.abc import Mapping

from beam_pipelines.records.schema import TEST
from trainer.board.pictures import confusion_png
from trainer.board.tags import BEST_CONFUSION, scalar_tag
from trainer.board.texts import scores_text
from trainer.common import files
from trainer.common.event_files import EventFile, remove_event_files
from trainer.common.vertex_logs import event_directories
from trainer.data.prepared import PreparedData
from trainer.metrics.level_metrics import TRACK, LevelMetrics
from trainer.metrics.scalars import scalars_of_split


def write_test_scores(run_dir: str, levels: Mapping[str, LevelMetrics], *, data: PreparedData, step: int) -> None:
    """Writes the scores of the test split to `test/` in the run directory, in place of those of an earlier evaluation.

    Args:
        run_dir: The directory of the run, local or gs://.
        levels: The metrics of the split by level.
        data: Its data set.
        step: Training steps up to the end of the best epoch.
    """
    for own in event_directories(run_dir):
        remove_test_scores(own)
        with EventFile(files.join(own, TEST)) as events:
            for name, value in scalars_of_split(levels, labels=data.labels).items():
                events.scalar(scalar_tag(name), value, step=step)
            png = confusion_png(levels[TRACK].confusion_matrix, data.labels)
            events.image(BEST_CONFUSION, png, step=step, title="test tracks, best weights")
            events.text("scores", scores_text(TEST, levels, data=data), step=step)


def remove_test_scores(directory: str) -> None:
    """Removes the scores of the test split from a directory of events; those of a run that is trained further."""
    folder = files.join(directory, TEST)
    # Buckets have no empty folders.
    if remove_event_files(folder) and files.exists(folder) and not files.list_dir(folder):
        files.remove(folder)
