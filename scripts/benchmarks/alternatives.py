"""`beamtune prepare` against what users would write in its place: log-mels of the same mp3s, from decoding to files.

    scripts/bench alternatives [MUSIC] --json docs/benchmarks/alternatives.json     # then: scripts/bench tables

MUSIC is a folder with tracks.csv. The packages of requirements/alternatives.in are installed into the folder that
--environment names, 6.5 GB with CUDA, which torchaudio and torchcodec load also where there is no GPU; torchcodec needs
FFmpeg's shared libraries, too (apt-get install ffmpeg); tensorflow-io is that of .venv-io, which scripts/test --lane io
makes. What does not install or does not run is listed with the reason. Each measurement is a command, at two sizes: the
difference is the cost of audio without start-up. Subjects take turns, and the lowest figure counts. Memory is that of
all processes together, with what they share counted once.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil
from figures.record import describe_machine, json_file
from prepare import REAL_MUSIC, REPOSITORY, find_clips_in, link_clips, minutes_of
from tables import alternatives_table

from beam_pipelines.common.python_process import python_command

SUBJECT_FILE = REPOSITORY / "scripts/benchmarks/subjects/alternatives.py"
REQUIREMENTS = REPOSITORY / "requirements/alternatives.in"
IO_PYTHON = REPOSITORY / ".venv-io/bin/python"
OURS, IO = ("apache-beam", "numpy", "scipy", "soundfile", "soxr"), ("tensorflow", "tensorflow-io", "numpy", "soundfile")
# From a table of clips and a new folder to a command line.
Command = Callable[[Path, Path], list[str]]


@dataclass(frozen=True)
class Cost:
    """What a command costs.

    Attributes:
        cpu_s: CPU seconds of its processes.
        wall_s: Seconds.
        peak_mb: The highest memory of its processes together, of samples every 0.2 s.
        disk_mb: The size of what it has written.
    """

    cpu_s: float
    wall_s: float
    peak_mb: float
    disk_mb: float


def main() -> None:
    """Installs the packages, measures, and prints a table."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench alternatives", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("music", nargs="?", type=Path, default=REAL_MUSIC, help="a folder with tracks.csv")
    parser.add_argument("--environment", type=Path, default=Path(tempfile.gettempdir()) / "alt-venv")
    parser.add_argument("--io-python", type=Path, default=IO_PYTHON, help="a Python with tensorflow-io")
    parser.add_argument("--clips", type=int, default=40, help="of the smaller size; the larger has three times as many")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--json", type=json_file, help="write the figures to this file")
    arguments = parser.parse_args()
    python = arguments.environment / "bin" / "python"
    not_installed = install(python)
    with tempfile.TemporaryDirectory(prefix="beamtune-bench-") as folder:
        originals = find_clips_in(arguments.music)
        # The first clips of each genre in the table are of one artist, who cannot be in several splits.
        random.Random(0).shuffle(originals)  # noqa: S311
        sizes = (arguments.clips, 3 * arguments.clips)
        manifests = [link_clips(originals, Path(folder) / str(size), count=size) for size in sizes]
        minutes = [minutes_of(manifest) for manifest in manifests]
        subjects = commands(python, arguments.io_python)
        figures, not_run = measure_all(subjects, manifests, rounds=arguments.rounds)
    content = {
        "machine": describe_machine()["machine"],
        "versions": {
            "beamtune": versions(Path(sys.executable), OURS),
            "the others": versions(python, [line.split("==")[0] for line in requirements()]) | ffmpeg_version(python),
            "tf.data": versions(arguments.io_python, IO) if arguments.io_python.exists() else {},
        },
        "clips": sizes,
        "minutes": minutes,
        "not_run": {**not_installed, **not_run},
        "figures": {name: [[asdict(cost) for cost in costs] for costs in both] for name, both in figures.items()},
    }
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(content, indent=2) + "\n")
    print(alternatives_table(content), end="")


def requirements() -> list[str]:
    """Returns the lines of the file of packages without its comments."""
    return [line for line in REQUIREMENTS.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]


def install(python: Path) -> dict[str, str]:
    """Installs the packages into an environment, which is made if it is not there; returns why some are missing."""
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(python.parents[1])], check=True)  # noqa: S603
    reasons = {}
    for line in requirements():
        words = [str(python), "-m", "pip", "install", "--quiet", "--constraint", str(REQUIREMENTS), line]
        done = subprocess.run(words, capture_output=True, text=True, check=False)  # noqa: S603
        if done.returncode != 0:
            reasons[line] = last_line(done.stderr)
    return reasons


def versions(python: Path, names: Sequence[str]) -> dict[str, str]:
    """Returns the versions of packages in the environment of a Python, which has pip."""
    words = [str(python), "-m", "pip", "list", "--format=json", "--disable-pip-version-check"]
    installed = json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout)  # noqa: S603
    return {one["name"]: one["version"] for one in installed if one["name"] in names}


