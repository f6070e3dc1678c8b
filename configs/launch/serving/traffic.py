"""Shares of the requests that deployments of an endpoint get, in whole percent that add up to 100."""

from collections.abc import Mapping


def with_share(split: Mapping[str, int], deployed: str, share: int) -> dict[str, int]:
    """Returns the shares after one deployment gets a given one, and the others keep the rest in their proportions.

    Args:
        split: Shares by deployment.
        deployed: The deployment, which may be new.
        share: Its share in percent, 100 where no other one has requests.
    """
    others = {name: percent for name, percent in split.items() if name != deployed}
    return {**_scaled(others, 100 - share), deployed: share}


def without(split: Mapping[str, int], deployed: str) -> dict[str, int]:
    """Returns the shares after one deployment has none; empty if no other one has requests."""
    return _scaled({name: percent for name, percent in split.items() if name != deployed}, 100)


def _scaled(split: Mapping[str, int], total: int) -> dict[str, int]:
    """Returns shares in the same proportions that add up to `total`, by the largest remainders."""
    before = sum(split.values())
    if before == 0:
        return {}
    shares = {name: percent * total // before for name, percent in split.items()}
    by_remainder = sorted(split, key=lambda name: (-(split[name] * total % before), name))
    for name in by_remainder[: total - sum(shares.values())]:
        shares[name] += 1
    return {name: percent for name, percent in shares.items() if percent}
