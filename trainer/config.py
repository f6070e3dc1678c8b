"""What `beamtune train`, `evaluate` and `predict` can be told, as frozen dataclasses that check their values.

The YAML files in `configs/` choose among these; Hydra composes them, and the composed values arrive here once.
Nothing heavy is imported here, so that the command line can answer quickly.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from beam_pipelines.checks import MISSING, check, check_choice, check_path
from beam_pipelines.records.schema import SPLITS, TEST

__all__ = [
    "MISSING",
    "MODEL_CONFIGS",
    "Cnn2dConfig",
    "EvaluateConfig",
    "ModelConfig",
    "OptimizerConfig",
    "PredictConfig",
    "StrategyConfig",
    "TrainConfig",
    "check",
    "check_choice",
    "check_path",
]

STRATEGY_KINDS = ("none",)


@dataclass(frozen=True)
class ModelConfig:
    """Which model to train. Each model is a subclass of its own.

    Attributes:
        name: The name of the model in the registry of `trainer.models`.
    """

    name: str = MISSING

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The features that the model takes, as they are called in the prepared data."""
        raise NotImplementedError


@dataclass(frozen=True)
class Cnn2dConfig(ModelConfig):
    """A small convolutional network on a spectrogram.

    Attributes:
        feature: The feature that it takes, of shape (frames, bands).
        center_bands: Whether each band's mean over a segment is taken out, so that the model hears neither loudness nor
            equalisation, by which it would otherwise know artists instead of genres.
        filters: Filters of each convolution block, from the first to the last.
        time_pools: How many frames each block makes into one, in the order of filters.
        band_pools: How many bands each block makes into one, in the order of filters.
        hidden_units: Units of the dense layer between the pooled filters and the genres.
        dropout: The share of units dropped before and after the dense layer, in [0, 1).
    """

    name: str = "cnn2d"
    feature: str = "log_mel"
    center_bands: bool = True
    filters: list[int] = field(default_factory=lambda: [16, 32, 64, 64])
    time_pools: list[int] = field(default_factory=lambda: [2, 2, 1, 2])
    band_pools: list[int] = field(default_factory=lambda: [2, 2, 2, 2])
    hidden_units: int = 64
    dropout: float = 0.3

    def __post_init__(self) -> None:
        check(
            len(self.filters) >= 1 and all(1 <= count <= 4096 for count in self.filters),
            key="model.filters",
            value=self.filters,
            expected="a list of 1 to 4096 filters for each block",
        )
        for name in ("time_pools", "band_pools"):
            pools = getattr(self, name)
            check(
                len(pools) == len(self.filters) and all(pool >= 1 for pool in pools),
                key=f"model.{name}",
                value=pools,
                expected=f"a list of {len(self.filters)} whole numbers of at least 1, one for each of model.filters",
            )
        check(
            1 <= self.hidden_units <= 65_536,
            key="model.hidden_units",
            value=self.hidden_units,
            expected="1 to 65536 units",
        )
        check(0 <= self.dropout < 1, key="model.dropout", value=self.dropout, expected="a share from 0 up to but not 1")

    @property
    def feature_names(self) -> tuple[str, ...]:
        return (self.feature,)


MODEL_CONFIGS: Mapping[str, type[ModelConfig]] = {"cnn2d": Cnn2dConfig}


@dataclass(frozen=True)
class StrategyConfig:
    """Which devices train.

    Attributes:
        kind: none, a single device: the first GPU where there is one, and the CPU otherwise.
    """

    kind: str = "none"

    def __post_init__(self) -> None:
        check_choice(self.kind, STRATEGY_KINDS, key="strategy.kind")


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
class TrainConfig:
    """Everything that `beamtune train` can be told.

    Attributes:
        run_dir: What the run writes, local or gs://. A run that was broken off goes on where its last epoch ended.
        data_dir: The prepared data set, local or gs://.
        seed: The seed of the initial weights, of dropout and of the order of examples.
        epochs: Passes over the train split at most.
        global_batch_size: Examples in a step, over all devices together.
        early_stopping_patience_epochs: The run ends after this many epochs in a row without a lower validation loss;
            None always trains all epochs. The weights of the best epoch are the result in either case.
        label_smoothing: The share of a label's weight that is spread over all genres, in [0, 1).
        steps_per_call: Steps in one call of the compiled loop; the progress bar moves once a call.
        cache: Whether the examples of the train and validation splits are kept in memory, which then holds all of
            their shards. Without it, every epoch reads the shards again.
        shuffle_buffer_examples: Examples among which the next one is drawn where cache is off; with it, all of them.
        model: The model to train.
        strategy: The devices to train on.
        optimizer: How weights are updated.
    """

    run_dir: str = MISSING
    data_dir: str = MISSING
    seed: int = 0
    epochs: int = 25
    global_batch_size: int = 32
    early_stopping_patience_epochs: int | None = 8
    label_smoothing: float = 0.1
    steps_per_call: int = 10
    cache: bool = True
    shuffle_buffer_examples: int = 4096
    model: ModelConfig = MISSING
    strategy: StrategyConfig = field(default_factory=StrategyConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)

    def __post_init__(self) -> None:
        check_path(self.run_dir, key="run_dir")
        check_path(self.data_dir, key="data_dir")
        check(0 <= self.seed < 2**31, key="seed", value=self.seed, expected="a whole number from 0 to 2147483647")
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
            0 <= self.label_smoothing < 1,
            key="label_smoothing",
            value=self.label_smoothing,
            expected="a share from 0 up to but not 1",
        )


@dataclass(frozen=True)
class EvaluateConfig:
    """Everything that `beamtune evaluate` can be told.

    Attributes:
        run_dir: The run whose best weights are evaluated, local or gs://.
        data_dir: The prepared data set, local or gs://; None is the one that the run was trained on.
        split: train, validation or test.
        batch_size: Examples in a batch, over all devices together.
    """

    run_dir: str = MISSING
    data_dir: str | None = None
    split: str = TEST
    batch_size: int = 64

    def __post_init__(self) -> None:
        check_path(self.run_dir, key="run_dir")
        if self.data_dir is not None:
            check_path(self.data_dir, key="data_dir")
        check_choice(self.split, SPLITS, key="split")
        _check_batch_size(self.batch_size)


@dataclass(frozen=True)
class PredictConfig:
    """What `beamtune predict` can be told beside the run and the files.

    Attributes:
        batch_size: Segments in a batch.
        top_k: Genres shown for each file, the most probable first.
    """

    batch_size: int = 32
    top_k: int = 3

    def __post_init__(self) -> None:
        _check_batch_size(self.batch_size)
        check(self.top_k >= 1, key="top_k", value=self.top_k, expected="at least 1 genre")


def _check_batch_size(batch_size: int) -> None:
    check(1 <= batch_size <= 65_536, key="batch_size", value=batch_size, expected="a whole number from 1 to 65536")
