"""The SHA-256 of a local file."""

import hashlib

from beam_pipelines.common.errors import UserError


def file_sha256(path: str, *, key: str) -> str:
    """Returns the SHA-256 of a local file as 64 hexadecimal digits.

    Args:
        path: The file, read in blocks.
        key: The setting that names the file, for the error.

    Raises:
        UserError: It cannot be read.
    """
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"{key}: {path} cannot be read: {error.strerror}") from error
