"""What each JSON file of a benchmark has beside its figures, and the line that is made of it."""

from pathlib import Path

BENCHMARKS = Path(__file__).resolve().parents[2] / "scripts" / "benchmarks"
RUN = {
    "machine": {"cpu": "CPU", "cores": 2, "memory_gib": 24},
    "versions": {"python": "3.11", "numpy": "2"},
    "arguments": {"tracks": 1_000_000},
}
RUN_LINE = "\nCPU, 2 cores, 24 GiB; python 3.11, numpy 2.\n"
