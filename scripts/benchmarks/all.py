"""Ratios of what a user would do otherwise to what beamtune does: above 1, beamtune needs less.

    scripts/bench all --quick --json docs/benchmarks/ratios.json     # then: scripts/bench tables
    scripts/bench all --quick --check docs/benchmarks/ratios.json    # exits with 1 if one has fallen, 2 for a bad file

CPU seconds of small data, except where "wall" is said: composed music, random log-mels. The subjects of a ratio take
turns, and the lowest figure of each counts, which reduces the effect of other load. With --check, only the ratios of
CPU seconds that are in .ci/run are measured; those that are more than a quarter lower than in the file are measured a
second time, and the better figure counts.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NoReturn

import predict
import start
from figures.record import describe_machine, json_file, write_json
from prepare import find_clips_in, link_clips
from rich import box
from rich.table import Table
from train import write_data

from beam_pipelines.common.python_process import python_command
from beam_pipelines.common.terminal import make_console

REPOSITORY = Path(__file__).resolve().parents[2]
SUBJECT_FILE = REPOSITORY / "scripts/benchmarks/subjects/ratios.py"
# Below this share of the earlier ratio, it has fallen. Kinds of processors differ in what they are fast at.
LEAST_SHARE, LEAST_SHARE_OF_OTHER_CPU = 0.75, 0.5


@dataclass(frozen=True)
class Ratio:
    """A ratio of the figures of two subjects.

    Attributes:
        title: What is compared.
        group: What is measured in turn.
        reference: The subject whose figure is divided by that of beamtune.
        subject: The subject of beamtune.
        is_checked: Whether --check measures it.
    """

    title: str
    group: str
    reference: str
    subject: str
    is_checked: bool = True


RATIOS = {
    "decoding": Ratio("decoding by libsndfile alone / `prepare`, log-mels and MFCCs", "audio", "decode", "prepare"),
    "librosa": Ratio("a script of librosa calls / `prepare`", "audio", "librosa", "prepare"),
    "workers": Ratio("wall: `prepare`, 1 worker / 2 workers", "audio", "prepare_1_wall", "prepare_2_wall", False),
    "fit": Ratio("Keras' `fit` / our training loop, a step", "training", "fit", "loop"),
    "input": Ratio("reading by tf.data alone / our training batches", "reading", "plain_input", "input"),
    "predict": Ratio("a loop of librosa and Keras / `predict`, a file", "predict", "loop", "predict", False),
    "start_predict": Ratio("`import tensorflow` / the whole of `predict`", "start", "import", "predict, an mp3"),
    "start_train": Ratio(
        "`import tensorflow` / `train` to its first step", "start", "import", "train, to the first step", False
    ),
    "start_error": Ratio("`import tensorflow` / a mistake in `train`", "start", "import", "train, no such data"),
}


@dataclass(frozen=True)
class Sizes:
    """The sizes of the measurements.

    Attributes:
        clips: Clips of 20 s that are decoded.
        files: Files that are predicted; the loop predicts half of them.
        rounds: Rounds of each group.
    """

    clips: int
    files: int
    rounds: int


FULL, QUICK = Sizes(clips=180, files=120, rounds=7), Sizes(clips=60, files=40, rounds=3)
# The figures of each subject in all rounds.
Figures = Mapping[str, Sequence[float]]


def main() -> int:
    """Measures, and prints, writes or checks the ratios."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench all", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="small sizes: in minutes")
    ends = parser.add_mutually_exclusive_group()  # with --check some ratios are not measured
    ends.add_argument("--json", type=json_file, help="write the figures to this file")
    ends.add_argument("--check", type=Path, help="compare with this file")
    arguments = parser.parse_args()
    cpu, earlier = (None, None) if arguments.check is None else read_earlier(arguments.check)
    is_same_cpu = cpu == describe_machine()["machine"]["cpu"]
    least_share = LEAST_SHARE if is_same_cpu else LEAST_SHARE_OF_OTHER_CPU
    sizes = QUICK if arguments.quick else FULL
    again: Mapping[str, float] = {}
    names = [name for name, ratio in RATIOS.items() if earlier is None or ratio.is_checked]
    with tempfile.TemporaryDirectory(prefix="beamtune-bench-") as folder:
        set_up(Path(folder), names, sizes=sizes)
        figures = measure(Path(folder), names, sizes=sizes)
        fallen = [] if earlier is None else find_fallen(ratios_of(figures, names), earlier, least_share=least_share)
        if fallen:
            print(f"measured again, because lower than before: {', '.join(fallen)}", file=sys.stderr)
            again = ratios_of(measure(Path(folder), fallen, sizes=sizes), fallen)
    values = {name: max(value, again.get(name, 0.0)) for name, value in ratios_of(figures, names).items()}
    fallen = [] if earlier is None else find_fallen(values, earlier, least_share=least_share)
    report(values, earlier)
    if arguments.json is not None:
        content = {
            **describe_machine(),
            "sizes": asdict(sizes),
            "titles": {name: RATIOS[name].title for name in values},
            "ratios": values,
            "figures": figures,
        }
        write_json(arguments.json, content)
    for name in fallen:
        print(f"{RATIOS[name].title}: {values[name]:.2f}, earlier {earlier[name]:.2f}", file=sys.stderr)
    return 1 if fallen else 0


