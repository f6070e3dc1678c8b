"""The cost of `beamtune prepare` against bare decoding, a librosa script, and a pipeline that shuffles features.

    scripts/bench prepare --json docs/benchmarks/prepare.json     # then: scripts/bench tables
    scripts/bench prepare --quick

Each measurement is a separate process, at two sizes; the larger size repeats clips through links. The slope between
the sizes is the cost of a minute of audio, the rest is start-up. Subjects alternate, and the minimum over repetitions
counts, which reduces the effect of other load. Decoding in several processes at once, which share nothing, shows how
well the machine scales.
"""

import argparse
import csv
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from figures.audio_tables import prepare_table
from figures.record import Target, describe_run, json_file, write_json

from beam_pipelines.common.python_process import python_command

# Large packages are imported in the functions that use them: Linux counts the memory of the parent at the time of the
# fork in the peak memory of a child process.

REPOSITORY = Path(__file__).resolve().parents[2]
REAL_MUSIC = REPOSITORY.parent / "shared" / "data" / "magnatune4"
RATE_HZ = 16_000
SEGMENT_S = 3
NUM_CORES = os.cpu_count() or 1
PACKAGES = ("apache-beam", "numpy", "scipy", "librosa", "soundfile", "soxr")


@dataclass(frozen=True)
class Cost:
    """The CPU time of a process with its threads and children, its wall time and its peak memory."""

    cpu_s: float
    wall_s: float
    peak_mb: float


@dataclass(frozen=True)
class Sizes:
    """The sizes of the measurements.

    Attributes:
        clips: Clips at the smaller size.
        times: The factor from the smaller to the larger size.
        repetitions: The repetitions of each measurement.
        memory_clips: Clips at the larger size of the measurement of memory; the smaller has a tenth.
    """

    clips: int
    times: int
    repetitions: int
    memory_clips: int


@dataclass(frozen=True)
class Steady:
    """The costs per minute of audio, the constant costs, and the peak memory at both sizes."""

    cpu_ms_per_min: float
    wall_ms_per_min: float
    startup_cpu_s: float
    startup_wall_s: float
    peak_mb: tuple[float, float]


FULL = Sizes(clips=160, times=3, repetitions=3, memory_clips=2000)
QUICK = Sizes(clips=40, times=3, repetitions=1, memory_clips=400)


def prepare_command(
    *settings: str, workers: int, duplicates: str = "keep_together"
) -> Callable[[Path, Path], list[str]]:
    """Returns a function from a table of clips and an output directory to the command line of `beamtune prepare`."""

    def command(manifest: Path, output: Path) -> list[str]:
        words = [
            *("prepare", "dataset=csv", f"dataset.path={manifest}", f"output_dir={output}"),
            *("features=[log_mel,mfcc]", f"runner.num_workers={workers}", f"duplicates.mode={duplicates}"),
            *settings,
        ]
        return python_command("configs.cli:run", *words)

    return command


def own_command(subject: str) -> Callable[[Path, Path], list[str]]:
    """Returns a function from a table of clips and an output path to the command line of a subject of this file."""
    return lambda manifest, output: [
        sys.executable,
        "-W",
        "ignore",
        __file__,
        "--run",
        subject,
        str(manifest),
        str(output),
    ]


def one_blas_thread(command: Callable[[Path, Path], list[str]]) -> Callable[[Path, Path], list[str]]:
    """Limits OpenBLAS to one thread: several threads mostly wait, and their waiting counts as CPU time."""
    return lambda manifest, output: ["env", "OPENBLAS_NUM_THREADS=1", *command(manifest, output)]


