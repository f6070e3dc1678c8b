"""The files of an export that predictions need. Imports no TensorFlow."""

from trainer.common import files

SIGNATURE_FILE = "signature.json"
# Written last: an export without it is not complete.
REPORT_FILE = "export.json"
SAVED_MODEL_DIR = "saved_model"


def is_export(directory: str) -> bool:
    """Returns whether a directory, local or gs://, holds an export."""
    return files.exists(files.join(directory, SIGNATURE_FILE))
