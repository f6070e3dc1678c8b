"""The profiled steps are those of the setting, however many steps one call runs."""

import pytest
import tensorflow as tf

from trainer.board.profile import StepProfiler


@pytest.fixture
def calls(monkeypatch):
    """The calls of TensorFlow's profiler, in order."""
    calls = []
    monkeypatch.setattr(tf.profiler.experimental, "start", lambda directory: calls.append(f"start {directory}"))
    monkeypatch.setattr(tf.profiler.experimental, "stop", lambda: calls.append("stop"))
    return calls


def take_steps(profiler, calls, *, first: int, last: int, at_once: int):
    """Runs steps as the training does: as many at once as the profiler allows."""
    step = first
    while step <= last:
        num_steps = profiler.num_steps(step, min(at_once, last - step + 1))
        with profiler.watching(step, num_steps):
            calls += [step + index for index in range(num_steps)]
        step += num_steps
    profiler.close()


@pytest.mark.parametrize("at_once", [1, 3, 10, 100])
def test_exactly_the_steps_of_the_setting_are_profiled(calls, at_once):
    take_steps(StepProfiler([4, 6], directory="d"), calls, first=1, last=9, at_once=at_once)
    assert calls == [1, 2, 3, "start d", 4, 5, 6, "stop", 7, 8, 9]


@pytest.mark.parametrize(
    ("steps", "first", "last", "expected"),
    [
        ([1, 1], 1, 3, ["start d", 1, "stop", 2, 3]),
        ([2, 9], 1, 3, [1, "start d", 2, 3, "stop"]),  # the run ends before
        ([2, 4], 3, 5, ["start d", 3, 4, "stop", 5]),  # a run resumes within them
        ([1, 2], 3, 4, [3, 4]),  # or after them
        ([7, 9], 1, 2, [1, 2]),
        (None, 1, 2, [1, 2]),
    ],
)
def test_runs_that_begin_or_end_elsewhere(calls, steps, first, last, expected):
    take_steps(StepProfiler(steps, directory="d"), calls, first=first, last=last, at_once=10)
    assert calls == expected


def test_all_processes_divide_the_steps_alike_and_one_writes_the_profile(calls):
    others = StepProfiler([4, 6], directory="d", is_writer=False)
    chief = StepProfiler([4, 6], directory="d")
    for step in range(1, 10):
        assert others.num_steps(step, 5) == chief.num_steps(step, 5)
    take_steps(others, calls, first=1, last=9, at_once=10)
    assert calls == list(range(1, 10))


def test_a_step_that_fails_stops_the_profiler(calls):
    profiler = StepProfiler([1, 5], directory="d")
    with pytest.raises(ZeroDivisionError), profiler.watching(1, 2):
        raise ZeroDivisionError
    profiler.close()
    profiler.close()
    assert calls == ["start d", "stop"]


@pytest.mark.slow
def test_a_profile_is_written(tmp_path):
    profiler = StepProfiler([1, 1], directory=str(tmp_path))
    with profiler.watching(1, profiler.num_steps(1, 3)):
        tf.reduce_sum(tf.ones(3)).numpy()
    [profile] = tmp_path.glob("plugins/profile/*/*.xplane.pb")
    assert profile.stat().st_size > 0
