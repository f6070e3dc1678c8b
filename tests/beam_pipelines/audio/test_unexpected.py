"""Exceptions that no one expects from a file."""

import pytest

from beam_pipelines.audio.decode import AudioError
from beam_pipelines.audio.unexpected import unexpected_errors
from beam_pipelines.common.errors import UserError


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (MemoryError(), "no message"),
        (RuntimeError("soxr:\n channel  mismatch"), "soxr: channel mismatch"),
        (ZeroDivisionError("division by zero"), "division by zero"),
    ],
)
def test_an_unexpected_exception_becomes_a_reject_that_names_where(error, text):
    @unexpected_errors("features")
    def fail():
        raise error

    line = fail.__wrapped__.__code__.co_firstlineno + 2
    with pytest.raises(AudioError) as caught:
        fail()
    assert (caught.value.reason, caught.value.stage) == ("unexpected", "features")
    assert caught.value.message == f"{type(error).__name__} in test_unexpected.py, line {line}: {text}"
    assert caught.value.__cause__ is error


@pytest.mark.parametrize(
    "error",
    [
        AudioError("silent", "no sound", stage="segment"),
        UserError("a wrong setting"),
        OSError(28, "No space left on device"),
        KeyboardInterrupt(),
        SystemExit(1),
    ],
)
def test_other_exceptions_pass(error):
    with pytest.raises(type(error)) as caught, unexpected_errors("decode"):
        raise error
    assert caught.value is error
