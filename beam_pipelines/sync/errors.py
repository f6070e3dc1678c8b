"""The errors of one file and of all files."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from beam_pipelines.common.bucket_errors import BucketError, BucketOutageError
from beam_pipelines.common.errors import UserError

# They concern every other file too.
_OF_THE_DISK = {
    errno.ENOSPC: "the disk is full: free some space, then the same command resumes",
    errno.EDQUOT: "the quota of the disk is used up: free some space, then the same command resumes",
    errno.EROFS: "the file system can only be read",
}
_ENDINGS = {
    errno.EISDIR: "a folder of the destination has this name: move it away",
    errno.EEXIST: "a file of the destination has the name of a folder that it needs: move that file away",
    errno.ENOTDIR: "a file of the destination has the name of a folder that it needs: move that file away",
}


class FileError(Exception):
    """One file cannot be copied; the others can."""


class ChangingError(FileError):
    """A file changes while it is copied: another run may copy it."""


class GenerationError(Exception):
    """An object has been written or deleted since it was listed."""


class StoppedError(Exception):
    """The copies end early."""


@contextmanager
def naming_file(name: str) -> Iterator[None]:
    """Turns an error in the body into a FileError that names the file, or into one that concerns all files.

    Raises:
        FileError: This file cannot be copied.
        ChangingError: It is being changed. It is a FileError.
        UserError: No file can be copied, because of the disk or of the rights in a bucket.
        RunAgainError: The service cannot be reached.
    """
    try:
        yield
    except (StoppedError, BucketError, BucketOutageError):
        raise
    except (ChangingError, GenerationError) as error:
        raise ChangingError(f"{name}: {error}") from error
    except FileError as error:
        raise FileError(f"{name}: {error}") from error
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            if error.errno in _OF_THE_DISK:
                raise UserError(f"{name} cannot be written: {_OF_THE_DISK[error.errno]}") from error
            reason = _ENDINGS.get(error.errno) or error.strerror
            raise FileError(f"{name}: {reason}") from error
        if type(error).__module__.partition(".")[0] not in ("google", "requests", "urllib3"):
            raise
        # The service has refused the name or the content of this file.
        raise FileError(f"{name}: {' '.join(str(error).split())}") from error
