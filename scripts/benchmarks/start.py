"""The start-up of commands: seconds, CPU seconds, the first line, and large libraries, on the smallest data.

    scripts/bench start
    scripts/bench start --against ../beamtune-0.1.0 --repetitions 5

`train` is measured up to its first step, `tensorboard` until it listens. The last rows are mistakes of a user. Each
measurement is a process of its own in a terminal; its first line is timed in CPU seconds, to 0.01.
With `--against`, both checkouts take turns. The median of all repetitions counts.
"""

import argparse
import json
import os
import pty
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from figures.record import describe_run, json_file, write_json
from rich import box
from rich.table import Table

from beam_pipelines.common.terminal import make_console

REPOSITORY = Path(__file__).resolve().parents[2]
SUBJECT_FILE = REPOSITORY / "scripts/benchmarks/subjects/start.py"
PACKAGES = ("tensorflow", "keras", "apache-beam", "hydra-core", "tensorboard")
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
    "export": "export run output_dir=OUT",
    "compare": "compare run",
    "runs": "runs .",
    "report": "report run output_dir=OUT",
    "tune --dry-run": "tune data_dir=data search_dir=OUT --dry-run",
    "tune status": "tune status search",
    "tensorboard": "tensorboard run port=0",
    "launch --dry-run": "launch local train data_dir=data --dry-run",
}
MISTAKES = {
    "train, no such data": "train data_dir=nothing run_dir=OUT",
    "train, no such setting": "train data_dir=data run_dir=OUT epoch=3",
    "evaluate, no such run": "evaluate run_dir=nothing",
    "predict, no such run": "predict nothing song.mp3",
    "quick, no such music": "quick nothing output_dir=OUT",
    "report, no such run": "report nothing output_dir=OUT",
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
    parser.add_argument("--json", type=json_file, help="write all figures to this file too")
    arguments = parser.parse_args()
    if arguments.against is not None and not (arguments.against / "configs" / "cli.py").is_file():
        parser.error(f"--against {arguments.against} is no checkout of beamtune")
    checkouts = [REPOSITORY] if arguments.against is None else [arguments.against.resolve(), REPOSITORY]
    with tempfile.TemporaryDirectory(prefix="beamtune-bench-") as folder:
        set_up(Path(folder))
        figures = measure(Path(folder), checkouts, repetitions=arguments.repetitions)
    report(figures, num_checkouts=len(checkouts))
    write_json(arguments.json, {**describe_run(arguments, PACKAGES), "commands": figures})


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


def measure(
    folder: Path, checkouts: Sequence[Path], *, repetitions: int, titles: Sequence[str] = (*COMMANDS, *MISTAKES)
) -> dict[str, list[list[dict[str, Any]]]]:
    """Returns the results of each command: of each checkout, all repetitions."""
    figures: dict[str, list[list[dict[str, Any]]]] = {title: [[] for _ in checkouts] for title in titles}
    for repetition in range(repetitions):
        for title in titles:
            print(f"{repetition + 1}/{repetitions} {title}", file=sys.stderr, flush=True)
            for place, checkout in enumerate(checkouts):
                with tempfile.TemporaryDirectory(dir=folder) as out:
                    words = {**COMMANDS, **MISTAKES}[title].replace("OUT", f"{out}/out").split()
                    exit_code = 2 if title in MISTAKES else 0
                    figures[title][place].append(run_command(folder, words, checkout=checkout, exit_code=exit_code))
    return figures


def set_up(folder: Path, commands: Sequence[str] = SETUP) -> None:
    """Writes what the commands read."""
    write_music(folder)
    for words in commands:
        command = [sys.executable, "-W", "ignore", "-m", "configs.cli", *words.split()]
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "TF_CPP_MIN_LOG_LEVEL": "3"}
        done = subprocess.run(  # noqa: S603
            command, cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise SystemExit(f"beamtune {words} failed:\n{done.stderr}")


def run_command(folder: Path, words: Sequence[str], *, checkout: Path, exit_code: int) -> dict[str, Any]:
    """Runs a command in the folder, and returns what subjects/start.py measures, and `first_line_s`."""
    result_path = folder / "result.json"
    # A dumb terminal shows lines, but no bar that moves.
    environment = {**os.environ, "PYTHONPATH": str(checkout), "TF_CPP_MIN_LOG_LEVEL": "3", "TERM": "dumb"}
    command = [sys.executable, "-W", "ignore", str(SUBJECT_FILE), str(result_path), *words]
    terminal, output = pty.openpty()
    with subprocess.Popen(  # noqa: S603
        command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
    ) as process:
        os.close(output)
        shown, first_line_s = read_terminal(terminal, process.pid)
    os.close(terminal)
    result: dict[str, Any] = json.loads(result_path.read_text())
    if result["exit_code"] != exit_code:
        raise SystemExit(f"beamtune {' '.join(words)} failed:\n{shown}")
    return {**result, "first_line_s": first_line_s if shown else result["cpu_s"]}


def read_terminal(terminal: int, pid: int) -> tuple[str, float]:
    """Returns what a process prints, and its CPU seconds when it printed the first line."""
    shown, first_line_s = b"", 0.0
    with suppress(OSError):  # Linux: the process has closed the terminal
        while block := os.read(terminal, 1 << 16):
            if not shown:
                first_line_s = cpu_s_of(pid)
            shown += block
    return shown.decode("utf-8", "replace"), first_line_s


def cpu_s_of(pid: int) -> float:
    """Returns the CPU seconds of a running process, of all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def report(figures: Mapping[str, Sequence[Sequence[Mapping[str, Any]]]], *, num_checkouts: int) -> None:
    """Prints the medians and, of the last checkout, the libraries."""
    console = make_console(sys.stdout)
    table = Table(box=box.ROUNDED if console.is_terminal else None)
    table.add_column("command")
    for prefix in ["before: ", ""][-num_checkouts:]:
        table.add_column(f"{prefix}s", justify="right")
        table.add_column(f"{prefix}CPU s", justify="right")
        table.add_column(f"{prefix}first line, CPU s", justify="right")
    table.add_column("imports")
    for title, checkouts in figures.items():
        medians = [
            f"{statistics.median(result[key] for result in results):.2f}"
            for results in checkouts
            for key in ("wall_s", "cpu_s", "first_line_s")
        ]
        table.add_row(title, *medians, " ".join(checkouts[-1][-1]["heavy"]))
    console.print(table)


if __name__ == "__main__":
    main()
