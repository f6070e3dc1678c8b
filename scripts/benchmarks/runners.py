"""The cost of `beamtune prepare` with each kind of local workers, start-up included.

    scripts/bench runners --json docs/benchmarks/runners.json     # then: scripts/bench tables
    scripts/bench runners --clips 40 --rounds 1

Each measurement is a separate process; the kinds take turns, and the lowest of all rounds counts. Memory is that of the
largest process.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path

from figures.audio_tables import runners_table
from figures.record import describe_run, json_file, write_json
from prepare import NUM_CORES, Cost, find_clips, link_clips, measure, prepare_command

PACKAGES = ("apache-beam", "dask", "distributed", "numpy")
RUNNERS: Mapping[str, Callable[[Path, Path], list[str]]] = {
    "threads (`runner.mode=multi_threading`, the default)": prepare_command(workers=NUM_CORES),
    "processes (`runner.mode=multi_processing`)": prepare_command("runner.mode=multi_processing", workers=NUM_CORES),
    "Dask, a local cluster (`runner=dask`)": prepare_command("runner=dask", workers=NUM_CORES),
}


def main() -> None:
    """Measures all kinds and prints a table."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench runners", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clips", type=int, default=162)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=json_file, help="write the figures to this file too")
    arguments = parser.parse_args()
    costs: dict[str, list[Cost]] = {name: [] for name in RUNNERS}
    with tempfile.TemporaryDirectory(prefix="beamtune-bench-") as folder:
        manifest = link_clips(find_clips(Path(folder)), Path(folder) / "clips", count=arguments.clips)
        for number in range(arguments.rounds):
            for name, command in RUNNERS.items():
                print(f"{number + 1}/{arguments.rounds} {name}", file=sys.stderr, flush=True)
                costs[name].append(measure(command, manifest))
    runners = {name: [asdict(cost) for cost in of_all_rounds] for name, of_all_rounds in costs.items()}
    content = {**describe_run(arguments, PACKAGES), "runners": runners}
    write_json(arguments.json, content)
    print(runners_table(content), end="")


if __name__ == "__main__":
    main()
