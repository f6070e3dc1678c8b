"""The measurements of `scripts/bench all` that share a process: CPU seconds of each round, as JSON on the last line.

python scripts/benchmarks/subjects/ratios.py '{"group": "audio", "rounds": 3, "folder": "…"}'

Imports, and the first call of each subject, are not timed. The subjects take turns, so that other load of the machine
concerns all of them.
"""

import contextlib
import json
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

# Returns the seconds of a unit of work.
Subject = Callable[[], float]


def cpu_s(work: Callable[[], object], *, clock: Callable[[], float] = time.process_time) -> float:
    """Returns the CPU seconds of this process, with all its threads, or the seconds of another clock."""
    started_s = clock()
    work()
    return clock() - started_s


def audio(folder: Path) -> Mapping[str, Subject]:
    """Decoding and features of the mp3s of a table."""
    from prepare import clip_paths, decode, notebook

    manifest = folder / "linked" / "tracks.csv"
    paths = clip_paths(manifest)

    def write(work: Callable[[Path], object]) -> Callable[[], None]:
        def run() -> None:
            with tempfile.TemporaryDirectory(dir=folder) as output:
                work(Path(output) / "output")

        return run

    def prepare(output: Path, *, workers: int) -> None:
        from configs import cli

        words = [
            *("prepare", "dataset=csv", f"dataset.path={manifest}", f"output_dir={output}"),
            *("features=[log_mel,mfcc]", f"runner.num_workers={workers}", "duplicates.mode=off"),
        ]
        if cli.main(words) != 0:
            raise SystemExit(f"beamtune {' '.join(words)} failed")

    def prepare_wall(workers: int) -> float:
        return cpu_s(write(lambda output: prepare(output, workers=workers)), clock=time.perf_counter)

    return {
        "decode": lambda: cpu_s(write(lambda output: decode(paths, output))),
        "librosa": lambda: cpu_s(write(lambda output: notebook(paths, output))),
        "prepare": lambda: cpu_s(write(lambda output: prepare(output, workers=1))),
        "prepare_1_wall": lambda: prepare_wall(1),
        "prepare_2_wall": lambda: prepare_wall(2),
    }


def training(folder: Path) -> Mapping[str, Subject]:
    """Training steps of our loop and of Keras: seconds of an example."""
    from subjects.train import examples_per_s, make_fit, make_loop

    runs = {"loop": make_loop(str(folder / "log_mels")), "fit": make_fit(str(folder / "log_mels"))}
    return {
        name: lambda run=run: 1 / examples_per_s(run, 10, clock=time.process_time)  # type: ignore[misc]
        for name, run in runs.items()
    }


def reading(folder: Path) -> Mapping[str, Subject]:
    """Reading of training examples, with one thread: seconds of an example."""
    from subjects.train import measure_input, measure_plain_input

    data_dir = str(folder / "log_mels")
    return {
        "input": lambda: 1 / measure_input(data_dir, num_batches=100, cache=False),
        "plain_input": lambda: 1 / measure_plain_input(data_dir, num_batches=100),
    }


GROUPS: Mapping[str, Callable[[Path], Mapping[str, Subject]]] = {
    "audio": audio,
    "training": training,
    "reading": reading,
}


def main() -> None:
    """Measures the chosen subjects of a group in turn."""
    options = json.loads(sys.argv[1])
    with contextlib.redirect_stdout(sys.stderr):
        subjects = GROUPS[options["group"]](Path(options["folder"]))
        chosen = {name: subject for name, subject in subjects.items() if name in options["subjects"]}
        for subject in chosen.values():
            subject()
        figures = {name: [] for name in chosen}  # type: dict[str, list[float]]
        for _ in range(options["rounds"]):
            for name, subject in chosen.items():
                figures[name].append(subject())
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
