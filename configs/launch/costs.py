"""What a job costs at most, from a dated table of approximate prices."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from configs.launch.machines import ChosenMachine

# Not in the folder of the group `launch`, whose YAML files are its options.
_TABLES = Path(__file__).parent / "prices"


@dataclass(frozen=True)
class Prices:
    """Prices of machines in one region.

    Attributes:
        date: When they were written down.
        region: The region that they are for.
        fee: What the service adds to the price of a machine, as a share.
        usd_per_hour: US dollars per hour, by machine type.
        usd_per_gpu_hour: US dollars per hour of a GPU that is not part of the price of its machine, by its type.
    """

    date: str
    region: str
    fee: float
    usd_per_hour: Mapping[str, float]
    usd_per_gpu_hour: Mapping[str, float]

    def machine_usd(self, machine: ChosenMachine) -> float | None:
        """Returns US dollars per hour of a machine with its accelerators; None if the table does not have it."""
        price = self.usd_per_hour.get(machine.machine_type)
        if price is None:
            return None
        gpu = self.usd_per_gpu_hour.get(machine.preset.accelerator or "", 0.0)
        return (price + gpu * machine.num_accelerators) * (1 + self.fee)


@cache
def read_table(name: str) -> Mapping[str, Any]:
    """Returns the content of a table of this version."""
    content: dict[str, Any] = yaml.safe_load((_TABLES / f"{name}.yaml").read_text(encoding="utf-8"))
    return content


def read_prices(name: str = "us_central1") -> Prices:
    """Returns the prices of machines in a table: those of jobs, or those of servers."""
    content = read_table(name)
    return Prices(
        date=str(content["date"]),
        region=content["region"],
        fee=content["fee"],
        usd_per_hour=content["usd_per_hour"],
        usd_per_gpu_hour=content["usd_per_gpu_hour"],
    )


def describe_cost(
    machines: Sequence[tuple[ChosenMachine, int]], *, timeout_s: int, is_standard: bool, prices: Prices
) -> str:
    """Returns a line about the price of an hour and of the longest run, without disks, network and storage.

    Args:
        machines: The kinds of machines of a job, each with their number.
        timeout_s: After how many seconds the job is cancelled.
        is_standard: Whether the machines are scheduled as standard, which is what the table has prices for.
        prices: The table.
    """
    by_machine = {machine.machine_type: prices.machine_usd(machine) for machine, _ in machines}
    unknown = [name for name, usd in by_machine.items() if usd is None]
    if unknown:
        return f"cost: no price is known for {' and '.join(unknown)}"
    usd_per_hour = sum(count * (by_machine[machine.machine_type] or 0.0) for machine, count in machines)
    hours = timeout_s / 3600
    most_usd = usd_per_hour * hours
    most = f"{most_usd:.2f}" if most_usd < 10 else f"{most_usd:.0f}"
    usual = "" if is_standard else "; spot and flex_start cost less, by an amount that changes"
    return (
        f"cost: about {usd_per_hour:.2f} USD an hour, and at most about {most} USD in the {hours:g} h "
        f"of launch.timeout_s (approximate prices of {prices.region} as of {prices.date}: check before "
        f"use{usual})"
    )
