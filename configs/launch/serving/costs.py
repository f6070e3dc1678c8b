"""What a server costs, from the dated table of approximate prices of servers."""

from configs.launch.costs import Prices, read_prices, read_table
from configs.launch.serving.config import CloudRunConfig, VertexServeConfig

_TABLE = "us_central1_serving"


def vertex_cost(config: VertexServeConfig) -> str:
    """Returns a line about the price of an hour and of a day of the machines of a deployment."""
    prices = read_prices(_TABLE)
    machine = config.chosen_machine()
    usd_per_hour = prices.machine_usd(machine)
    if usd_per_hour is None:
        return f"cost: no price is known for {machine.machine_type}"
    least, most = usd_per_hour * config.min_replicas, usd_per_hour * config.max_replicas
    under_load = "" if most == least else f", and at most {most:.2f} USD an hour under load"
    return (
        f"cost: about {least:.2f} USD an hour or {24 * least:.2f} USD a day until it is removed{under_load} "
        + _source(prices)
    )


def cloud_run_cost(config: CloudRunConfig) -> str:
    """Returns a line about the price of an hour in which an instance works, and of the instances that always run."""
    table = read_table(_TABLE)["cloud_run"]

    def usd_per_hour(kind: str) -> float:
        vcpus = config.cpu * table[f"usd_per_{kind}vcpu_second"]
        return float(3600 * (vcpus + config.memory_gib * table[f"usd_per_{kind}gib_second"]))

    busy, idle = usd_per_hour(""), usd_per_hour("idle_")
    instances = (
        "nothing while nobody asks"
        if config.min_instances == 0
        else f"{24 * idle * config.min_instances:.2f} USD a day for the instances that always run"
    )
    most = busy * config.max_instances
    return (
        f"cost: about {busy:.2f} USD for each hour in which an instance works, at most {most:.2f} USD an hour, and "
        f"{instances} {_source(read_prices(_TABLE))}"
    )


def _source(prices: Prices) -> str:
    return f"(approximate prices of {prices.region} as of {prices.date}: check before use)"
