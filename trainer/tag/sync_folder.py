"""Names in a folder that last through a loss of power."""

import os


def sync_folder(folder: str) -> None:
    """Writes the names of new and replaced files in a folder to the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
