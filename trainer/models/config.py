"""The settings of each model, as frozen dataclasses that check their values when they are made.

Nothing heavy is imported here, so that the command line can answer quickly.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from beam_pipelines.common.checks import MISSING, check, check_choice
from trainer.models.config_checks import (
    check_blocks,
    check_dropout,
    check_filters,
    check_local_path,
    check_stem_filters,
    check_units,
)

# Networks of keras.applications that `transfer` can start from.
BACKBONES = ("MobileNetV2", "MobileNetV3Small", "EfficientNetV2B0", "ResNet50V2", "DenseNet121", "ConvNeXtTiny")
IMAGENET, NO_WEIGHTS = "imagenet", "none"

_NUM_YAMNET_STAGES = 14


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
class OneFeatureConfig(ModelConfig):
    """A model that takes a single feature.

    Attributes:
        feature: The feature that it takes.
    """

    feature: str = MISSING

    @property
    def feature_names(self) -> tuple[str, ...]:
        return (self.feature,)


@dataclass(frozen=True)
class Cnn2dConfig(OneFeatureConfig):
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
        check_blocks(self.filters, time_pools=self.time_pools, band_pools=self.band_pools)
        check_units(self.hidden_units, key="model.hidden_units")
        check_dropout(self.dropout)


@dataclass(frozen=True)
class BilstmConfig(OneFeatureConfig):
    """Two bidirectional LSTM layers over the frames of cepstral coefficients or of a spectrogram.

    Attributes:
        feature: The feature that it takes, of shape (frames, bands).
        center_bands: Whether each band's mean over a segment is taken out.
        units: Units of each LSTM layer in each of its two directions, from the first to the last.
        hidden_units: Units of the dense layer between the pooled frames and the genres.
        dropout: The share of units dropped after each layer, in [0, 1).
    """

    name: str = "bilstm"
    feature: str = "mfcc"
    center_bands: bool = True
    units: list[int] = field(default_factory=lambda: [64, 64])
    hidden_units: int = 64
    dropout: float = 0.3

    def __post_init__(self) -> None:
        check(
            len(self.units) >= 1 and all(1 <= count <= 4096 for count in self.units),
            key="model.units",
            value=self.units,
            expected="a list of 1 to 4096 units for each layer",
        )
        check_units(self.hidden_units, key="model.hidden_units")
        check_dropout(self.dropout)


@dataclass(frozen=True)
class Cnn1dConfig(OneFeatureConfig):
    """One-dimensional convolutions over the embeddings of a segment's patches.

    Attributes:
        feature: The feature that it takes, of shape (patches, values).
        filters: Filters of each convolution, from the first to the last.
        kernel_size: How many patches a convolution sees at a time.
        hidden_units: Units of the dense layer between the pooled patches and the genres.
        dropout: The share of units dropped before the first convolution and around the dense layer, in [0, 1).
    """

    name: str = "cnn1d"
    feature: str = "yamnet"
    filters: list[int] = field(default_factory=lambda: [128, 128])
    kernel_size: int = 3
    hidden_units: int = 64
    dropout: float = 0.4

    def __post_init__(self) -> None:
        check_filters(self.filters)
        check(1 <= self.kernel_size <= 1024, key="model.kernel_size", value=self.kernel_size, expected="1 to 1024")
        check_units(self.hidden_units, key="model.hidden_units")
        check_dropout(self.dropout)


@dataclass(frozen=True)
class ParallelConfig(ModelConfig):
    """Several features, each through a branch of its own, joined before the genres.

    Attributes:
        features: The features that it takes. Those of shape (frames, bands) go through convolutions.
        pooled_features: Of these, the ones that hold embeddings, (patches, values), and not pictures: their mean and
            maximum over the patches goes through a dense layer, as vectors do. Others than those of `features` may be
            among them.
        center_bands: Whether each band's mean over a segment is taken out of what goes through convolutions.
        filters: Filters of each convolution block of a branch; each block halves frames and bands.
        branch_units: Units that a branch ends with.
        hidden_units: Units of the dense layer between the joined branches and the genres.
        dropout: The share of units dropped before and after the last dense layer, in [0, 1).
    """

    name: str = "parallel"
    features: list[str] = field(default_factory=lambda: ["log_mel", "mfcc"])
    pooled_features: list[str] = field(default_factory=lambda: ["yamnet"])
    center_bands: bool = True
    filters: list[int] = field(default_factory=lambda: [16, 32, 64, 64])
    branch_units: int = 64
    hidden_units: int = 64
    dropout: float = 0.3

    def __post_init__(self) -> None:
        check(
            len(self.features) >= 2 and len(set(self.features)) == len(self.features),
            key="model.features",
            value=self.features,
            expected="a list of at least two features, each once",
        )
        check_filters(self.filters)
        check_units(self.branch_units, key="model.branch_units")
        check_units(self.hidden_units, key="model.hidden_units")
        check_dropout(self.dropout)

    @property
    def feature_names(self) -> tuple[str, ...]:
        return tuple(self.features)


@dataclass(frozen=True)
class CrnnConfig(OneFeatureConfig):
    """Convolution blocks on a spectrogram, then a GRU over the frames that are left.

    Attributes:
        feature: The feature that it takes, of shape (frames, bands).
        center_bands: Whether each band's mean over a segment is taken out.
        filters: Filters of each convolution block, from the first to the last.
        time_pools: How many frames each block makes into one, in the order of filters.
        band_pools: How many bands each block makes into one, in the order of filters.
        recurrent_units: Units of the GRU.
        dropout: The share of units dropped before the GRU and before the genres, in [0, 1).
    """

    name: str = "crnn"
    feature: str = "log_mel"
    center_bands: bool = True
    filters: list[int] = field(default_factory=lambda: [16, 32, 64])
    time_pools: list[int] = field(default_factory=lambda: [2, 2, 1])
    band_pools: list[int] = field(default_factory=lambda: [4, 4, 2])
    recurrent_units: int = 96
    dropout: float = 0.3

    def __post_init__(self) -> None:
        check_blocks(self.filters, time_pools=self.time_pools, band_pools=self.band_pools)
        check_units(self.recurrent_units, key="model.recurrent_units")
        check_dropout(self.dropout)


@dataclass(frozen=True)
class Res2dConfig(OneFeatureConfig):
    """A residual network of inverted bottlenecks with squeeze and excitation on a spectrogram.

    Attributes:
        feature: The feature that it takes, of shape (frames, bands).
        center_bands: Whether each band's mean over a segment is taken out.
        stem_filters: Filters of the first convolution, which halves frames and bands.
        filters: Filters of each stage, whose first block halves frames and bands again.
        blocks: Residual blocks of each stage, in the order of filters.
        expansion: How many times as many filters a block has inside.
        drop_path: The share of segments for which the last block is left out in training, in [0, 1); blocks before it
            are left out less often, the first one never.
        dropout: The share of units dropped before the genres, in [0, 1).
    """

    name: str = "res2d"
    feature: str = "log_mel"
    center_bands: bool = True
    stem_filters: int = 24
    filters: list[int] = field(default_factory=lambda: [32, 64, 128])
    blocks: list[int] = field(default_factory=lambda: [2, 3, 3])
    expansion: int = 4
    drop_path: float = 0.1
    dropout: float = 0.3

    def __post_init__(self) -> None:
        check_stem_filters(self.stem_filters)
        check_filters(self.filters)
        check(
            len(self.blocks) == len(self.filters) and all(1 <= count <= 100 for count in self.blocks),
            key="model.blocks",
            value=self.blocks,
            expected=f"a list of {len(self.filters)} numbers of 1 to 100 blocks, one for each of model.filters",
        )
        check(1 <= self.expansion <= 16, key="model.expansion", value=self.expansion, expected="a factor of 1 to 16")
        check_dropout(self.drop_path, key="model.drop_path")
        check_dropout(self.dropout)


@dataclass(frozen=True)
class Wave1dConfig(OneFeatureConfig):
    """One-dimensional convolutions on the samples themselves.

    Attributes:
        feature: The feature that it takes: 16-bit samples, of shape (samples,).
        stem_filters: Filters of the first convolution.
        stem_kernel_size: Samples that the first convolution sees at a time.
        stem_stride: Samples from one of its outputs to the next.
        filters: Filters of each residual block, from the first to the last; each keeps one value in four.
        hidden_units: Units of the dense layer between the pooled filters and the genres.
        dropout: The share of units dropped before and after the dense layer, in [0, 1).
    """

    name: str = "wave1d"
    feature: str = "waveform"
    stem_filters: int = 32
    stem_kernel_size: int = 80
    stem_stride: int = 20
    filters: list[int] = field(default_factory=lambda: [32, 64, 128, 256])
    hidden_units: int = 64
    dropout: float = 0.3

    def __post_init__(self) -> None:
        check_stem_filters(self.stem_filters)
        check_filters(self.filters)
        for name in ("stem_kernel_size", "stem_stride"):
            value = getattr(self, name)
            check(1 <= value <= 16_384, key=f"model.{name}", value=value, expected="1 to 16384 samples")
        check_units(self.hidden_units, key="model.hidden_units")
        check_dropout(self.dropout)


@dataclass(frozen=True)
class AttentionPoolConfig(OneFeatureConfig):
    """Embeddings of patches, weighted by how much each says of the genre.

    Attributes:
        feature: The feature that it takes, of shape (patches, values).
        units: Values that each embedding is brought down to.
        attention_units: Units of the layer that weighs the patches.
        dropout: The share of values dropped before and after they are brought down, in [0, 1).
    """

    name: str = "attention_pool"
    feature: str = "yamnet"
    units: int = 64
    attention_units: int = 64
    dropout: float = 0.5

    def __post_init__(self) -> None:
        check_units(self.units, key="model.units")
        check_units(self.attention_units, key="model.attention_units")
        check_dropout(self.dropout)


@dataclass(frozen=True)
class YamnetFinetuneConfig(OneFeatureConfig):
    """YAMNet itself, with a head for the genres; its last stages train on.

    Attributes:
        feature: The feature that it takes: YAMNet's own log-mel spectrogram, of shape (frames, 64).
        weights_path: A local copy of yamnet.h5; None downloads Google's, once, into the cache folder.
        trainable_stages: How many of its 14 stages train, counted from the last; 0 trains the head alone.
        hidden_units: Units of the dense layer between the embeddings and the genres.
        dropout: The share of units dropped before and after the dense layer, in [0, 1).
    """

    name: str = "yamnet_finetune"
    feature: str = "yamnet_log_mel"
    weights_path: str | None = None
    trainable_stages: int = 2
    hidden_units: int = 128
    dropout: float = 0.4

    def __post_init__(self) -> None:
        if self.weights_path is not None:
            check_local_path(self.weights_path, key="model.weights_path")
        check(
            0 <= self.trainable_stages <= _NUM_YAMNET_STAGES,
            key="model.trainable_stages",
            value=self.trainable_stages,
            expected=f"0 to {_NUM_YAMNET_STAGES} stages",
        )
        check_units(self.hidden_units, key="model.hidden_units")
        check_dropout(self.dropout)


@dataclass(frozen=True)
class TransferConfig(OneFeatureConfig):
    """A network that learned to tell photographs, on a spectrogram as an image.

    Attributes:
        feature: The feature that it takes, of shape (frames, bands).
        center_bands: Whether each band's mean over a segment is taken out.
        backbone: The network: one of `BACKBONES`, as keras.applications calls it.
        weights: imagenet, which Keras downloads once into its own cache; none, random ones; or the path of a local file
            with the weights of the backbone without its top.
        image_size: Pixels on each side of the image that the spectrogram is resized to.
        trainable_fraction: The share of the backbone's layers that train, counted from the last.
        dropout: The share of units dropped before the genres, in [0, 1).
    """

    name: str = "transfer"
    feature: str = "log_mel"
    center_bands: bool = True
    backbone: str = "MobileNetV2"
    weights: str = IMAGENET
    image_size: int = 128
    trainable_fraction: float = 0.3
    dropout: float = 0.3

    def __post_init__(self) -> None:
        check_choice(self.backbone, BACKBONES, key="model.backbone")
        if self.weights not in (IMAGENET, NO_WEIGHTS):
            check_local_path(self.weights, key="model.weights")
        check(32 <= self.image_size <= 2048, key="model.image_size", value=self.image_size, expected="32 to 2048")
        check(
            0 <= self.trainable_fraction <= 1,
            key="model.trainable_fraction",
            value=self.trainable_fraction,
            expected="a share from 0 to 1",
        )
        check_dropout(self.dropout)


MODEL_CONFIGS: Mapping[str, type[ModelConfig]] = {
    "cnn2d": Cnn2dConfig,
    "bilstm": BilstmConfig,
    "cnn1d": Cnn1dConfig,
    "parallel": ParallelConfig,
    "crnn": CrnnConfig,
    "res2d": Res2dConfig,
    "wave1d": Wave1dConfig,
    "attention_pool": AttentionPoolConfig,
    "yamnet_finetune": YamnetFinetuneConfig,
    "transfer": TransferConfig,
}
