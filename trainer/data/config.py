"""Settings of augmentation, and of the batches of the train split."""

from dataclasses import dataclass

from beam_pipelines.common.checks import check, check_choice

MOST_MASKS = 8
SPEC_AUGMENT_BACKENDS = ("keyed", "tfio")
AUGMENT_PLACES = ("auto", "cpu", "device")


@dataclass(frozen=True)
class StreamConfig:
    """Batch size, order and caching of the train split.

    Attributes:
        global_batch_size: Examples in a batch over all replicas.
        accumulation_steps: Parts of a batch; each is a batch of its own.
        seed: Determines the order, together with the epoch.
        cache: Whether decoded examples stay in memory. "balanced" sampling requires it.
        shuffle_buffer_examples: The fewest examples that are shuffled together where the shards are in a bucket and
            there is no `cache`; elsewhere, all examples are.
        sampling: "natural" takes each example once; "balanced" takes examples of all genres equally often.
    """

    global_batch_size: int
    accumulation_steps: int = 1
    seed: int = 0
    cache: bool = True
    shuffle_buffer_examples: int = 4096
    sampling: str = "natural"

    def __post_init__(self) -> None:
        check(
            self.sampling == "natural" or self.cache,
            key="sampling",
            value=self.sampling,
            expected="cache=true with it, because it draws examples from memory",
        )


@dataclass(frozen=True)
class AugmentConfig:
    """Random changes to training examples; none by default. Validation and test examples are never changed.

    What a change does to a feature depends on the kind of feature: see `trainer.data.augment`.

    Attributes:
        freq_masks: Number of masks over bands of a spectrogram (SpecAugment, Park et al. 2019).
        freq_mask_max_share: The largest width of these masks, as a share of all bands; widths are uniform from 0 to it.
        time_masks: Number of masks over frames.
        time_mask_max_share: The largest length of these masks, as a share of the segment; lengths are uniform from 0 to
            it.
        spec_augment_backend: What draws these masks: "keyed", the same for an example after a restart and on every
            device, or "tfio", tensorflow-io's `freq_mask` and `time_mask`, which cannot be repeated.
        mixup_alpha: Each example and its target are mixed with those of another by a share from Beta(alpha, alpha)
            (Zhang et al. 2018); 0 turns this off.
        crop_min_share: A window of at least this share of the segment, at a random position, is repeated until it
            fills the segment; 1 turns this off.
        gain_db: The largest random gain or attenuation in dB; 0 turns this off.
        time_shift_max_share: The largest circular shift in either direction, as a share of the segment; 0 turns this
            off.
        fade_max_share: The longest fade-in and the longest fade-out of a waveform, as a share of the segment, by
            tensorflow-io's `fade`; 0 turns this off.
        runs_on: Where examples are changed: "cpu", ahead of the training step; "device", in it; or "auto", on the GPU
            if there is one, XLA can compile for it, and tensorflow-io is not needed. The result is the same.
    """

    freq_masks: int = 0
    freq_mask_max_share: float = 0.1
    time_masks: int = 0
    time_mask_max_share: float = 0.1
    spec_augment_backend: str = "keyed"
    mixup_alpha: float = 0.0
    crop_min_share: float = 1.0
    gain_db: float = 0.0
    time_shift_max_share: float = 0.0
    fade_max_share: float = 0.0
    runs_on: str = "auto"

    def __post_init__(self) -> None:
        for name in ("freq_masks", "time_masks"):
            count = getattr(self, name)
            check(0 <= count <= MOST_MASKS, key=f"augment.{name}", value=count, expected=f"0 to {MOST_MASKS} masks")
        for name in ("freq_mask_max_share", "time_mask_max_share"):
            share = getattr(self, name)
            check(0 < share <= 1, key=f"augment.{name}", value=share, expected="a share above 0 and at most 1")
        check_choice(self.spec_augment_backend, SPEC_AUGMENT_BACKENDS, key="augment.spec_augment_backend")
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
            expected="a share above 0 and at most 1; 1 means no crop",
        )
        check(
            0 <= self.gain_db <= 60,
            key="augment.gain_db",
            value=self.gain_db,
            expected="0 to 60 dB",
        )
        for name in ("time_shift_max_share", "fade_max_share"):
            share = getattr(self, name)
            check(0 <= share <= 0.5, key=f"augment.{name}", value=share, expected="a share from 0 to 0.5")
        check_choice(self.runs_on, AUGMENT_PLACES, key="augment.runs_on")
        check(
            self.runs_on != "device" or not self.needs_tensorflow_io,
            key="augment.runs_on",
            value=self.runs_on,
            expected="cpu or auto with tensorflow-io's masks and fades, which are computed on CPUs only",
        )

    @property
    def changes_time(self) -> bool:
        """Whether frames change their position."""
        return self.crop_min_share < 1 or self.time_shift_max_share > 0

    @property
    def needs_tensorflow_io(self) -> bool:
        """Whether tensorflow-io draws masks or fades."""
        has_masks = self.freq_masks > 0 or self.time_masks > 0
        return (self.spec_augment_backend == "tfio" and has_masks) or self.fade_max_share > 0

    @property
    def is_off(self) -> bool:
        """Whether no change is turned on."""
        return not (
            self.freq_masks
            or self.time_masks
            or self.mixup_alpha
            or self.gain_db
            or self.changes_time
            or self.fade_max_share
        )
