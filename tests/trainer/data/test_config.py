"""Settings of augmentation: those of the command line, and values that are refused."""

from collections.abc import Callable
from typing import Any

import pytest

from beam_pipelines.common.errors import UserError
from configs.compose import compose, to_dataclass
from trainer.data.config import AugmentConfig


def test_the_command_line_turns_augmentation_on() -> None:
    def composed(*overrides: str) -> Any:
        return to_dataclass(compose("train", ["run_dir=run", *overrides]))

    assert composed().augment == composed("augment=none").augment == AugmentConfig()
    assert composed("augment=default", "augment.gain_db=3").augment == AugmentConfig(
        freq_masks=2, time_masks=2, mixup_alpha=0.2, crop_min_share=0.8, gain_db=3.0, time_shift_max_share=0.5
    )
    with pytest.raises(UserError, match="augment=defaults: expected one of default, none; did you mean default"):
        composed("augment=defaults")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: AugmentConfig(freq_masks=-1), "augment.freq_masks=-1: expected 0 to 8 masks"),
        (lambda: AugmentConfig(time_masks=9), "augment.time_masks=9: expected 0 to 8 masks"),
        (lambda: AugmentConfig(freq_mask_max_share=0.0), "augment.freq_mask_max_share=0.0: expected a share above 0"),
        (lambda: AugmentConfig(time_mask_max_share=1.1), "augment.time_mask_max_share=1.1: expected a share above 0"),
        (lambda: AugmentConfig(mixup_alpha=0.001), "augment.mixup_alpha=0.001: expected a number from 0.01 to 100"),
        (lambda: AugmentConfig(crop_min_share=0.0), "augment.crop_min_share=0.0: expected a share above 0"),
        (lambda: AugmentConfig(gain_db=-3.0), "augment.gain_db=-3.0: expected 0 to 60 dB"),
        (lambda: AugmentConfig(time_shift_max_share=0.6), "augment.time_shift_max_share=0.6: expected a share from 0"),
        (lambda: AugmentConfig(fade_max_share=0.6), "augment.fade_max_share=0.6: expected a share from 0 to 0.5"),
        (
            lambda: AugmentConfig(spec_augment_backend="tf"),
            "augment.spec_augment_backend=tf: expected one of keyed, tfio; did you mean tfio?",
        ),
        (lambda: AugmentConfig(runs_on="gpu"), "augment.runs_on=gpu: expected one of auto, cpu, device"),
        (
            lambda: AugmentConfig(fade_max_share=0.1, runs_on="device"),
            "augment.runs_on=device: expected cpu or auto with tensorflow-io's masks and fades",
        ),
    ],
)
def test_refused_values(make: Callable[[], object], message: str) -> None:
    with pytest.raises(UserError) as caught:
        make()
    assert message in str(caught.value)
