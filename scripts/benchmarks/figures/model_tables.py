"""Tables of the benchmarks of planning, training and predicting, from the content of their JSON files."""

from collections.abc import Mapping
from typing import Any

from figures.markdown import machine_line, markdown, short, target_table


def plan_table(content: Mapping[str, Any]) -> str:
    """Returns the seconds of the steps of `scripts/bench plan`."""
    rows = [[step, short(seconds)] for step, seconds in content["seconds"].items()]
    title = f"planning {content['arguments']['tracks']:,} tracks"
    return f"{markdown([title, 's'], rows)}\n- Peak memory: {content['peak_mb']:,.0f} MB.\n{machine_line(content)}"


def explore_table(content: Mapping[str, Any]) -> str:
    """Returns the cost of `scripts/bench explore`."""
    row = [
        *(f"{content[key]:,}" for key in ("tracks", "segments")),
        f"{content['data_gb']:.2f}",
        *(short(content[key]) for key in ("page_mb", "wall_s")),
        f"{content['peak_mb']:,.0f}",
    ]
    titles = ["tracks", "segments", "data, GB", "page, MB", "s", "peak MB"]
    return markdown(titles, [row]) + machine_line(content)


def readers_table(content: Mapping[str, Any]) -> str:
    """Returns the highest rates of readers, of `scripts/bench readers`, the fastest reader first."""
    rates = {name: max(reader["rates"]) for name, reader in content["readers"].items()}
    rows = [
        [name, content["readers"][name]["order"], f"{rate:,.0f}"]
        for name, rate in sorted(rates.items(), key=lambda item: item[1], reverse=True)
    ]
    return markdown(["reader", "order", "segments/s"], rows) + machine_line(content)


def predict_table(content: Mapping[str, Any]) -> str:
    """Returns the cost of predicting files, of `scripts/bench predict`, and its memory as there are more."""
    loop, library = content["loop"], content["predict"]
    rows = [
        [
            title,
            f"{cost['files']:,}",
            f"{cost['files'] / cost['wall_s']:.1f}",
            f"{cost['cpu_s'] / cost['files']:.3f}",
            f"{cost['peak_mib']:.0f}",
        ]
        for title, cost in (("the loop", loop), ("`beamtune predict`", library))
    ]
    ratio = library["files"] / library["wall_s"] * loop["wall_s"] / loop["files"]
    few, many = content["memory"]
    return (
        f"{markdown(['', 'files', 'files/s', 'CPU s per file', 'peak memory, MiB'], rows)}\n"
        f"- `beamtune predict` predicts {ratio:.1f} times as many files per second, and the same top genre for "
        f"{content['same_genres']} of {content['compared_genres']}.\n"
        f"- Peak memory of {many['files']:,} files / {few['files']:,} files: "
        f"{many['peak_mib'] / few['peak_mib']:.2f}.\n{machine_line(content)}"
    )


def train_table(content: Mapping[str, Any]) -> str:
    """Returns the rates and ratios of `scripts/bench train`, without those of the simulated device."""
    return target_table(content["rates"]) + machine_line(content)


def device_table(content: Mapping[str, Any]) -> str:
    """Returns the shares of the time in which the simulated device of `scripts/bench train` computes."""
    return target_table(content["busy"]) + machine_line(content)
