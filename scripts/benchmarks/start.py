"""The start-up of commands: seconds, CPU seconds and large libraries that are imported, on the smallest data.

    scripts/bench start
    scripts/bench start --against ../beamtune-0.1.0 --repetitions 5

`train` is measured up to its first step, `tensorboard` until it listens. Each measurement is a process of its own;
with `--against`, both checkouts take turns. The median of all repetitions counts.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from rich import box
from rich.table import Table

from beam_pipelines.common.terminal import make_console

REPOSITORY = Path(__file__).resolve().parents[2]
SUBJECT_FILE = REPOSITORY / "scripts/benchmarks/subjects/start.py"
RATE_HZ = 16_000
GENRES, ARTISTS = 2, 4

# OUT is a new folder.
COMMANDS = {
    "--help": "--help",
    "prepare": "prepare dataset=folder dataset.root=music output_dir=OUT",
    "convert": "convert source=music output_dir=OUT",
    "explore": "explore data output_dir=OUT",
    "train, to the first step": "train data_dir=data run_dir=OUT steps_per_call=1",
    "evaluate": "evaluate run_dir=run",
    "predict, a wav": "predict run song.wav",
    "predict, an mp3": "predict run song.mp3",
    "baselines": "baselines data_dir=data output_dir=OUT learners=[naive_bayes] feature=log_mel",
    "compare": "compare run",
    "tune --dry-run": "tune data_dir=data search_dir=OUT --dry-run",
    "tune status": "tune status search",
    "tensorboard": "tensorboard run port=0",
}
# What the commands read.
SETUP = (
    "prepare dataset=folder dataset.root=music output_dir=data",
    "train data_dir=data run_dir=run epochs=1",
    "tune data_dir=data search_dir=search tuner=random budget.max_trials=1 budget.max_epochs=1",
)


def main() -> None:
    """Measures all commands and prints a table."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench start", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--against", type=Path, help="another checkout, whose figures come first")
    parser.add_argument("--repetitions", type=int, default=3, help="of each measurement")
    parser.add_argument("--json", type=Path, help="write all figures to this file too")
    arguments = parser.parse_args()
    if arguments.against is not None and not (arguments.against / "configs" / "cli.py").is_file():
        parser.error(f"--against {arguments.against} is no checkout of beamtune")
    checkouts = [REPOSITORY] if arguments.against is None else [arguments.against.resolve(), REPOSITORY]
    with tempfile.TemporaryDirectory(prefix="beamtune-bench-") as folder:
        write_music(Path(folder))
        for words in SETUP:
            run_command(Path(folder), words.split(), checkout=REPOSITORY, is_whole=True)
        figures = measure(Path(folder), checkouts, repetitions=arguments.repetitions)
    report(figures, num_checkouts=len(checkouts))
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


def write_music(folder: Path) -> None:
    """Writes a song of 4 s of each of eight artists, of two genres, and two songs to predict."""
    rng = np.random.default_rng(0)
    for genre in range(GENRES):
        for artist in range(ARTISTS):
            path = folder / "music" / f"genre{genre}" / f"artist{genre}{artist}" / "song.wav"
            path.parent.mkdir(parents=True)
            soundfile.write(path, rng.normal(0.0, 0.1, 4 * RATE_HZ), RATE_HZ)
    for ending in ("wav", "mp3"):
        soundfile.write(folder / f"song.{ending}", rng.normal(0.0, 0.1, 4 * RATE_HZ), RATE_HZ)


def measure(folder: Path, checkouts: Sequence[Path], *, repetitions: int) -> dict[str, list[list[dict[str, Any]]]]:
    """Returns the results of each command: of each checkout, all repetitions."""
    figures: dict[str, list[list[dict[str, Any]]]] = {title: [[] for _ in checkouts] for title in COMMANDS}
    for repetition in range(repetitions):
        for title, words in COMMANDS.items():
            print(f"{repetition + 1}/{repetitions} {title}", file=sys.stderr, flush=True)
            for place, checkout in enumerate(checkouts):
                with tempfile.TemporaryDirectory(dir=folder) as out:
                    command = words.replace("OUT", f"{out}/out").split()
                    figures[title][place].append(run_command(folder, command, checkout=checkout))
    return figures


def run_command(folder: Path, words: Sequence[str], *, checkout: Path, is_whole: bool = False) -> dict[str, Any]:
    """Runs a command in the folder, and returns what subjects/start.py measures; nothing if it runs as a whole."""
    result_path = folder / "result.json"
    start = [sys.executable, "-W", "ignore"]
    start += ["-m", "configs.cli"] if is_whole else [str(SUBJECT_FILE), str(result_path)]
    environment = {**os.environ, "PYTHONPATH": str(checkout), "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(  # noqa: S603
        [*start, *words], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise SystemExit(f"beamtune {' '.join(words)} failed:\n{done.stderr}")
    return {} if is_whole else json.loads(result_path.read_text())


def report(figures: Mapping[str, Sequence[Sequence[Mapping[str, Any]]]], *, num_checkouts: int) -> None:
    """Prints the medians and, of the last checkout, the libraries."""
    console = make_console(sys.stdout)
    table = Table(box=box.ROUNDED if console.is_terminal else None)
    table.add_column("command")
    for prefix in ["before: ", ""][-num_checkouts:]:
        table.add_column(f"{prefix}s", justify="right")
        table.add_column(f"{prefix}CPU s", justify="right")
    table.add_column("imports")
    for title, checkouts in figures.items():
        medians = [
            f"{statistics.median(result[key] for result in results):.2f}"
            for results in checkouts
            for key in ("wall_s", "cpu_s")
        ]
        table.add_row(title, *medians, " ".join(checkouts[-1][-1]["heavy"]))
    console.print(table)


if __name__ == "__main__":
    main()
