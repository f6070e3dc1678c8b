"""What is remembered of writes: their times and generations."""

import pytest

from beam_pipelines.common import bucket_writes
from beam_pipelines.common.bucket_writes import (
    forget_writes_below,
    note_write,
    wait_to_write_again,
    written_generation,
)


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> tuple[list[float], list[float]]:
    """The time, which the test sets, and the pauses; nothing was written before."""
    now_s, pauses_s = [100.0], list[float]()
    monkeypatch.setattr(bucket_writes, "_writes", {})
    monkeypatch.setattr(bucket_writes.time, "monotonic", lambda: now_s[0])
    monkeypatch.setattr(bucket_writes.time, "sleep", pauses_s.append)
    return now_s, pauses_s


def test_an_object_is_written_again_after_a_second_and_another_one_at_once(
    clock: tuple[list[float], list[float]],
) -> None:
    now_s, pauses_s = clock
    for after_s, path in [(0.0, "gs://b/x"), (0.25, "gs://b/x"), (0.0, "gs://b/y"), (9.0, "gs://b/x")]:
        now_s[0] += after_s
        wait_to_write_again(path)
        note_write(path)
    assert pauses_s == [0.0, 0.75, 0.0, 0.0]


def test_generations_are_those_of_the_last_writes_and_are_forgotten_by_folder() -> None:
    for path, generation in [("gs://b/a/x", 1), ("gs://b/a/x", 2), ("gs://b/ab", 3)]:
        note_write(path, generation=generation)
    assert [written_generation(path) for path in ("gs://b/a/x", "gs://b/ab", "gs://b/never")] == [2, 3, 0]
    forget_writes_below("gs://b/a")
    assert [written_generation(path) for path in ("gs://b/a/x", "gs://b/ab")] == [0, 3]


def test_the_oldest_write_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bucket_writes, "_MAX_REMEMBERED", 2)
    for name in ("x", "y", "x", "z"):
        note_write(f"gs://b/{name}", generation=7)
    assert [written_generation(f"gs://b/{name}") for name in "xyz"] == [7, 0, 7]
