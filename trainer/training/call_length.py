"""How many steps run in one call of the compiled loop."""

from trainer.training.config import AUTO

# What Python does between two calls takes a few milliseconds, in which the devices have nothing to do; and nothing can
# be saved or shown before a call has ended.
_CALL_S = 0.5
_MOST_STEPS = 1000
# A call that was faster than the others by chance does not make the next one long.
_MOST_GROWTH = 4


class CallLength:
    """The number of steps of each call: the one of the settings, or as many as take half a second.

    What a call computes does not depend on it.
    """

    def __init__(self, steps_per_call: int | str) -> None:
        """Starts with one step, in which the loop is traced, if the number is "auto"."""
        self._is_chosen = steps_per_call == AUTO
        self._num_steps = 1 if self._is_chosen else int(steps_per_call)
        self._is_traced = False

    @property
    def num_steps(self) -> int:
        """The number of steps of the next call, at least 1."""
        return self._num_steps

    def after(self, *, num_steps: int, duration_s: float) -> None:
        """Takes the duration of a call.

        Args:
            num_steps: The steps of the call.
            duration_s: Seconds that it took.
        """
        if self._is_chosen and self._is_traced:
            fitting = int(_CALL_S * num_steps / max(duration_s, 1e-9))
            self._num_steps = max(1, min(fitting, _MOST_GROWTH * num_steps, _MOST_STEPS))
        self._is_traced = True
