"""Checks that the settings of several models share. Each raises a UserError that names the key and the value."""

from collections.abc import Sequence

from beam_pipelines.common.checks import check, check_path
from beam_pipelines.common.paths import is_local


def check_features(features: Sequence[str], *, least: int) -> None:
    """Checks a list of features, of which at least one or two are needed."""
    check(
        len(features) >= least and len(set(features)) == len(features),
        key="model.features",
        value=features,
        expected=f"a list of at least {'one feature' if least == 1 else 'two features'}, each once",
    )


def check_filters(filters: Sequence[int]) -> None:
    """Checks the number of filters of each convolution block."""
    check(
        len(filters) >= 1 and all(1 <= count <= 4096 for count in filters),
        key="model.filters",
        value=filters,
        expected="a list of 1 to 4096 filters for each block",
    )


def check_stem_filters(filters: int) -> None:
    """Checks the number of filters of the first convolution."""
    check(1 <= filters <= 4096, key="model.stem_filters", value=filters, expected="1 to 4096 filters")


def check_blocks(filters: Sequence[int], *, time_pools: Sequence[int], band_pools: Sequence[int]) -> None:
    """Checks the number of filters of each convolution block, and its pooling factors for frames and bands."""
    check_filters(filters)
    for name, pools in (("time_pools", time_pools), ("band_pools", band_pools)):
        check(
            len(pools) == len(filters) and all(pool >= 1 for pool in pools),
            key=f"model.{name}",
            value=pools,
            expected=f"a list of {len(filters)} whole numbers of at least 1, one for each of model.filters",
        )


def check_units(units: int, *, key: str) -> None:
    """Checks the size of a layer."""
    check(1 <= units <= 65_536, key=key, value=units, expected="1 to 65536 units")


def check_dropout(share: float, *, key: str = "model.dropout") -> None:
    """Checks a dropout rate."""
    check(0 <= share < 1, key=key, value=share, expected="a share of at least 0 and below 1")


def check_local_path(path: str, *, key: str) -> None:
    """Checks that a path is not empty and not of a bucket."""
    check_path(path, key=key)
    check(is_local(path), key=key, value=path, expected="a local path")