def read_earlier(path: Path) -> tuple[str, dict[str, float]]:
    """Returns the processor and the ratios that `--json` has written to a file.

    Raises:
        SystemExit: The file is missing or damaged, or has other ratios than these.
    """
    again = "measure again with --json in place of --check"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        cpu, ratios = str(content["machine"]["cpu"]), {name: float(value) for name, value in content["ratios"].items()}
    except OSError as error:
        refuse(f"--check {path}: {error.strerror}")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        refuse(f"--check {path}: it is no file of --json ({error!r}): {again}")
    unknown = sorted(ratios.keys() - RATIOS.keys())
    missing = [name for name, ratio in RATIOS.items() if ratio.is_checked and name not in ratios]
    wrong = [name for name, value in ratios.items() if not (math.isfinite(value) and value > 0)]
    for names, problem in (
        (unknown, "unknown ratios"),
        (missing, "these ratios are missing"),
        (wrong, "no numbers above 0"),
    ):
        if names:
            refuse(f"--check {path}: {problem}: {', '.join(names)}: {again}")
    return cpu, ratios


def refuse(message: str) -> NoReturn:
    """Ends the process with a line. The status is not that of a ratio that has fallen."""
    print(message, file=sys.stderr)
    raise SystemExit(2)


def set_up(folder: Path, names: Collection[str], *, sizes: Sizes) -> None:
    """Writes what the groups of some ratios read."""
    groups = {RATIOS[name].group for name in names}
    if groups & {"audio", "predict"}:
        words = ["synthesize", f"dataset.root={folder / 'composed'}"]
        words += ["dataset.artists_per_genre=3", "dataset.tracks_per_artist=1"]
        subprocess.run(  # noqa: S603
            python_command("configs.cli:run", *words), check=True, cwd=REPOSITORY, stdout=subprocess.DEVNULL
        )
        link_clips(find_clips_in(folder / "composed"), folder / "linked", count=sizes.clips)
    if groups & {"training", "reading"}:
        write_data(folder / "log_mels", num_examples=1024)
    if groups & {"predict", "start"}:
        start.set_up(folder, start.SETUP[:2])


def measure(folder: Path, names: Collection[str], *, sizes: Sizes) -> dict[str, Figures]:
    """Returns the figures of the subjects of some ratios, by group."""
    figures: dict[str, Figures] = {}
    for group in dict.fromkeys(RATIOS[name].group for name in names):
        print(group, file=sys.stderr, flush=True)
        ratios = [RATIOS[name] for name in names if RATIOS[name].group == group]
        subjects = list(dict.fromkeys(name for ratio in ratios for name in (ratio.reference, ratio.subject)))
        if group == "predict":
            figures[group] = measure_predict(folder, sizes=sizes)
        elif group == "start":
            figures[group] = measure_start(folder, subjects, rounds=sizes.rounds)
        else:
            options = {"group": group, "subjects": subjects, "rounds": sizes.rounds, "folder": str(folder)}
            figures[group] = run_json([str(SUBJECT_FILE), json.dumps(options)])
    return figures


def measure_predict(folder: Path, *, sizes: Sizes) -> Figures:
    """Returns the CPU seconds of a file, without start-up."""
    music = {
        part: predict.link_files(str(folder / "composed"), Path(tempfile.mkdtemp(dir=folder)) / "files", size)
        for part, size in (("predict", sizes.files), ("loop", sizes.files // 2))
    }
    figures: dict[str, list[float]] = {part: [] for part in music}
    for _ in range(max(2, sizes.rounds // 2)):
        for part, path in music.items():
            found = predict.run_part(part, str(folder / "run"), path)
            figures[part].append(found["cpu_s"] / found["files"])
    return figures


def measure_start(folder: Path, titles: Sequence[str], *, rounds: int) -> Figures:
    """Returns the CPU seconds of whole processes."""
    figures: dict[str, list[float]] = {title: [] for title in titles}
    commands = [title for title in titles if title != "import"]
    for _ in range(rounds):
        script = "import time, tensorflow, json; print(json.dumps(time.process_time()))"
        figures["import"].append(run_json(["-c", script]))
        found = start.measure(folder, [REPOSITORY], repetitions=1, titles=commands)
        for title, [[result]] in found.items():
            figures[title].append(result["cpu_s"])
    return figures


def run_json(words: Sequence[str]) -> Any:
    """Runs Python, and returns what it prints on its last line. Several threads of BLAS would mostly wait."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(REPOSITORY),
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "OPENBLAS_NUM_THREADS": "1",
    }
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-W", "ignore", *words], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise SystemExit(f"{words} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def ratios_of(figures: Mapping[str, Figures], names: Collection[str]) -> dict[str, float]:
    """Returns the ratios of the lowest figures."""
    return {
        name: round(min(figures[ratio.group][ratio.reference]) / min(figures[ratio.group][ratio.subject]), 3)
        for name, ratio in RATIOS.items()
        if name in names
    }


def find_fallen(values: Mapping[str, float], earlier: Mapping[str, float], *, least_share: float) -> list[str]:
    """Returns the names of the ratios below this share of the earlier ones."""
    return [name for name, value in values.items() if value < least_share * earlier[name]]


def report(values: Mapping[str, float], earlier: Mapping[str, float] | None) -> None:
    """Prints the ratios."""
    console = make_console(sys.stdout)
    table = Table(box=box.ROUNDED if console.is_terminal else None)
    table.add_column("ratio")
    table.add_column("measured", justify="right")
    if earlier is not None:
        table.add_column("earlier", justify="right")
    for name, value in values.items():
        table.add_row(RATIOS[name].title, f"{value:.2f}", *([] if earlier is None else [f"{earlier[name]:.2f}"]))
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
