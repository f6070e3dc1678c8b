"""Settings of `beamtune train`: frozen dataclasses that check their values when they are made.

Hydra composes them from the YAML files in `configs/`. Nothing heavy is imported here, so that the command line can
answer quickly.
"""

from dataclasses import dataclass, field

from beam_pipelines.common.checks import MISSING, check, check_choice, check_path
from beam_pipelines.common.paths import check_apart
from beam_pipelines.common.retries import StorageConfig
from trainer.board.config import BoardConfig
from trainer.data.config import AugmentConfig
from trainer.devices.config import NO_STRATEGY, StrategyConfig
from trainer.models.config import ModelConfig
from trainer.tracking.config import MlflowConfig

PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
SAMPLINGS = ("natural", "balanced")
CLASS_WEIGHTINGS = ("none", "balanced")
SCHEDULES = ("cosine", "constant")
AUTO = "auto"
# Settings that may change when a run is resumed. All others determine the result: with XLA, it has other roundings.
KEYS_THAT_MAY_DIFFER = frozenset(
    {"run_dir", "checkpoint_interval_s", "steps_per_call", "augment.runs_on"} | {"board.", "storage.", "mlflow."}
)


@dataclass(frozen=True)
class OptimizerConfig:
    """AdamW, with a learning rate that rises linearly and then falls along half a cosine to 0, or stays.

    Attributes:
        learning_rate: The highest learning rate, reached at the end of the warm-up.
        weight_decay: Decoupled weight decay; biases and the parameters of normalisation layers have none.
        warmup_epochs: Length of the linear rise in epochs; may be fractional.
        gradient_clip_norm: The largest global gradient norm, to which larger gradients are scaled down; None is no
            clipping.
        schedule: The learning rate after the warm-up: "cosine" falls to 0 at the end of the last epoch; "constant"
            stays the highest, so that the run can be continued with more epochs.
    """

    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    warmup_epochs: float = 1.0
    gradient_clip_norm: float | None = 1.0
    schedule: str = "cosine"

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
        check_choice(self.schedule, SCHEDULES, key="optimizer.schedule")


