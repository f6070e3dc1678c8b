"""Settings of `beamtune train`: frozen dataclasses that check their values when they are made.

The YAML files in `configs/` choose among these; Hydra composes them, and the composed values arrive here once.
Nothing heavy is imported here, so that the command line can answer quickly.
"""

from dataclasses import dataclass, field

from beam_pipelines.common.checks import MISSING, check, check_choice, check_path
from trainer.board.config import BoardConfig
from trainer.data.config import AugmentConfig
from trainer.devices.config import StrategyConfig
from trainer.models.config import ModelConfig

PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
SAMPLINGS = ("natural", "balanced")
CLASS_WEIGHTINGS = ("none", "balanced")
# A resumed run may be in another place, be saved more or less often and show more or less in TensorBoard. All other
# settings decide the result.
KEYS_THAT_MAY_DIFFER = frozenset({"run_dir", "checkpoint_interval_s", "board."})


@dataclass(frozen=True)
class OptimizerConfig:
    """AdamW, with a learning rate that rises linearly and then falls along half a cosine to 0.

    Attributes:
        learning_rate: The highest learning rate, reached at the end of the warm-up.
        weight_decay: Decoupled weight decay; biases and the parameters of normalisation layers have none.
        warmup_epochs: Length of the rise in epochs; fractions are allowed.
        gradient_clip_norm: The gradients of all weights together are scaled down to this norm; None never does.
    """

    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    warmup_epochs: float = 1.0
    gradient_clip_norm: float | None = 1.0

    def __post_init__(self) -> None:
        check(
            0 < self.learning_rate <= 10,
            key="optimizer.learning_rate",
            value=self.learning_rate,
            expected="a rate above 0 and at most 10",
        )
        check(
            0 <= self.weight_decay <= 1,
            key="optimizer.weight_decay",
            value=self.weight_decay,
            expected="a decay from 0 to 1",
        )
        check(
            self.warmup_epochs >= 0,
            key="optimizer.warmup_epochs",
            value=self.warmup_epochs,
            expected="a number of epochs of at least 0",
        )
        check(
            self.gradient_clip_norm is None or self.gradient_clip_norm > 0,
            key="optimizer.gradient_clip_norm",
            value=self.gradient_clip_norm,
            expected="a norm above 0, or null for no clipping",
        )


@dataclass(frozen=True)
class TrainingConfig:
    """What a network is and how it is trained, whatever the data and the seed: the same for all runs of `crossval`.

    Attributes:
        epochs: Passes over the train split at most.
        global_batch_size: Examples in a step, over all devices together.
        early_stopping_patience_epochs: The run ends after this many epochs in a row without a lower validation loss;
            None always trains all epochs. The weights of the best epoch are the result in either case.
        label_smoothing: The share of a label's weight that is spread over all genres, in [0, 1).
        class_weighting: "balanced" weighs the loss of an example by how rare its genre is; "none" does not.
        sampling: "balanced" draws examples of all genres equally often, which needs cache; "natural" takes each once.
        gradient_accumulation_steps: Parts that a batch is divided into, one after the other, where it does not fit into
            the devices' memory as a whole; the weights change once a batch.
        ema_decay: The result is this moving average of the weights, e.g. 0.999; None takes the weights as they are.
        precision: float32; or mixed_bfloat16 (TPUs, newer GPUs) or mixed_float16 (GPUs), in which layers compute while
            the weights stay float32.
        jit_compile: Whether XLA compiles the forward and the backward pass.
        checkpoint_interval_s: Seconds after which the state is saved in the midst of an epoch too; None saves after
            each epoch only.
        steps_per_call: Steps in one call of the compiled loop; the progress bar moves once a call.
        cache: Whether the examples of the train and validation splits are kept in memory, which then holds all of
            their shards. Without it, every epoch reads the shards again.
        shuffle_buffer_examples: Examples among which the next one is drawn where cache is off; with it, all of them.
        learn_from_validation: Whether the validation split is learned from too, as when all settings are chosen.
            Nothing is validated then, and the weights of the last epoch are the result.
        augment: What is done to examples at random before they are learned from.
        model: The model to train.
        strategy: The devices to train on.
        optimizer: How weights are updated.
        board: What the run shows in TensorBoard beside its scalars.
    """

    epochs: int = 25
    global_batch_size: int = 32
    early_stopping_patience_epochs: int | None = 8
    label_smoothing: float = 0.1
    class_weighting: str = "none"
    sampling: str = "natural"
    gradient_accumulation_steps: int = 1
    ema_decay: float | None = None
    precision: str = "float32"
    jit_compile: bool = False
    checkpoint_interval_s: float | None = 600.0
    steps_per_call: int = 10
    cache: bool = True
    shuffle_buffer_examples: int = 4096
    learn_from_validation: bool = False
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    model: ModelConfig = MISSING
    strategy: StrategyConfig = field(default_factory=StrategyConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    board: BoardConfig = field(default_factory=BoardConfig)

    def __post_init__(self) -> None:
        for name, most in (
            ("epochs", 100_000),
            ("global_batch_size", 65_536),
            ("steps_per_call", 10_000),
            ("shuffle_buffer_examples", 10_000_000),
        ):
            value = getattr(self, name)
            check(1 <= value <= most, key=name, value=value, expected=f"a whole number from 1 to {most}")
        patience = self.early_stopping_patience_epochs
        check(
            patience is None or patience >= 1,
            key="early_stopping_patience_epochs",
            value=patience,
            expected="at least 1 epoch, or null to train all epochs",
        )
        check(
            patience is None or not self.learn_from_validation,
            key="early_stopping_patience_epochs",
            value=patience,
            expected="null with learn_from_validation=true, for nothing is validated",
        )
        check(
            0 <= self.label_smoothing < 1,
            key="label_smoothing",
            value=self.label_smoothing,
            expected="a share from 0 up to but not 1",
        )
        check_choice(self.class_weighting, CLASS_WEIGHTINGS, key="class_weighting")
        check_choice(self.precision, PRECISIONS, key="precision")
        check_choice(self.sampling, SAMPLINGS, key="sampling")
        check(
            self.sampling == "natural" or self.cache,
            key="sampling",
            value=self.sampling,
            expected="cache=true beside it, for examples are drawn from memory",
        )
        parts = self.gradient_accumulation_steps
        check(
            parts >= 1 and self.global_batch_size % parts == 0,
            key="gradient_accumulation_steps",
            value=parts,
            expected=f"a divisor of global_batch_size={self.global_batch_size}",
        )
        check(
            self.ema_decay is None or 0 < self.ema_decay < 1,
            key="ema_decay",
            value=self.ema_decay,
            expected="a decay between 0 and 1, e.g. 0.999, or null for none",
        )
        check(
            self.checkpoint_interval_s is None or self.checkpoint_interval_s >= 0,
            key="checkpoint_interval_s",
            value=self.checkpoint_interval_s,
            expected="seconds, or null for checkpoints after epochs only",
        )


@dataclass(frozen=True)
class TrainConfig(TrainingConfig):
    """Everything that `beamtune train` can be told.

    Attributes:
        run_dir: What the run writes, local or gs://. A run that was broken off goes on where its last epoch ended.
        data_dir: The prepared data set, local or gs://.
        seed: The seed of the initial weights, of dropout and of the order of examples.
    """

    run_dir: str = MISSING
    data_dir: str = MISSING
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_path(self.run_dir, key="run_dir")
        check_path(self.data_dir, key="data_dir")
        check(0 <= self.seed < 2**31, key="seed", value=self.seed, expected="a whole number from 0 to 2147483647")
