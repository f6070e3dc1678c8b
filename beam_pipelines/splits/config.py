"""Settings of splits and of tracks that hold the same recording."""

from dataclasses import dataclass

from beam_pipelines.common.checks import check, check_choice

# Changes with the codes of `acoustic_fingerprint.py`: those of two versions must not be compared.
FINGERPRINT_VERSION = 2


@dataclass(frozen=True)
class SplitConfig:
    """How tracks are divided into train, validation and test. No group is in two splits, except with source=random.

    Attributes:
        source: "official" uses the splits of the data set ("fault_filtered" is the name of GTZAN's); "group" assigns
            whole groups, stratified by genre; "random" assigns track by track, which leaks; "auto" is official where
            every track has a split and no folds are requested, and group otherwise.
        validation_fraction: The fraction of tracks for validation, in [0, 1).
        test_fraction: The fraction of tracks for test, in [0, 1).
        folds: The number of folds of equal size, at least 3, instead of the fractions; None for no folds.
        fold: Which of them is the test split, from 0; the next one is the validation split, all others train.
    """

    source: str = "auto"
    validation_fraction: float = 0.15
    test_fraction: float = 0.25
    folds: int | None = None
    fold: int | None = None

    def __post_init__(self) -> None:
        check_choice(self.source, ("auto", "official", "fault_filtered", "group", "random"), key="split.source")
        for name in ("validation_fraction", "test_fraction"):
            value = getattr(self, name)
            check(0 <= value < 1, key=f"split.{name}", value=value, expected="a fraction from 0 up to but not 1")
        total = self.validation_fraction + self.test_fraction
        check(
            total < 1,
            key="split.validation_fraction + split.test_fraction",
            value=total,
            expected="a sum below 1, so that tracks remain for training",
        )
        self._check_folds()

    def _check_folds(self) -> None:
        if self.folds is None:
            check(self.fold is None, key="split.fold", value=self.fold, expected="split.folds=… to be set too")
            return
        check(
            self.source in ("auto", "group"),
            key="split.folds",
            value=self.folds,
            expected=f"split.source=group, because folds keep groups together, not {self.source}",
        )
        check(
            3 <= self.folds <= 1000,
            key="split.folds",
            value=self.folds,
            expected="3 to 1000 folds: one for test, one for validation and the rest to train on",
        )
        check(
            self.fold is not None and 0 <= self.fold < self.folds,
            key="split.fold",
            value=self.fold,
            expected=f"the number of the fold to test on, from 0 to {self.folds - 1}",
        )


@dataclass(frozen=True)
class DuplicatesConfig:
    """How tracks that hold the same recording are handled.

    Attributes:
        mode: "keep_together" finds them and keeps each recording in one split; "report" finds them and changes nothing;
            "off" does not search.
        max_bit_error_rate: Two tracks hold the same recording if at most this fraction of the bits of their acoustic
            fingerprints differ: 0 for identical ones, 0.5 by chance.
        min_overlap_s: They must have at least this much audio in common, in seconds.
    """

    mode: str = "keep_together"
    max_bit_error_rate: float = 0.3
    min_overlap_s: float = 5.0

    def __post_init__(self) -> None:
        check_choice(self.mode, ("keep_together", "report", "off"), key="duplicates.mode")
        check(
            0 <= self.max_bit_error_rate <= 0.4,
            key="duplicates.max_bit_error_rate",
            value=self.max_bit_error_rate,
            expected="a fraction from 0 to 0.4 (unrelated music has 0.5)",
        )
        check(
            1 <= self.min_overlap_s <= 600,
            key="duplicates.min_overlap_s",
            value=self.min_overlap_s,
            expected="a length from 1 to 600 s",
        )
