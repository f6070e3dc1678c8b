"""The number of steps in a call of the compiled loop."""

from trainer.training.call_length import CallLength


def lengths(length: CallLength, *, step_s: float, num_calls: int) -> list[int]:
    """Returns the lengths of the next calls if each step takes the same time."""
    found = []
    for _ in range(num_calls):
        found.append(length.num_steps)
        length.after(num_steps=found[-1], duration_s=found[-1] * step_s)
    return found


def test_a_number_of_the_settings_stays() -> None:
    assert lengths(CallLength(7), step_s=0.001, num_calls=3) == [7, 7, 7]


def test_calls_of_fast_steps_grow_to_half_a_second() -> None:
    # The first call, in which the loop is traced, says nothing about the time of a step.
    assert lengths(CallLength("auto"), step_s=1 / 512, num_calls=7) == [1, 1, 4, 16, 64, 256, 256]


def test_calls_of_slow_steps_are_of_one() -> None:
    assert lengths(CallLength("auto"), step_s=2.0, num_calls=4) == [1, 1, 1, 1]


def test_calls_have_at_most_1000_steps() -> None:
    assert lengths(CallLength("auto"), step_s=0.0, num_calls=8)[-2:] == [1000, 1000]


def test_the_end_of_an_epoch_makes_no_call_long() -> None:
    length = CallLength("auto")
    lengths(length, step_s=1 / 512, num_calls=7)
    length.after(num_steps=3, duration_s=3 / 512)
    assert length.num_steps == 12
