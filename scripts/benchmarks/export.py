"""An export against its run: probabilities on real clips; for each format size, time to load and of a clip, memory.

    scripts/bench export RUN EXPORT [MUSIC]

EXPORT is what `beamtune export RUN output_dir=EXPORT` has written. Both decode the files of MUSIC with one decoder.
Times are processor time of one core, of clips that are decoded already, without the first one, which traces the graph.
TensorFlow Lite and ONNX take segments: their times are without resampling. An hour is computed by what takes whole
tracks: "peak" is all memory of the process, "for the hour" what it takes beside its samples and what a clip takes.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from beam_pipelines.common.tables import TextTable
from beam_pipelines.common.terminal import make_console
from trainer.export.config import KERAS, SAVED_MODEL

REAL_MUSIC = Path(__file__).resolve().parents[3] / "shared" / "data" / "magnatune4"
NUM_TIMED_CLIPS = 20
FROM_RATES_HZ, TO_RATES_HZ = (44_100, 48_000, 22_050, 96_000, 192_000, 44_096), (16_000, 22_050)
BANDS = (0.02, 0.5, 0.9, 0.95, 0.98, 1.0)
HOUR_S, HOUR_RATE_HZ = 3600, 44_100
SIGNATURE_FILE = "signature.json"  # its module imports TensorFlow
NOT_MEASURED = "–"


def main() -> None:
    """Prints a table of differences, and one of times; each model runs in a process of its own."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench export", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", help="a finished run")
    parser.add_argument("export", help="an export of it")
    parser.add_argument("music", nargs="?", default=str(REAL_MUSIC), help="mp3 files, in folders below it")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    part = arguments.part
    if part is None:
        measure_all(arguments)
    elif part == "parity":
        measure_parity(arguments)
    elif part == "times":
        measure_times(arguments.export, arguments.music)
    elif part == "resampling":
        measure_resampling()
    elif part == "hour":
        measure_hour(arguments.export)
    elif part == KERAS:
        measure_keras(arguments.export)
    else:
        measure_segments(part, arguments.run, arguments.export, arguments.music)


def measure_all(arguments: argparse.Namespace) -> None:
    run, export, music = arguments.run, arguments.export, arguments.music
    signature = json.loads((Path(export) / SIGNATURE_FILE).read_text(encoding="utf-8"))
    paths = {name: Path(export) / content["path"] for name, content in signature["formats"].items()}
    rows = [measure_format("predict", "times", run, run, music)]
    if SAVED_MODEL in paths:
        for title, differences in run_part("resampling", run, export, music).items():
            print(f"{title}: {differences}")
        parity = run_part("parity", run, export, music)
        print(
            f"{parity['clips']} clips: the largest difference of a probability is {parity['largest']:.1e}, the mean of "
            f"the largest of each clip {parity['mean']:.1e}; the same top genre for {parity['same_top']}"
        )
    for name, path in paths.items():
        part, model = ("times", export) if name == SAVED_MODEL else (name, str(path))
        rows.append(measure_format(name, part, run, model, music, size_mb=f"{size_bytes(path) / 1e6:.2f}"))
    console = make_console(sys.stdout)
    table = TextTable(
        "processor time of one core",
        *("format", "MB", "ms to load", "ms for 30 s", "s for an hour", "peak MiB", "MiB for the hour"),
    )
    for row in rows:
        table.add_row(*row)
    console.print(table)


def measure_format(
    title: str, part: str, run: str, model: str, music: str, *, size_mb: str = NOT_MEASURED
) -> list[str]:
    """Returns the row of a format. An hour is computed by those that take tracks."""
    times = run_part(part, run, model, music)
    row = [title, size_mb, f"{1000 * times['load_s']:.0f}", f"{times['ms']:.0f}" if "ms" in times else NOT_MEASURED]
    if part != "times":
        return [*row, *[NOT_MEASURED] * 3]
    hour = run_part("hour", run, model, music)
    return [*row, f"{hour['cpu_s']:.1f}", f"{hour['peak_mib']:.0f}", f"{hour['more_mib']:.0f}"]


def size_bytes(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


def run_part(part: str, run: str, export: str, music: str) -> dict[str, Any]:
    """Runs a part in a new process; returns what it prints as JSON."""
    command = [sys.executable, "-W", "ignore", __file__, run, export, music, "--part", part]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)  # noqa: S603
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def measure_parity(arguments: argparse.Namespace) -> None:
    from trainer.evaluation.open_model import open_model

    run, export = (open_model(path, batch_size=32) for path in (arguments.run, arguments.export))
    differences, num_same = [], 0
    for path in sorted(Path(arguments.music).glob("**/*.mp3")):
        expected, found = (model.score(str(path)).mean for model in (run, export))
        differences.append(float(np.abs(found - expected).max()))
        num_same += int(found.argmax() == expected.argmax())
    print(
        json.dumps(
            {
                "clips": len(differences),
                "largest": max(differences),
                "mean": float(np.mean(differences)),
                "same_top": num_same,
            }
        )
    )