OFF, BLAS = ", `duplicates.mode=off`", ", 1 BLAS thread"
FLOOR, ONE, ALL = "bare decode", "`prepare`, 1 worker", f"`prepare`, {NUM_CORES} workers"
FLOOR_ALL = f"bare decode, {NUM_CORES} processes"
NOTEBOOK, SHUFFLE = "a script of librosa calls", "Map(featurise), WriteToTFRecord"
SUBJECTS: Mapping[str, Callable[[Path, Path], list[str]]] = {
    FLOOR: own_command("decode"),
    FLOOR_ALL: own_command("decode_at_once"),
    ONE: prepare_command(workers=1),
    ALL: prepare_command(workers=NUM_CORES),
    ONE + BLAS: one_blas_thread(prepare_command(workers=1)),
    ONE + OFF: prepare_command(workers=1, duplicates="off"),
    ALL + OFF: prepare_command(workers=NUM_CORES, duplicates="off"),
    NOTEBOOK: own_command("notebook"),
    NOTEBOOK + BLAS: one_blas_thread(own_command("notebook")),
    SHUFFLE: own_command("shuffle"),
}


def main() -> None:
    """Runs the benchmark, prints the tables and optionally writes the figures to a file."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench prepare", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="small sizes, once each: in minutes")
    parser.add_argument("--repetitions", type=int, help="how often each measurement is made")
    parser.add_argument("--json", type=json_file, help="write the figures to this file too")
    parser.add_argument("--run", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run is not None:
        subject, manifest, output = arguments.run
        OWN_SUBJECTS[subject](clip_paths(Path(manifest)), Path(output))
        return
    sizes = QUICK if arguments.quick else FULL
    if arguments.repetitions is not None:
        sizes = Sizes(**{**asdict(sizes), "repetitions": arguments.repetitions})
    with tempfile.TemporaryDirectory(prefix="beamtune-bench-") as folder:
        content = {**describe_run(arguments, PACKAGES), **run(Path(folder), sizes)}
    write_json(arguments.json, content)
    print(prepare_table(content), end="")


def run(folder: Path, sizes: Sizes) -> dict[str, object]:
    """Makes all measurements."""
    originals = find_clips(folder)
    manifests = [link_clips(originals, folder / f"size{n}", count=sizes.clips * n) for n in (1, sizes.times)]
    minutes = [minutes_of(manifest) for manifest in manifests]
    runs: dict[str, list[list[Cost]]] = {name: [[], []] for name in SUBJECTS}
    for repetition in range(sizes.repetitions):
        for name, command in SUBJECTS.items():
            print(f"{repetition + 1}/{sizes.repetitions} {name}", file=sys.stderr, flush=True)
            for costs, manifest in zip(runs[name], manifests, strict=True):
                costs.append(measure(command, manifest))
    steady = {name: steady_state(small, large, minutes=minutes) for name, (small, large) in runs.items()}
    memory_mb = {}
    for count in (sizes.memory_clips // 10, sizes.memory_clips):
        print(f"memory at {count} clips", file=sys.stderr, flush=True)
        manifest = link_clips(originals, folder / f"memory{count}", count=count)
        memory_mb[count] = measure(SUBJECTS[ALL], manifest).peak_mb
    return {
        "sizes": asdict(sizes),
        "minutes": minutes,
        "runs": {name: [[asdict(cost) for cost in costs] for costs in both] for name, both in runs.items()},
        "steady": {name: asdict(figure) for name, figure in steady.items()},
        "memory_mb": memory_mb,
        "targets": [asdict(target) for target in targets(steady, memory_mb)],
    }


def find_clips(folder: Path) -> list[dict[str, str]]:
    """Returns path, genre and artist of the real music if it is present, otherwise of newly composed music."""
    root = REAL_MUSIC
    if not root.is_dir():
        root = folder / "music"
        words = ["synthesize", f"dataset.root={root}", "dataset.duration_s=30", "dataset.tracks_per_artist=4"]
        subprocess.run(python_command("configs.cli:run", *words), check=True, cwd=REPOSITORY)  # noqa: S603
    return find_clips_in(root)


def find_clips_in(root: Path) -> list[dict[str, str]]:
    """Returns path, genre and artist of the clips in the table of a folder."""
    with open(root / "tracks.csv", encoding="utf-8", newline="") as file:
        rows = [{**row, "path": str(root / row["path"])} for row in csv.DictReader(file)]
    # Genres alternate, whatever the order of the table.
    number: dict[str, int] = {}
    for row in rows:
        number[row["genre"]] = number.get(row["genre"], 0) + 1
        row["order"] = f"{number[row['genre']]:06d} {row['genre']}"
    return sorted(rows, key=lambda row: row["order"])


def link_clips(originals: Sequence[Mapping[str, str]], folder: Path, *, count: int) -> Path:
    """Creates links to clips, repeating the clips as needed; returns the path of their table.

    The links keep the clip's artist, so that no recording has to be moved to another split.
    """
    folder.mkdir()
    manifest = folder / "tracks.csv"
    with open(manifest, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "genre", "artist"])
        for index in range(count):
            original = originals[index % len(originals)]
            name = f"{index:06d}.mp3"
            (folder / name).symlink_to(original["path"])
            writer.writerow([name, original["genre"], original["artist"]])
    return manifest


def clip_paths(manifest: Path) -> list[str]:
    """Returns the paths of the clips in a table."""
    with open(manifest, encoding="utf-8", newline="") as file:
        return [str(manifest.parent / row["path"]) for row in csv.DictReader(file)]


def minutes_of(manifest: Path) -> float:
    """Returns the length of the audio in minutes, and reads all files into the page cache."""
    command = own_command("decode")(manifest, manifest.parent)
    result = subprocess.run(command, check=True, capture_output=True, text=True, cwd=REPOSITORY)  # noqa: S603
    return float(result.stdout) / 60


def measure(command: Callable[[Path, Path], list[str]], manifest: Path) -> Cost:
    """Runs a command and returns its cost. Its output is deleted."""
    with tempfile.TemporaryDirectory(dir=manifest.parent.parent) as folder, tempfile.TemporaryFile() as log:
        started_s = time.perf_counter()
        words = command(manifest, Path(folder) / "output")
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=log, cwd=REPOSITORY)  # noqa: S603
        _, status, usage = os.wait4(process.pid, 0)
        wall_s = time.perf_counter() - started_s
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            log.seek(0)
            raise SystemExit(f"{words} failed:\n{log.read().decode()}")
    return Cost(cpu_s=usage.ru_utime + usage.ru_stime, wall_s=wall_s, peak_mb=usage.ru_maxrss * 1024 / 1e6)


def steady_state(small: Sequence[Cost], large: Sequence[Cost], *, minutes: Sequence[float]) -> Steady:
    """Fits a line to the minimum costs at two sizes: slope and intercept."""

    def line(costs_of: Callable[[Cost], float]) -> tuple[float, float]:
        low, high = min(map(costs_of, small)), min(map(costs_of, large))
        slope = (high - low) / (minutes[1] - minutes[0])
        return slope * 1e3, low - slope * minutes[0]

    cpu_ms_per_min, startup_cpu_s = line(lambda cost: cost.cpu_s)
    wall_ms_per_min, startup_wall_s = line(lambda cost: cost.wall_s)
    return Steady(
        cpu_ms_per_min=cpu_ms_per_min,
        wall_ms_per_min=wall_ms_per_min,
        startup_cpu_s=startup_cpu_s,
        startup_wall_s=startup_wall_s,
        peak_mb=(max(cost.peak_mb for cost in small), max(cost.peak_mb for cost in large)),
    )


def targets(steady: Mapping[str, Steady], memory_mb: Mapping[int, float]) -> list[Target]:
    """Returns the figures with their bounds. Times are per minute of audio, without start-up."""
    few, many = sorted(memory_mb)
    cpu = {name: figure.cpu_ms_per_min for name, figure in steady.items()}
    wall = {name: figure.wall_ms_per_min for name, figure in steady.items()}
    return [
        Target(f"CPU: {ONE} / {FLOOR}", cpu[ONE] / cpu[FLOOR], "≤ 1.3"),
        Target(f"CPU: {ONE}{BLAS} / {FLOOR}", cpu[ONE + BLAS] / cpu[FLOOR]),
        Target(f"CPU: {NOTEBOOK} / {ONE}", cpu[NOTEBOOK] / cpu[ONE], "≥ 2.8"),
        Target(f"CPU: {NOTEBOOK} / {ONE}, both{BLAS}", cpu[NOTEBOOK + BLAS] / cpu[ONE + BLAS]),
        Target(f"CPU: {SHUFFLE} / {ONE}{OFF}", cpu[SHUFFLE] / cpu[ONE + OFF]),
        Target(f"wall: {NUM_CORES} workers / 1 worker", wall[ALL] / wall[ONE], "≤ 0.53 on 2 cores"),
        Target(f"wall: {FLOOR_ALL} / 1 process", wall[FLOOR_ALL] / wall[FLOOR]),
        Target(f"wall: {NUM_CORES} workers / 1 worker{OFF}", wall[ALL + OFF] / wall[ONE + OFF]),
        Target(f"peak memory: {many:,} clips / {few:,} clips", memory_mb[many] / memory_mb[few], "≤ 1.15"),
        Target(f"peak memory at {many:,} clips, MB", memory_mb[many], "< 700"),
    ]


def decode(paths: Sequence[str], output: Path) -> None:
    """Decodes with libsndfile and discards the result, as a lower bound. Prints the seconds of audio."""
    print(sum(map(decode_file, paths)))


def decode_at_once(paths: Sequence[str], output: Path) -> None:
    """Does the same in as many processes as there are cores, each of which takes the next file."""
    with multiprocessing.Pool(NUM_CORES) as pool:
        print(sum(pool.imap_unordered(decode_file, paths)))


def decode_file(path: str) -> float:
    """Decodes a file and returns its seconds of audio."""
    import soundfile

    with soundfile.SoundFile(path) as file:
        return len(file.read(dtype="float32")) / float(file.samplerate)


def notebook(paths: Sequence[str], output: Path) -> None:
    """A typical notebook: librosa for everything, lists in memory, one file at the end."""
    import librosa
    import numpy as np

    log_mels, mfccs = [], []
    length = SEGMENT_S * RATE_HZ
    for path in paths:
        samples, rate_hz = librosa.load(path, sr=RATE_HZ)
        for start in range(0, len(samples) - length + 1, length):
            segment = samples[start : start + length]
            mel = librosa.feature.melspectrogram(y=segment, sr=rate_hz, n_fft=1024, hop_length=512, n_mels=128)
            log_mels.append(librosa.power_to_db(mel))
            mfccs.append(librosa.feature.mfcc(y=segment, sr=rate_hz, n_fft=1024, hop_length=512, n_mfcc=20))
    np.savez(output.with_suffix(".npz"), log_mel=np.array(log_mels), mfcc=np.array(mfccs))


def shuffle(paths: Sequence[str], output: Path) -> None:
    """A typical Beam pipeline, which shuffles the examples to the writers of the shards."""
    import apache_beam as beam
    from apache_beam.runners.portability.fn_api_runner import FnApiRunner

    from beam_pipelines.datasets.config import FolderDatasetConfig
    from beam_pipelines.features.config import LogMelConfig, MfccConfig
    from beam_pipelines.features.frontend import FrontEnd
    from beam_pipelines.prepare.config import PrepareConfig
    from beam_pipelines.records.example import encode_example

    config = PrepareConfig(
        output_dir=str(output),
        dataset=FolderDatasetConfig(root=str(output.with_name("music"))),
        features={"log_mel": LogMelConfig(), "mfcc": MfccConfig()},
    )
    front_end = FrontEnd(audio=config.audio, segment=config.segment, features=config.features)

    def featurise(path: str) -> list[bytes]:
        with open(path, "rb") as source:
            clip = front_end.process(source)
        return [
            encode_example(
                track_id=path, segment_index=segment.index, start_s=segment.start_s, label=0, features=segment.features
            )
            for segment in clip.segments
        ]

    with beam.Pipeline(runner=FnApiRunner()) as pipeline:
        _ = (
            pipeline
            | beam.Create(paths)
            | beam.FlatMap(featurise)
            | beam.io.WriteToTFRecord(str(output), file_name_suffix=".tfrecord")
        )


OWN_SUBJECTS: Mapping[str, Callable[[Sequence[str], Path], None]] = {
    "decode": decode,
    "decode_at_once": decode_at_once,
    "notebook": notebook,
    "shuffle": shuffle,
}


if __name__ == "__main__":
    main()
