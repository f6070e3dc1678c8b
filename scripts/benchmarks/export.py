"""An export against its run: probabilities on real clips, size, time to load, time of a clip, memory of an hour.

    scripts/bench export RUN EXPORT [MUSIC]

EXPORT is what `beamtune export RUN output_dir=EXPORT` has written. Both decode the files of MUSIC with one decoder.
Times are processor time of one core, of clips that are decoded already; the first clip, which traces the graph, is left
out.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

REAL_MUSIC = Path(__file__).resolve().parents[3] / "shared" / "data" / "magnatune4"
NUM_TIMED_CLIPS = 20
FROM_RATES_HZ, TO_RATES_HZ = (44_100, 48_000, 22_050, 96_000, 192_000, 44_096), (16_000, 22_050)
BANDS = (0.02, 0.5, 0.9, 0.95, 0.98, 1.0)
HOUR_S, HOUR_RATE_HZ = 3600, 44_100


def main() -> None:
    """Prints a table of differences, and one of times; each model runs in a process of its own."""
    parser = argparse.ArgumentParser(prog="scripts/bench export", description=__doc__)
    parser.add_argument("run", help="a finished run")
    parser.add_argument("export", help="an export of it")
    parser.add_argument("music", nargs="?", default=str(REAL_MUSIC), help="mp3 files, in folders below it")
    parser.add_argument("--part", choices=("parity", "times", "hour", "resampling"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.part is None:
        measure_all(arguments)
    elif arguments.part == "parity":
        measure_parity(arguments)
    elif arguments.part == "times":
        measure_times(arguments.export, arguments.music)
    elif arguments.part == "resampling":
        measure_resampling()
    else:
        measure_hour(arguments.export)


def measure_all(arguments: argparse.Namespace) -> None:
    for title, differences in run_part("resampling", arguments.run, arguments.export, arguments.music).items():
        print(f"{title}: {differences}")
    parity = run_part("parity", arguments.run, arguments.export, arguments.music)
    print(
        f"{parity['clips']} clips: the largest difference of a probability is {parity['largest']:.1e}, the mean of the "
        f"largest of each clip {parity['mean']:.1e}; the same top genre for {parity['same_top']}"
    )
    folder = Path(arguments.export) / "saved_model"
    size_bytes = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    print(f"the saved model has {size_bytes / 1e6:.2f} MB")
    for title, model in (("predict", arguments.run), ("saved model", arguments.export)):
        times = run_part("times", arguments.run, model, arguments.music)
        hour = run_part("hour", arguments.run, model, arguments.music)
        print(
            f"{title}: loaded in {times['load_s']:.2f} s, {times['ms']:.0f} ms of one core for a clip of "
            f"{times['duration_s']:.0f} s; an hour takes {hour['cpu_s']:.1f} s, and {hour['more_mib']:.0f} MiB "
            "beside its samples and what a clip takes"
        )


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
    times_s, durations_s = [], []
    for file in sorted(Path(music).glob("**/*.mp3"))[: NUM_TIMED_CLIPS + 1]:
        samples, rate_hz = soundfile.read(file, dtype="float32", always_2d=True)
        started_s = time.process_time()
        model.score_samples(samples, sample_rate_hz=rate_hz)
        times_s.append(time.process_time() - started_s)
        durations_s.append(len(samples) / rate_hz)
    print(
        json.dumps({"load_s": load_s, "ms": 1000 * np.median(times_s[1:]), "duration_s": float(np.median(durations_s))})
    )


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
    print(json.dumps({"cpu_s": time.process_time() - started_s, "more_mib": peak_mib() - before_mib}))


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def on_one_core() -> None:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


if __name__ == "__main__":
    main()
