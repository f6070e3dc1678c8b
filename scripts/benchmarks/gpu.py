"""Training on a GPU: our loop against Keras' `fit`, with mixed precision and XLA, in 8 minutes at most; JSON.

    scripts/bench gpu
    scripts/bench gpu --batch-size 512 --precision mixed_float16
    scripts/bench gpu --dry-run                                       # without a GPU, in minutes

The data are log-mel spectrograms of 3 s in float16, (94, 128), of random values. Where `nvidia-smi` is, the packages of
requirements/trainer-gpu.txt are installed into .venv-gpu first; without a network, `PIP_NO_INDEX=1 UV_NO_INDEX=1
PIP_FIND_LINKS=FOLDER UV_FIND_LINKS=FOLDER` names a folder of their wheels. XLA compiles `res2d`; the recurrent layer of
`crnn` is a kernel of cuDNN, which XLA cannot compile. A dry run on the processors shows that the script works: its
figures say nothing about GPUs. The exit status is 1 if a measurement has failed, and 2 if there is no GPU.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from train import REPOSITORY, write_data

SUBJECTS_FILE = REPOSITORY / "scripts/benchmarks/subjects/gpu.py"
MODELS = ("res2d", "crnn")
SUBJECTS = ("loop", "fit")
LIMIT_S = 8 * 60


PRECISIONS = ("mixed_bfloat16", "mixed_float16", "float32")


def main() -> int:
    """Runs the measurements, prints their figures as JSON, and returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench gpu", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batch-size", type=int, default=256, help="examples of a step (256)")
    parser.add_argument("--precision", choices=PRECISIONS, default=PRECISIONS[0], help=f"{PRECISIONS[0]} by default")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each measurement, after its warm-up (20)")
    parser.add_argument("--dry-run", action="store_true", help="short measurements in float32, on the processors too")
    arguments = parser.parse_args()
    if arguments.batch_size < 1 or not 0 < arguments.seconds <= LIMIT_S:
        parser.error(f"--batch-size must be at least 1, and --seconds more than 0 and at most {LIMIT_S}")
    deadline_s = time.monotonic() + LIMIT_S
    device = measure({"subject": "device"}, deadline_s=deadline_s)
    if "error" in device:
        print(f"TensorFlow does not start: {device['error']}", file=sys.stderr)
        return 1
    if device["gpu"] is None and not arguments.dry_run:
        print("TensorFlow finds no GPU here: --dry-run tries the script on the processors", file=sys.stderr)
        return 2
    on_gpu = not arguments.dry_run
    batch_size, seconds = (arguments.batch_size, arguments.seconds) if on_gpu else (16, 1.0)
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="beamtune-bench-") as folder:
        data_dir = Path(folder) / "data"
        write_data(data_dir, num_examples=32 * batch_size if on_gpu else 4 * batch_size)
        for model in MODELS:
            options = {
                "model": model,
                "data_dir": str(data_dir),
                "batch_size": batch_size,
                "precision": arguments.precision if on_gpu else "float32",
                "jit_compile": device["xla_compiles"] and model != "crnn",
            }
            rows = {
                subject: measure({"subject": subject, "seconds": seconds, **options}, deadline_s=deadline_s)
                for subject in SUBJECTS
            }
            figures[model] = {"jit_compile": options["jit_compile"], **rows, "loop / fit": ratio(rows)}
    result = {
        **device,
        "is_dry_run": not on_gpu,
        "cores": os.cpu_count(),
        "batch_size": batch_size,
        "precision": arguments.precision if on_gpu else "float32",
        "models": figures,
    }
    print(json.dumps(result, indent=2))
    failed = [(model, name) for model, rows in figures.items() for name in SUBJECTS if "error" in rows[name]]
    for model, name in failed:
        print(f"{name} {model} failed: {figures[model][name]['error']}", file=sys.stderr)
    return 1 if failed else 0


def measure(options: dict[str, Any], *, deadline_s: float) -> dict[str, Any]:
    """Returns the figures of a subject, measured in a child process, or its error."""
    if "model" in options:
        print(options["subject"], options["model"], file=sys.stderr, flush=True)
    words = [sys.executable, "-W", "ignore", str(SUBJECTS_FILE), json.dumps(options)]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "TF_CPP_MIN_LOG_LEVEL": "3"}
    try:
        done = subprocess.run(  # noqa: S603
            words,
            capture_output=True,
            text=True,
            check=False,
            env=environment,
            timeout=max(deadline_s - time.monotonic(), 1.0),
        )
    except subprocess.TimeoutExpired:
        return {"error": f"not finished after {LIMIT_S} s, with what came before it"}
    if done.returncode != 0:
        return {"error": done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"status {done.returncode}"}
    return dict(json.loads(done.stdout.strip().splitlines()[-1]))


def ratio(rows: dict[str, dict[str, Any]]) -> float | None:
    """Returns the examples per second of our loop, divided by those of `fit`; None if one has failed."""
    speeds = [rows[subject].get("examples_per_s") for subject in SUBJECTS]
    return None if None in speeds else speeds[0] / speeds[1]


if __name__ == "__main__":
    sys.exit(main())
