"""The recall of acoustic fingerprints for copies of recordings, and their cost.

Every file of a folder is compared with a copy that was re-encoded, cut, made louder, mixed with noise …; the table has
the number of copies found, their bit error rates and the number of other pairs. A folder that contains duplicates has
other pairs in every row.
"""

import argparse
import io
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
import soxr
from rich import box
from rich.console import Console
from rich.table import Table

from beam_pipelines.audio.config import AudioConfig
from beam_pipelines.audio.load import load_audio
from beam_pipelines.common.terminal import make_console
from beam_pipelines.splits.acoustic_fingerprint import CODES_PER_S, AcousticFingerprinter
from beam_pipelines.splits.config import DuplicatesConfig
from beam_pipelines.splits.find_duplicates import find_duplicates

RATE_HZ = 16_000
REAL_MUSIC = Path(__file__).resolve().parents[3] / "shared" / "data" / "magnatune4"

Samples = npt.NDArray[np.float32]


def main() -> None:
    """Runs the benchmark and prints the results."""
    parser = argparse.ArgumentParser(prog="scripts/bench duplicates", description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=REAL_MUSIC, help="mp3 files, in folders below it")
    parser.add_argument("--random", type=int, help="compare this many fingerprints of random bits instead")
    arguments = parser.parse_args()
    console = make_console(sys.stdout)
    if arguments.random is None:
        compare_copies(arguments.folder, console)
    else:
        compare_random(arguments.random, console)


def compare_random(num_tracks: int, console: Console) -> None:
    """Prints the cost of comparing many unrelated fingerprints of 30 s each."""
    rng = np.random.default_rng(0)
    # One after the other: all of them would take more memory than the search.
    codes = (rng.integers(1, 2**32, round(30 * CODES_PER_S), dtype=np.uint32) for _ in range(num_tracks))
    started_s = time.perf_counter()
    names = [str(number) for number in range(num_tracks)]
    matches = find_duplicates(names, [30.0] * num_tracks, codes, DuplicatesConfig())
    wall_s = time.perf_counter() - started_s
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    console.print(f"{num_tracks:,} tracks: {len(matches)} pairs, {wall_s:.1f} s, peak memory {peak_mib:.0f} MiB")


def compare_copies(folder: Path, console: Console) -> None:
    """Prints how many degraded copies of the files in a folder are found."""
    originals = [read(path) for path in sorted(folder.rglob("*.mp3"))]
    fingerprinter = AcousticFingerprinter()
    started_s = time.process_time()
    codes = [fingerprinter(samples, sample_rate_hz=RATE_HZ) for samples in originals]
    cost_s = time.process_time() - started_s
    minutes = sum(len(samples) for samples in originals) / RATE_HZ / 60

    table = Table(box=box.ROUNDED if console.is_terminal else None)
    for name in ("copy", "found", "of", "median bit errors", "most", "other pairs"):
        table.add_column(name, justify="left" if name == "copy" else "right")
    for name, degrade in DEGRADATIONS.items():
        copies = [fingerprinter(degrade(samples), sample_rate_hz=RATE_HZ) for samples in originals]
        matches = find_duplicates(
            [str(number) for number in range(2 * len(originals))],
            [len(samples) / RATE_HZ for samples in originals] * 2,
            [*codes, *copies],
            DuplicatesConfig(),
        )
        rates = [match.bit_error_rate for match in matches if match.second - match.first == len(originals)]
        table.add_row(
            name,
            str(len(rates)),
            str(len(originals)),
            f"{np.median(rates):.3f}" if rates else "",
            f"{max(rates):.3f}" if rates else "",
            str(len(matches) - len(rates)),
        )
    console.print(table)
    console.print(f"{cost_s / minutes * 1e3:.1f} ms of CPU for the fingerprint of a minute of audio")


def read(path: Path) -> Samples:
    """Returns a file's samples, mono at 16 kHz."""
    with open(path, "rb") as source:
        return load_audio(source, AudioConfig(sample_rate_hz=RATE_HZ)).samples


def coded(samples: Samples, **encoding: object) -> Samples:
    """Returns the samples after encoding and decoding with a lossy format."""
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, RATE_HZ, **encoding)
    buffer.seek(0)
    decoded: Samples = soundfile.read(buffer, dtype="float32")[0]
    return decoded


def mp3(samples: Samples, level: float) -> Samples:
    """level: 0 is the highest bit rate, 1 the lowest (8 kbps at this sample rate)."""
    return coded(samples, format="MP3", compression_level=level, bitrate_mode="CONSTANT")


def with_noise(samples: Samples) -> Samples:
    """Adds white noise 20 dB below the music."""
    noise = np.random.default_rng(0).normal(0, 0.1 * np.sqrt(np.mean(samples**2)), len(samples))
    return samples + noise.astype(np.float32)


DEGRADATIONS: dict[str, Callable[[Samples], Samples]] = {
    "mp3, good": lambda samples: mp3(samples, 0.6),
    "mp3, bad": lambda samples: mp3(samples, 0.9),
    "mp3, nearly the worst": lambda samples: mp3(samples, 0.95),
    "Ogg Vorbis": lambda samples: coded(samples, format="OGG"),
    "1.37 s later, as mp3": lambda samples: mp3(samples[int(1.37 * RATE_HZ) :], 0.6),
    "half a hop later": lambda samples: samples[512:],
    "10.032 s later, as bad mp3": lambda samples: mp3(samples[10 * RATE_HZ + 512 :], 0.9),
    "last 6 s, as mp3": lambda samples: mp3(samples[-6 * RATE_HZ - 333 :], 0.6),
    "noise at -20 dB": with_noise,
    "three times as loud, clipped": lambda samples: np.clip(3 * samples, -1, 1),
    "treble raised (1 - 0.9/z)": lambda samples: np.append(samples[:1], samples[1:] - np.float32(0.9) * samples[:-1]),
    "0.5 % slower": lambda samples: soxr.resample(samples, RATE_HZ, 16_080),
}


if __name__ == "__main__":
    main()
