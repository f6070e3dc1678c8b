"""The smallest standard deviations that features are divided by."""

from collections.abc import Mapping
from dataclasses import replace

from beam_pipelines.records.schema import BandStats, FeatureSpec

# For bands of one unit: of a deviation of 1, such as 1 dB. Features with smaller values have a smaller floor.
_LARGEST_FLOOR = 1e-2
# For values of different units: of the mean, below which a deviation is hardly more than rounding.
_SHARE_OF_MEAN = 1e-4
_SMALLEST_FLOOR = 1e-9


def with_relative_floors(stats: Mapping[str, BandStats], specs: Mapping[str, FeatureSpec]) -> dict[str, BandStats]:
    """Returns statistics whose deviations are raised to a floor that is relative to the scale of the feature.

    The bands of a feature of shape (frames, bands) have one unit, and the floor is 1 % of the largest deviation, at
    most 0.01. The values of a feature of shape (values,) have units of their own, and the floor of each is 0.01 % of
    its mean: the variance of an RMS of 0.001 is as informative as a frequency of 1000 Hz.

    Args:
        stats: The statistics of features.
        specs: The features, at least those that have statistics.
    """
    return {name: _with_floors(each, is_vector=len(specs[name].shape) == 1) for name, each in stats.items()}


def _with_floors(stats: BandStats, *, is_vector: bool) -> BandStats:
    if is_vector:
        floors = [max(_SHARE_OF_MEAN * abs(mean), _SMALLEST_FLOOR) for mean in stats.mean]
    else:
        floor = _LARGEST_FLOOR * (min(1.0, max(stats.std)) or 1.0)
        floors = [floor] * len(stats.std)
    return replace(stats, std=tuple(map(max, stats.std, floors)), has_floors=True)