def measure_times(path: str, music: str) -> None:
    on_one_core()
    from trainer.evaluation.open_model import open_model

    started_s = time.process_time()
    model = open_model(path, batch_size=32)
    load_s = time.process_time() - started_s
    times_s = []
    for samples, rate_hz in timed_clips(music):
        started_s = time.process_time()
        model.score_samples(samples, sample_rate_hz=rate_hz)
        times_s.append(time.process_time() - started_s)
    print(json.dumps({"load_s": load_s, "ms": 1000 * np.median(times_s[1:])}))


def measure_segments(name: str, run: str, path: str, music: str) -> None:
    """Measures a format of one segment on all segments of a clip; the child process inherits the core."""
    on_one_core()
    from trainer.export.reference_clips import ReferenceClip
    from trainer.export.segment_formats import run_segment_format
    from trainer.export.source import open_source

    clips = [ReferenceClip("", samples.mean(axis=1), rate_hz) for samples, rate_hz in timed_clips(music)]
    found = run_segment_format(name, path, clips, source=open_source(run))
    print(json.dumps({"load_s": found.load_s, "ms": found.ms_per_clip}))


def measure_keras(path: str) -> None:
    """Measures how long the network takes to load; the rest is that of predict."""
    on_one_core()
    import keras

    import trainer.models.layers  # noqa: F401 - registers layers of the network

    started_s = time.process_time()
    keras.saving.load_model(path, safe_mode=True)
    print(json.dumps({"load_s": time.process_time() - started_s}))


def timed_clips(music: str) -> Iterator[tuple[Any, int]]:
    """Yields (samples, channels) float32 and the rate of a few files."""
    for file in sorted(Path(music).glob("**/*.mp3"))[: NUM_TIMED_CLIPS + 1]:
        yield soundfile.read(file, dtype="float32", always_2d=True)


def measure_resampling() -> None:
    """Compares white noise with soxr's, by bands of the lower rate."""
    import soxr
    import tensorflow as tf

    from trainer.export.resampling import resample

    @tf.function(autograph=False, reduce_retracing=True)
    def to(samples: Any, from_hz: Any, count: Any, to_hz: int) -> Any:
        return resample(samples, from_hz=from_hz, to_hz=to_hz, start=0, count=count)

    found = {}
    for to_hz in TO_RATES_HZ:
        for from_hz in FROM_RATES_HZ:
            noise = np.random.default_rng(0).normal(0, 0.1, 3 * from_hz).astype(np.float32)
            expected = soxr.resample(noise, from_hz, to_hz, quality="HQ")
            got = to(noise[None], tf.constant(from_hz), tf.constant(len(expected)), to_hz).numpy()[0]
            window = np.hanning(2 * to_hz)
            middle = slice(to_hz // 2, to_hz // 2 + 2 * to_hz)
            right, wrong = (np.abs(np.fft.rfft(x[middle] * window)) ** 2 for x in (expected, got - expected))
            half_rate = min(from_hz, to_hz)  # of bins of half a hertz
            bands = [(np.array(BANDS[i : i + 2]) * half_rate).astype(int) for i in range(len(BANDS) - 1)]
            shares = [wrong[low:high].sum() / right[low:high].sum() for low, high in bands]
            found[f"{from_hz} to {to_hz} Hz"] = ", ".join(
                f"{low}–{high} of half the rate {10 * np.log10(share + 1e-30):.0f} dB"
                for low, high, share in zip(BANDS, BANDS[1:], shares, strict=False)
            )
    print(json.dumps(found))


def measure_hour(path: str) -> None:
    on_one_core()
    import tensorflow as tf

    from trainer.evaluation.exported_model import ExportedModel
    from trainer.evaluation.open_model import open_model

    model = open_model(path, batch_size=32)
    rng = np.random.default_rng(0)
    samples = rng.normal(0, 0.1, (30 * HOUR_RATE_HZ, 1)).astype(np.float32)
    model.score_samples(samples, sample_rate_hz=HOUR_RATE_HZ)
    hour = np.tile(samples, (HOUR_S // 30, 1))
    if isinstance(model, ExportedModel):
        # The whole hour in one call of the graph, as other software calls it.
        waveform = tf.constant(hour.T)
        before_mib, started_s = peak_mib(), time.process_time()
        model._compute_segments(waveform=waveform, sample_rate_hz=tf.constant(HOUR_RATE_HZ))
    else:
        before_mib, started_s = peak_mib(), time.process_time()
        model.score_samples(hour, sample_rate_hz=HOUR_RATE_HZ)
    found = {"cpu_s": time.process_time() - started_s, "peak_mib": peak_mib(), "more_mib": peak_mib() - before_mib}
    print(json.dumps(found))


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def on_one_core() -> None:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


if __name__ == "__main__":
    main()
