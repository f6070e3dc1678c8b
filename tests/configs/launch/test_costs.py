import pytest

from configs.launch.costs import describe_cost, read_prices
from configs.launch.machines import PRESETS, choose_machine


def test_each_machine_has_a_price() -> None:
    prices = read_prices()
    names = {name for preset in PRESETS.values() for name in preset.machine_types}
    assert names == set(prices.usd_per_hour)
    assert all(usd > 0 for usd in prices.usd_per_hour.values())
    own = {preset.accelerator for preset in PRESETS.values() if "n1-standard-8" in preset.machine_types} - {None}
    assert own == set(prices.usd_per_gpu_hour)


def test_the_price_of_a_job_is_that_of_all_its_machines() -> None:
    prices = read_prices()
    machines = [(choose_machine("cpu-4", None), 1), (choose_machine("t4", 2), 3)]
    # (0.19 + 3 × (0.76 + 2 × 0.35)) × 1.15
    assert describe_cost(machines, timeout_s=5_400, is_standard=True, prices=prices) == (
        "cost: about 5.26 USD an hour, and at most about 7.88 USD in the 1.5 h of launch.timeout_s "
        "(approximate prices of us-central1 as of 2026-11-30: check before use)"
    )


@pytest.mark.parametrize(("is_standard", "is_said"), [(True, False), (False, True)])
def test_prices_are_those_of_standard_machines(is_standard: bool, is_said: bool) -> None:
    line = describe_cost([(choose_machine("l4", 1), 1)], timeout_s=3_600, is_standard=is_standard, prices=read_prices())
    assert ("spot and flex_start cost less" in line) == is_said
