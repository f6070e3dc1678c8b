"""Exceptions that no one expects from a file: they reject the file instead of ending the run."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePath

from beam_pipelines.audio.decode import AudioError
from beam_pipelines.common.errors import RunAgainError, UserError

UNEXPECTED = "unexpected"


@contextmanager
def unexpected_errors(stage: str) -> Iterator[None]:
    """Raises an AudioError with the reason `unexpected` in place of any exception of the body, e.g. a MemoryError.

    An AudioError, a UserError, a RunAgainError and an OSError pass: the first has a reason of its own, and the others
    are no fault of the file. Also works as a decorator of a function, but not of a generator.

    Args:
        stage: What the body does, e.g. "decode".
    """
    try:
        yield
    except (AudioError, UserError, RunAgainError, OSError):
        raise
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        text = " ".join(str(error).split()) or "no message"
        message = f"{type(error).__name__} in {PurePath(where.filename).name}, line {where.lineno}: {text}"
        raise AudioError(UNEXPECTED, message, stage=stage) from error
