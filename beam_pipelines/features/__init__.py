"""Features: pure functions from the samples of one segment to an array, and the set of those that a data set has."""

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from beam_pipelines.errors import UserError
from beam_pipelines.feature_config import FeatureConfig, LogMelConfig, MfccConfig
from beam_pipelines.features.mel import LogMel, Mfcc
from beam_pipelines.records.schema import RESERVED_ENTRIES, FeatureSpec


class Feature(Protocol):
    """Computes one feature.

    Attributes:
        spec: The name, shape and dtype of what is computed.
    """

    @property
    def spec(self) -> FeatureSpec: ...

    def __call__(self, segment: npt.NDArray[np.float32]) -> npt.NDArray[Any]:
        """(samples,) float32 → an array of the spec's shape and dtype."""
        ...


def build_features(
    configs: Mapping[str, FeatureConfig], *, sample_rate_hz: int, segment_num_samples: int
) -> tuple[Feature, ...]:
    """Makes the features that the configuration names, in its order.

    Raises:
        UserError: A name is taken by an entry that every example has, or a value does not fit the sample rate.
    """
    for name in configs:
        if name in RESERVED_ENTRIES:
            raise UserError(f"features.{name}: every example already has an entry of that name; choose another")
    return tuple(
        _build_feature(name, config, sample_rate_hz=sample_rate_hz, segment_num_samples=segment_num_samples)
        for name, config in configs.items()
    )


def _build_feature(name: str, config: FeatureConfig, *, sample_rate_hz: int, segment_num_samples: int) -> Feature:
    if isinstance(config, MfccConfig):
        return Mfcc(name, config, sample_rate_hz=sample_rate_hz, segment_num_samples=segment_num_samples)
    if isinstance(config, LogMelConfig):
        return LogMel(name, config, sample_rate_hz=sample_rate_hz, segment_num_samples=segment_num_samples)
    raise TypeError(f"no feature is computed from a {type(config).__name__}")
