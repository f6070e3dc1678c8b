"""What is done to training examples at random, as a frozen dataclass that checks its values when it is made."""

from dataclasses import dataclass

from beam_pipelines.common.checks import check

MOST_MASKS = 8


@dataclass(frozen=True)
class AugmentConfig:
    """Random changes to training examples; none by default. Validation, test and exported models never have any.

    What a change does to a feature depends on what the feature is: see `trainer.augment`.

    Attributes:
        freq_masks: Masks over bands of a spectrogram (SpecAugment, Park et al. 2019).
        freq_mask_max_share: The widest of them, as a share of all bands; widths are drawn evenly from 0 to it.
        time_masks: Masks over frames.
        time_mask_max_share: The longest of them, as a share of the segment; lengths are drawn evenly from 0 to it.
        mixup_alpha: Each example is mixed with another by a share from Beta(alpha, alpha) (Zhang et al. 2018), and its
            target with the other's; 0 mixes none.
        crop_min_share: A window of at least this share of the segment is kept, at a random place, and repeated until
            the segment is as long as it was; 1 keeps all.
        gain_db: The sound is made louder or softer by up to this many dB; 0 leaves it.
        time_shift_max_share: The sound is moved by up to this share of the segment to either side, and what leaves at
            one end comes in at the other; 0 leaves it.
    """

    freq_masks: int = 0
    freq_mask_max_share: float = 0.1
    time_masks: int = 0
    time_mask_max_share: float = 0.1
    mixup_alpha: float = 0.0
    crop_min_share: float = 1.0
    gain_db: float = 0.0
    time_shift_max_share: float = 0.0

    def __post_init__(self) -> None:
        for name in ("freq_masks", "time_masks"):
            count = getattr(self, name)
            check(0 <= count <= MOST_MASKS, key=f"augment.{name}", value=count, expected=f"0 to {MOST_MASKS} masks")
        for name in ("freq_mask_max_share", "time_mask_max_share"):
            share = getattr(self, name)
            check(0 < share <= 1, key=f"augment.{name}", value=share, expected="a share above 0 and at most 1")
        check(
            self.mixup_alpha == 0 or 0.01 <= self.mixup_alpha <= 100,
            key="augment.mixup_alpha",
            value=self.mixup_alpha,
            expected="a number from 0.01 to 100, or 0 for no mixup",
        )
        check(
            0 < self.crop_min_share <= 1,
            key="augment.crop_min_share",
            value=self.crop_min_share,
            expected="a share above 0 and at most 1, which is for no crop",
        )
        check(
            0 <= self.gain_db <= 60,
            key="augment.gain_db",
            value=self.gain_db,
            expected="0 to 60 dB",
        )
        check(
            0 <= self.time_shift_max_share <= 0.5,
            key="augment.time_shift_max_share",
            value=self.time_shift_max_share,
            expected="a share from 0 to 0.5, which may put the start anywhere",
        )

    @property
    def changes_time(self) -> bool:
        """Whether frames move."""
        return self.crop_min_share < 1 or self.time_shift_max_share > 0

    @property
    def is_off(self) -> bool:
        """Whether examples stay as they are."""
        return not (self.freq_masks or self.time_masks or self.mixup_alpha or self.gain_db or self.changes_time)
