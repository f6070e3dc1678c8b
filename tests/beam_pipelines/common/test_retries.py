from itertools import accumulate

import pytest
from google.api_core.exceptions import Forbidden, NotFound, ServiceUnavailable

from beam_pipelines.common import retries
from beam_pipelines.common.errors import RunAgainError, UserError
from beam_pipelines.common.retries import StorageConfig, with_retries

_PATH = "gs://music/a"
_VARIABLE = "BEAMTUNE_STORAGE_RETRY_DEADLINE_S"


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Returns the pauses; the time passes only in them. The environment is restored after the test."""
    pauses: list[float] = []
    monkeypatch.setattr(retries.time, "monotonic", lambda: sum(pauses))
    monkeypatch.setenv(_VARIABLE, "")
    monkeypatch.delenv(_VARIABLE)
    return pauses


def test_an_outage_that_passes_is_waited_for(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    answers = iter([*[ServiceUnavailable("x")] * 7, None])

    def operation() -> str:
        if (error := next(answers)) is not None:
            raise error
        return "content"

    assert with_retries(operation, path=_PATH, sleep=clock.append) == "content"
    # The attempt that decides about the note is made 10 s after the first one, and is not waited longer for.
    [before_note] = [index for index, at_s in enumerate(accumulate(clock)) if at_s == pytest.approx(10)]
    for index, (pause_s, longest_s) in enumerate(zip(clock, (0.5, 1, 2, 4, 8, 16, 32), strict=True)):
        assert (0 if index == before_note else longest_s / 2) <= pause_s <= longest_s
    [note] = capsys.readouterr().err.splitlines()
    assert note.startswith("note: gs://music/a cannot be reached: trying again for up to 5")


def test_an_outage_ends_at_the_deadline(clock: list[float]) -> None:
    StorageConfig(retry_deadline_s=100).apply()

    def operation() -> None:
        raise ServiceUnavailable("x")

    with pytest.raises(
        RunAgainError, match="gs://music/a cannot be reached .HTTP status 503.: what is finished is kept"
    ):
        with_retries(operation, path=_PATH, sleep=clock.append)
    assert sum(clock) == pytest.approx(100)


def test_no_note_says_after_the_last_attempt_that_there_are_others(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    StorageConfig(retry_deadline_s=20).apply()

    def hang() -> None:
        clock.append(21)
        retries.note_failure(ServiceUnavailable("x"))
        raise ServiceUnavailable("x")

    with pytest.raises(RunAgainError):
        with_retries(hang, path=_PATH, sleep=clock.append)
    assert capsys.readouterr().err == ""


def test_a_deadline_of_0_makes_one_attempt(clock: list[float]) -> None:
    StorageConfig(retry_deadline_s=0).apply()

    def operation() -> None:
        raise ServiceUnavailable("x")

    with pytest.raises(RunAgainError):
        with_retries(operation, path=_PATH, sleep=clock.append)
    assert clock == []


@pytest.mark.parametrize(
    ("error", "expected"), [(Forbidden("x"), UserError), (NotFound("x"), NotFound), (KeyError("x"), KeyError)]
)
def test_what_does_not_pass_is_raised_at_once(clock: list[float], error: Exception, expected: type[Exception]) -> None:
    def operation() -> None:
        raise error

    with pytest.raises(expected):
        with_retries(operation, path=_PATH, sleep=clock.append)
    assert clock == []


def test_without_retries_there_is_one_attempt_in_the_body(clock: list[float]) -> None:
    def operation() -> None:
        raise ServiceUnavailable("x")

    with pytest.raises(RunAgainError), retries.without_retries():
        with_retries(operation, path=_PATH, sleep=clock.append)
    assert clock == []
    assert retries.retry_deadline_s() == 600


@pytest.mark.parametrize("value", [-1, 90_000, float("nan")])
def test_a_wrong_deadline_is_refused(value: float) -> None:
    with pytest.raises(UserError, match="storage.retry_deadline_s=.*: expected 0 to 86400 seconds"):
        StorageConfig(retry_deadline_s=value)