@dataclass(frozen=True)
class TrainingConfig:
    """The model and how it is trained, without data, seed and run directory, which differ among runs of `crossval`.

    Attributes:
        epochs: The largest number of passes over the train split.
        global_batch_size: Examples in a step, over all devices.
        early_stopping_patience_epochs: The run ends after this many consecutive epochs without a lower validation loss;
            None always trains all epochs. The weights of the best epoch are the result in either case.
        label_smoothing: The share of a label's weight that is spread over all genres, in [0, 1).
        class_weighting: "balanced" weights the loss of an example by the inverse frequency of its genre; "none" does
            not.
        sampling: "balanced" draws examples of all genres equally often, which requires cache; "natural" takes each
            once.
        gradient_accumulation_steps: Parts of a batch whose gradients are computed one after the other, for batches that
            do not fit into the devices' memory; the weights are updated once per batch.
        ema_decay: The decay of a moving average of the weights, which is the result, e.g. 0.999; None uses the weights
            themselves.
        precision: float32; or mixed_bfloat16 (TPUs, newer GPUs) or mixed_float16 (GPUs), in which layers compute while
            the weights stay float32.
        jit_compile: Whether XLA compiles the forward and the backward pass; "auto" does it on one GPU without a
            strategy, for runs of 10,000 steps or more, where XLA can compile the model.
        checkpoint_interval_s: Seconds between checkpoints within an epoch; None saves after each epoch only.
        steps_per_call: Steps in one call of the compiled loop, after which the progress bar moves; "auto" is as many as
            take half a second. The result does not depend on it.
        cache: Whether all examples of the train and validation splits stay in memory. Without it, every epoch reads the
            shards again.
        shuffle_buffer_examples: The fewest examples that are shuffled together where the shards are in a bucket and
            there is no cache; elsewhere, all examples are.
        learn_from_validation: Whether the validation split is trained on too, for a final model whose settings are
            chosen. Nothing is validated then, and the weights of the last epoch are the result.
        calibrate: Whether temperatures are fitted to the validation split at the end, with which probabilities agree
            with the share of correct predictions. Without effect if nothing is validated.
        augment: Random changes to training examples.
        model: The model.
        strategy: The devices.
        optimizer: The optimizer and its learning rate.
        board: What the run writes for TensorBoard besides its scalars.
        storage: How buckets are treated.
        mlflow: The run of MLflow that the run is written to, too.
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
    jit_compile: bool | str = AUTO
    checkpoint_interval_s: float | None = 600.0
    steps_per_call: int | str = AUTO
    cache: bool = True
    shuffle_buffer_examples: int = 4096
    learn_from_validation: bool = False
    calibrate: bool = True
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    model: ModelConfig = MISSING
    strategy: StrategyConfig = field(default_factory=StrategyConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    board: BoardConfig = field(default_factory=BoardConfig)
    storage: StorageConfig = field(default_factory=StorageConfig)
    mlflow: MlflowConfig = field(default_factory=MlflowConfig)

    def __post_init__(self) -> None:
        for name, most in (
            ("epochs", 100_000),
            ("global_batch_size", 65_536),
            ("shuffle_buffer_examples", 10_000_000),
        ):
            value = getattr(self, name)
            check(1 <= value <= most, key=name, value=value, expected=f"a whole number from 1 to {most}")
        self._check_execution()
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
            expected="null with learn_from_validation=true, because nothing is validated",
        )
        check(
            0 <= self.label_smoothing < 1,
            key="label_smoothing",
            value=self.label_smoothing,
            expected="a share of at least 0 and below 1",
        )
        check_choice(self.class_weighting, CLASS_WEIGHTINGS, key="class_weighting")
        check_choice(self.precision, PRECISIONS, key="precision")
        check_choice(self.sampling, SAMPLINGS, key="sampling")
        check(
            self.sampling == "natural" or self.cache,
            key="sampling",
            value=self.sampling,
            expected="cache=true with it, because it draws examples from memory",
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

    def _check_execution(self) -> None:
        steps = self.steps_per_call
        check(
            steps == AUTO or (not isinstance(steps, str) and 1 <= steps <= 10_000),
            key="steps_per_call",
            value=steps,
            expected="a whole number from 1 to 10000, or auto",
        )
        check(
            self.jit_compile == AUTO or not isinstance(self.jit_compile, str),
            key="jit_compile",
            value=self.jit_compile,
            expected="true, false or auto",
        )
        check(
            self.jit_compile is not True or self.strategy.kind == NO_STRATEGY,
            key="jit_compile",
            value=self.jit_compile,
            expected=f"false or auto with strategy={self.strategy.kind}, even of one device, because XLA cannot "
            "compile what devices share in the forward pass, such as the statistics of batch normalisation",
        )
        check(
            self.checkpoint_interval_s is None or self.checkpoint_interval_s >= 0,
            key="checkpoint_interval_s",
            value=self.checkpoint_interval_s,
            expected="seconds, or null for checkpoints after epochs only",
        )


@dataclass(frozen=True)
class TrainConfig(TrainingConfig):
    """All settings of `beamtune train`.

    Attributes:
        run_dir: The run directory, local or gs://. A run that was interrupted resumes from its last checkpoint.
        data_dir: The prepared data set, local or gs://.
        seed: The seed of initial weights, dropout, augmentation and the order of examples.
    """

    run_dir: str = MISSING
    data_dir: str = MISSING
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_path(self.run_dir, key="run_dir")
        check_path(self.data_dir, key="data_dir")
        check_apart({"data_dir": self.data_dir}, {"run_dir": self.run_dir})
        check(0 <= self.seed < 2**31, key="seed", value=self.seed, expected="a whole number from 0 to 2147483647")
