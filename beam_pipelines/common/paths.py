"""Paths of files and folders, local or with a scheme such as gs://, as text. Nothing here needs Beam or TensorFlow."""

import errno
import os
import re
from collections.abc import Mapping

from beam_pipelines.common.checks import MISSING
from beam_pipelines.common.errors import UserError

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")


def scheme(path: str) -> str | None:
    """Returns the scheme of a path, such as "gs"; None for a local path."""
    found = _SCHEME.match(path)
    return found[1] if found else None


def is_local(path: str) -> bool:
    """Returns whether a path has no scheme."""
    return scheme(path) is None


def is_in_bucket(path: str) -> bool:
    """Returns whether a path is in Google Cloud Storage, where there are no folders and files are written whole."""
    return scheme(path) == "gs"


def bucket_and_name(path: str) -> tuple[str, str]:
    """Returns the bucket, and the name of the object or folder in it, of a gs:// path; each may be empty."""
    bucket, _, name = path.removeprefix("gs://").partition("/")
    return bucket, name


def bucket_and_prefix(folder: str) -> tuple[str, str]:
    """Returns the bucket of a gs:// folder, and what the names of the objects in it begin with, "" for all."""
    bucket, name = bucket_and_name(folder)
    return bucket, f"{name.rstrip('/')}/" if name.strip("/") else ""


def check_regular(path: str) -> None:
    """Checks that a local path is not a device, a named pipe or the like: reading one may never end.

    Raises:
        OSError: It is one. What does not exist, or is a folder, passes: opening it fails.
    """
    if os.path.exists(path) and not (os.path.isfile(path) or os.path.isdir(path)):
        raise OSError(errno.EINVAL, "it is no regular file", path)


def is_within(path: str, folder: str) -> bool:
    """Returns whether a path is a folder or lies in it, after symbolic links are resolved."""
    if scheme(path) != scheme(folder):
        return False
    if is_local(path):
        path, folder = os.path.realpath(path), os.path.realpath(folder)
    return f"{path.rstrip('/')}/".startswith(f"{folder.rstrip('/')}/")


def check_apart(inputs: Mapping[str, str | None], outputs: Mapping[str, str | None]) -> None:
    """Checks that no folder that is written to is, holds or lies in one that is read.

    Args:
        inputs: Paths that are read, by the key of the setting. None and MISSING are ignored.
        outputs: Folders that are written to, likewise.

    Raises:
        UserError: Two of them contain each other; the message names both settings.
    """
    for output_key, output in outputs.items():
        for input_key, source in inputs.items():
            if output is None or source is None or MISSING in (output, source):
                continue
            if is_within(output, source) or is_within(source, output):
                raise UserError(
                    f"{output_key}={output} and {input_key}={source} are one folder, or one lies in the other: choose "
                    f"another {output_key}, so that what is read is not replaced"
                )


def is_utf8(path: str) -> bool:
    """Returns whether a name is UTF-8: Python decodes other bytes to lone surrogates, which cannot be encoded."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True
