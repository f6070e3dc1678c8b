"""Opens what `beamtune predict` and `beamtune.load` take: a run, or an export."""

from beam_pipelines.common.errors import UserError
from trainer.evaluation.export_files import is_export
from trainer.evaluation.exported_model import ExportedModel
from trainer.evaluation.inference import Inference


def open_model(directory: str, *, batch_size: int) -> Inference | ExportedModel:
    """Returns the model in a directory, local or gs://.

    Args:
        directory: A run or an export.
        batch_size: Segments in a batch of a run; an export chooses its own.

    Raises:
        UserError: There is neither, the run has no checkpoint yet, or the export is not complete.
        RunFailedError: A file is damaged.
    """
    try:
        return Inference(directory, batch_size=batch_size)
    except UserError:
        # Asked only now: in a bucket each question is a request, and most directories are runs.
        if not is_export(directory):
            raise
    return ExportedModel(directory)
