"""What a run says about the time that its steps have waited for input."""

import pytest

from trainer.data.config import AugmentConfig
from trainer.training.config import TrainingConfig
from trainer.training.input_share import describe_input_share


def test_a_short_wait_is_only_named_and_a_shorter_one_is_not() -> None:
    config = TrainingConfig(cache=False)
    text = describe_input_share(config, input_wait_s=7.5, duration_s=62.5)
    assert text == "the input took 12% of the time of the steps (7.5 of 62.5 s)"
    assert describe_input_share(config, input_wait_s=6.2, duration_s=62.5) is None


@pytest.mark.parametrize(
    ("config", "advice"),
    [
        (TrainingConfig(cache=False), "cache=true keeps the examples in memory"),
        (
            TrainingConfig(cache=False, augment=AugmentConfig(gain_db=3.0)),
            "examples are read and augmented in it; cache=true, if there is enough memory, saves the reading only",
        ),
        (
            TrainingConfig(cache=False, augment=AugmentConfig(gain_db=3.0, runs_on="device")),
            "cache=true keeps the examples in memory",
        ),
        (TrainingConfig(augment=AugmentConfig(fade_max_share=0.1)), "augment.spec_augment_backend=keyed and augment"),
        (TrainingConfig(augment=AugmentConfig(gain_db=3.0)), "augment.runs_on=device changes examples on the device"),
        (TrainingConfig(augment=AugmentConfig(gain_db=3.0, runs_on="device")), "the processors have no time left"),
        (TrainingConfig(), "the processors have no time left"),
    ],
)
def test_a_long_wait_comes_with_the_setting_that_shortens_it(config: TrainingConfig, advice: str) -> None:
    text = describe_input_share(config, input_wait_s=25.0, duration_s=100.0)
    assert text is not None and text.startswith(
        f"the input took 25% of the time of the steps (25.0 of 100.0 s): {advice}"
    )
