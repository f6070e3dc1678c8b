"""Parts that several models use: inputs, convolution blocks, pooling and classification heads.

Batch normalisation is synchronised over replicas everywhere: the replicas' own statistics would diverge, and only those
of the first replica would be saved.
"""

from typing import Any

import keras

from beam_pipelines.common.checks import check
from beam_pipelines.common.errors import UserError
from beam_pipelines.records.schema import BandStats, FeatureSpec
from trainer.models.config import LOGITS, ProjectionConfig
from trainer.models.layers import STD_FLOOR, BandCentering, BandStandardization, Clipping, PrincipalComponents

# The momentum of the moving averages that prediction uses. Keras' default of 0.99 is too slow for small data sets.
NORM_MOMENTUM = 0.9
# Half of YAMNet's 1024 values are almost always 0. The rare sounds that activate them are up to 76 standard deviations
# from the mean, and a single such segment would dominate its batch.
_LARGEST_EMBEDDING = 5.0


def require(condition: bool, *, spec: FeatureSpec, model: str, takes: str, key: str = "model.feature") -> None:
    """Raises an error unless a model can take a feature.

    Args:
        condition: Whether it can.
        spec: The feature.
        model: The name of the model.
        takes: What the model takes, such as "a feature of shape (frames, bands)".
        key: The setting that names the feature.

    Raises:
        UserError: The condition is false.
    """
    if not condition:
        raise UserError(f"{key}={spec.name}: model {model} takes {takes}, and {spec.name} has shape {spec.shape}")


def require_spectrogram(spec: FeatureSpec, *, model: str) -> None:
    """Raises a UserError unless a feature is of shape (frames, bands)."""
    require(len(spec.shape) == 2, spec=spec, model=model, takes="a feature of shape (frames, bands)")


def require_embeddings(spec: FeatureSpec, *, model: str) -> None:
    """Raises a UserError unless a feature is of shape (patches, values)."""
    require(len(spec.shape) == 2, spec=spec, model=model, takes="a feature of shape (patches, values)")


def standardized_input(spec: FeatureSpec, stats: BandStats, *, center_bands: bool = False) -> tuple[Any, Any]:
    """Returns the input for a feature in its stored dtype, and the standardised feature.

    Both are (batch, *shape); the statistics are of the last axis.
    """
    inputs = keras.Input(shape=spec.shape, dtype=spec.dtype, name=spec.name)
    standardize = BandStandardization(
        mean=stats.mean,
        std=stats.std,
        std_floor=0.0 if stats.has_floors else STD_FLOOR,
        name=f"standardize_{spec.name}",
    )
    x = standardize(inputs)
    if center_bands:
        x = BandCentering(name=f"center_{spec.name}")(x)
    return inputs, x


def embeddings_input(spec: FeatureSpec, stats: BandStats) -> tuple[Any, Any]:
    """Returns the same as `standardized_input` for embeddings and vectors of statistics, with outliers clipped."""
    inputs, x = standardized_input(spec, stats)
    return inputs, Clipping(limit=_LARGEST_EMBEDDING, name=f"clip_{spec.name}")(x)


def projected_embeddings_input(spec: FeatureSpec, stats: BandStats, *, config: ProjectionConfig) -> tuple[Any, Any]:
    """Returns the same as `embeddings_input`, projected on principal components if the settings have a number of them.

    Args:
        spec: The feature, of shape (patches, values).
        stats: Its statistics.
        config: The settings of the model.

    Raises:
        UserError: There are more components than values.
    """
    inputs, x = embeddings_input(spec, stats)
    if config.pca is not None:
        check(
            config.pca <= spec.shape[-1],
            key="model.pca",
            value=config.pca,
            expected=f"at most {spec.shape[-1]} components, because {spec.name} has {spec.shape[-1]} values",
        )
        layer = PrincipalComponents(num_components=config.pca, whiten=config.whiten, name=f"project_{spec.name}")
        x = layer(x)
    return inputs, x


def normalized(x: Any) -> Any:
    """(…, filters) → the same shape: batch normalisation with the statistics of all replicas."""
    return keras.layers.BatchNormalization(synchronized=True, momentum=NORM_MOMENTUM)(x)


def conv2d_blocks(x: Any, *, filters: list[int], time_pools: list[int], band_pools: list[int]) -> Any:
    """(batch, frames, bands) → (batch, fewer frames, fewer bands, filters).

    Each block is a convolution, batch normalisation, ReLU and max pooling.
    """
    x = keras.layers.Reshape((*x.shape[1:], 1))(x)
    for count, time_pool, band_pool in zip(filters, time_pools, band_pools, strict=True):
        x = keras.layers.Conv2D(count, 3, padding="same", use_bias=False)(x)
        x = keras.layers.ReLU()(normalized(x))
        x = keras.layers.MaxPooling2D((time_pool, band_pool), padding="same")(x)
    return x


def pooled2d(x: Any) -> Any:
    """(batch, frames, bands, filters) → (batch, 2 · filters): mean and maximum over frames and bands."""
    mean, maximum = keras.layers.GlobalAveragePooling2D()(x), keras.layers.GlobalMaxPooling2D()(x)
    return keras.layers.Concatenate()([mean, maximum])


def pooled1d(x: Any) -> Any:
    """(batch, steps, values) → (batch, 2 · values): mean and maximum over the steps."""
    mean, maximum = keras.layers.GlobalAveragePooling1D()(x), keras.layers.GlobalMaxPooling1D()(x)
    return keras.layers.Concatenate()([mean, maximum])


def dense_head(x: Any, *, hidden_units: int, dropout: float, num_classes: int) -> Any:
    """(batch, values) → logits (batch, classes), through a dense layer with dropout before and after it."""
    x = keras.layers.Dropout(dropout)(x)
    x = keras.layers.Dense(hidden_units, activation="relu")(x)
    return logits(x, dropout=dropout, num_classes=num_classes)


def logits(x: Any, *, dropout: float, num_classes: int) -> Any:
    """(batch, values) → logits (batch, classes).

    They are float32 under every dtype policy, because small probabilities are lost in a softmax of float16.
    """
    x = keras.layers.Dropout(dropout)(x)
    return keras.layers.Dense(num_classes, dtype="float32", name=LOGITS)(x)
