"""What a run says at its end about the time that its steps have waited for input."""

from trainer.training.config import TrainingConfig

# From this share on, the end of a run names it.
_NAMED_INPUT_WAIT = 0.1
# From this share on, an epoch and the end of a run say how long they have waited for input.
NOTABLE_INPUT_WAIT = 0.25


def describe_input_share(config: TrainingConfig, *, input_wait_s: float, duration_s: float) -> str | None:
    """Returns a sentence such as "the input took 12% of the time of the steps (7.3 of 64.2 s)"; None below a tenth.

    From a quarter of the time on, it says which setting may shorten the wait.

    Args:
        config: The settings.
        input_wait_s: Seconds that the steps have waited for their batches.
        duration_s: Seconds of the steps, above 0.
    """
    share = input_wait_s / duration_s
    if share < _NAMED_INPUT_WAIT:
        return None
    text = f"the input took {share:.0%} of the time of the steps ({input_wait_s:.1f} of {duration_s:.1f} s)"
    return text if share < NOTABLE_INPUT_WAIT else f"{text}: {_advice(config)}"


def _advice(config: TrainingConfig) -> str:
    is_augmented_ahead = config.augment.runs_on != "device" and not config.augment.is_off
    if not config.cache and is_augmented_ahead:
        # Only the sum of both waits is measured.
        return "examples are read and augmented in it; cache=true, if there is enough memory, saves the reading only"
    if not config.cache:
        return "cache=true keeps the examples in memory, if there is enough"
    if config.augment.needs_tensorflow_io:
        return "augment.spec_augment_backend=keyed and augment.fade_max_share=0 take less time"
    if is_augmented_ahead:
        return "augment.runs_on=device changes examples on the device"
    return "the processors have no time left to make batches; more of them, or a larger global_batch_size, help"
