"""SHA-1 of files: the checksum that the authors of the data sets publish."""

import hashlib
import os

from beam_pipelines.download.progress import OnProgress, ignore_progress

_CHUNK_BYTES = 2**20


def sha1_of(path: str, *, on_progress: OnProgress = ignore_progress) -> str:
    """Returns the SHA-1 of a file as 40 hexadecimal digits, reading it in pieces."""
    digest = hashlib.sha1(usedforsecurity=False)
    size_bytes = os.path.getsize(path)
    done_bytes = 0
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
            done_bytes += len(chunk)
            on_progress("checking", done_bytes, size_bytes)
    return digest.hexdigest()