def ffmpeg_version(python: Path) -> dict[str, str]:
    """Returns the version of the FFmpeg that torchcodec finds; nothing if it finds none, or is not installed."""
    words = [str(python), "-c", "import torchcodec; print(torchcodec.ffmpeg_major_version or '')"]
    found = subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip()  # noqa: S603
    return {"FFmpeg": found} if found else {}


def commands(python: Path, io_python: Path) -> Mapping[str, Command]:
    """Returns the command of each subject. The table divides by the figures of the first one."""

    def prepare(duplicates: str) -> Command:
        return lambda manifest, output: python_command(
            "configs.cli:run",
            *("prepare", "dataset=csv", f"dataset.path={manifest}", f"output_dir={output}", "features=[log_mel]"),
            *("runner.num_workers=2", f"duplicates.mode={duplicates}"),
        )

    def other(name: str, interpreter: Path = python) -> Command:
        words = [str(interpreter), "-W", "ignore", str(SUBJECT_FILE), name]
        return lambda manifest, output: [*words, str(manifest), str(output)]

    return {
        "`beamtune prepare`, 2 workers, `duplicates.mode=off`": prepare("off"),
        "`beamtune prepare`, 2 workers": prepare("keep_together"),
        "a librosa script, 1 process": other("librosa"),
        "torch DataLoader, 2 workers: soundfile, soxr, `torch.stft`": other("torch"),
        "torch DataLoader, 2 workers: soundfile, torchaudio": other("torchaudio"),
        "torch DataLoader, 2 workers: torchcodec, torchaudio": other("torchcodec"),
        "`datasets`, `map` with 2 processes: torchcodec, torchaudio": other("datasets"),
        "audioFlux, 1 process": other("audioflux"),
        "essentia, 1 process": other("essentia"),
        "tf.data, 2 parallel calls: soundfile, tensorflow-io, `tf.signal`": other("tfio", io_python),
    }


def measure_all(
    subjects: Mapping[str, Command], manifests: Sequence[Path], *, rounds: int
) -> tuple[dict[str, list[list[Cost]]], dict[str, str]]:
    """Returns the costs of each subject, of both sizes and all rounds, and why some subjects do not run.

    Raises:
        SystemExit: The first subject does not run, to which the ratios are. It needs enough artists of each genre.
    """
    figures: dict[str, list[list[Cost]]] = {name: [[] for _ in manifests] for name in subjects}
    reasons: dict[str, str] = {}
    for number in range(rounds):
        for name, command in subjects.items():
            if name in reasons:
                continue
            print(f"{number + 1}/{rounds} {name}", file=sys.stderr, flush=True)
            for costs, manifest in zip(figures[name], manifests, strict=True):
                cost = measure(command, manifest)
                if isinstance(cost, str) and name == next(iter(subjects)):
                    raise SystemExit(f"{name}: {cost}")
                if isinstance(cost, str):
                    reasons[name] = cost
                    del figures[name]
                    break
                costs.append(cost)
    return figures, reasons


def measure(command: Command, manifest: Path) -> Cost | str:
    """Runs a command, and returns its cost, or its last line if it fails.

    BLAS and OpenMP have one thread in each process, because more would mostly wait.
    """
    with tempfile.TemporaryDirectory(dir=manifest.parent.parent) as folder, tempfile.TemporaryFile() as log:
        words = command(manifest, Path(folder) / "output")
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
        started_s, peak_bytes = time.perf_counter(), 0
        try:
            process = subprocess.Popen(words, stdout=log, stderr=log, cwd=REPOSITORY, env=environment)  # noqa: S603
        except FileNotFoundError as error:
            return str(error)
        while not (ended := os.wait4(process.pid, os.WNOHANG))[0]:
            peak_bytes = max(peak_bytes, memory_bytes(process.pid))
            time.sleep(0.2)
        wall_s = time.perf_counter() - started_s
        process.returncode = os.waitstatus_to_exitcode(ended[1])
        if process.returncode != 0:
            log.seek(0)
            return last_line(log.read().decode(errors="replace"))
        size = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
    cpu_s = ended[2].ru_utime + ended[2].ru_stime
    return Cost(cpu_s=cpu_s, wall_s=wall_s, peak_mb=peak_bytes / 1e6, disk_mb=size / 1e6)


def memory_bytes(pid: int) -> int:
    """Returns the memory of a process and its children.

    Pages without a file count once, whoever of them share them; of mapped files, which are mostly libraries, those of
    the process with most count, also if a process of another program has mapped them, too.
    """
    anonymous, of_files = 0, 0
    with suppress(psutil.Error):
        root = psutil.Process(pid)
        for process in (root, *root.children(recursive=True)):
            with suppress(OSError):
                lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()[1:]
                kib = {name: int(value.split()[0]) for name, value in (line.split(":") for line in lines)}
                anonymous += kib["Pss_Anon"]
                of_files = max(of_files, kib["Rss"] - kib["Anonymous"])
    return (anonymous + of_files) * 1024


def last_line(text: str) -> str:
    """Returns the last line of what a command printed that is not empty."""
    return ([line.strip() for line in text.splitlines() if line.strip()] or ["no message"])[-1]


if __name__ == "__main__":
    main()
