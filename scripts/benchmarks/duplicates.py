"""The recall and precision of the search for copies of recordings, and its cost.

    scripts/bench duplicates
    scripts/bench duplicates ~/Music
    scripts/bench duplicates --random 20000    # time and memory, without audio

Every file of a folder is compared with a copy that was re-encoded, cut, made louder, mixed with noise …; the table has
the number of copies found, their bit error rates and the number of false pairs. Two files are the same recording if
tracks.csv, in the folder or the one above it, has one artist and one title for both; any other pair is false.
"""

import argparse
import csv
import io
import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence
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
from beam_pipelines.splits.acoustic_fingerprint import CODES_PER_S, AcousticFingerprinter, Codes
from beam_pipelines.splits.config import DuplicatesConfig
from beam_pipelines.splits.find_duplicates import Match, find_duplicates

RATE_HZ = 16_000
REAL_MUSIC = Path(__file__).resolve().parents[3] / "shared" / "data" / "magnatune4"

Samples = npt.NDArray[np.float32]


def main() -> None:
    """Runs the benchmark and prints the results."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench duplicates", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
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
    started_s, cpu_started_s = time.perf_counter(), time.process_time()
    names = [str(number) for number in range(num_tracks)]
    matches = find_duplicates(names, [30.0] * num_tracks, codes, DuplicatesConfig())
    wall_s, cpu_s = time.perf_counter() - started_s, time.process_time() - cpu_started_s
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    console.print(
        f"{num_tracks:,} tracks: {len(matches)} pairs, {wall_s:.1f} s, {cpu_s:.1f} s of CPU, "
        f"peak memory {peak_mib:.0f} MiB"
    )


def compare_copies(folder: Path, console: Console) -> None:
    """Prints how many degraded copies of the files in a folder are found, and how many pairs are false."""
    paths = sorted(folder.rglob("*.mp3"))
    songs = songs_of(paths, folder)
    originals = [read(path) for path in paths]
    fingerprinter = AcousticFingerprinter()
    started_s = time.process_time()
    codes = [fingerprinter(samples, sample_rate_hz=RATE_HZ) for samples in originals]
    cost_s = time.process_time() - started_s
    minutes = sum(len(samples) for samples in originals) / RATE_HZ / 60

    table = Table(box=box.ROUNDED if console.is_terminal else None)
    for name in ("copy", "found", "of", "median bit errors", "most", "false pairs"):
        table.add_column(name, justify="left" if name == "copy" else "right")
    num_found, num_false = 0, 0
    for name, degrade in DEGRADATIONS.items():
        copies = [fingerprinter(degrade(samples), sample_rate_hz=RATE_HZ) for samples in originals]
        matches = find([*codes, *copies])
        rates = [match.bit_error_rate for match in matches if match.second - match.first == len(originals)]
        false = sum(songs[match.first % len(songs)] != songs[match.second % len(songs)] for match in matches)
        num_found, num_false = num_found + len(rates), num_false + false
        table.add_row(
            name,
            str(len(rates)),
            str(len(originals)),
            f"{np.median(rates):.3f}" if rates else "",
            f"{max(rates):.3f}" if rates else "",
            str(false),
        )
    console.print(table)
    recall, precision = num_found / (len(originals) * len(DEGRADATIONS)), num_found / max(1, num_found + num_false)
    console.print(f"all copies: recall {recall:.4f}, precision {precision:.4f}")
    describe_originals(codes, songs, console)
    console.print(f"{cost_s / minutes * 1e3:.1f} ms of CPU for the fingerprint of a minute of audio")


def describe_originals(codes: Sequence[Codes], songs: Sequence[tuple[str, ...]], console: Console) -> None:
    """Prints the pairs among the files themselves, and how near two different recordings come at any offset."""
    is_same = [songs[match.first] == songs[match.second] for match in find(codes)]
    parts = [f"{sum(is_same)} pairs of one artist and title", f"{len(is_same) - sum(is_same)} false pairs"]
    rates = [rate for first, second, rate in least_error_rates(codes) if songs[first] != songs[second]]
    if rates:
        parts.append(f"least bit errors of different recordings at any offset {min(rates):.3f}")
    console.print(f"among the {len(codes)} files: {', '.join(parts)}")


def least_error_rates(codes: Sequence[Codes]) -> Iterator[tuple[int, int, float]]:
    """Yields for each pair of fingerprints its least bit error rate at any offset with enough in common."""
    config = DuplicatesConfig()
    length = 2 * max(len(track) for track in codes)
    spectra = []
    for track in codes:
        # Bits as -1 and 1, silence as 0: the correlation is the number of equal bits minus that of different ones.
        is_sound = (track != 0)[:, np.newaxis]
        bits = np.unpackbits(track.view(np.uint8)).reshape(-1, 32) * 2.0 - 1
        spectra.append(np.fft.rfft(np.hstack([bits * is_sound, is_sound]), length, axis=0).astype(np.complex64))
    for first, ours in enumerate(spectra):
        for second in range(first + 1, len(spectra)):
            product = ours * np.conj(spectra[second])
            balance, overlap = np.fft.irfft([product[:, :32].sum(axis=1), product[:, 32]], length)
            is_enough = np.round(overlap) >= config.min_overlap_s * CODES_PER_S
            if is_enough.any():
                yield first, second, float(np.min(0.5 - balance[is_enough] / overlap[is_enough] / 64))


def find(codes: Sequence[Codes]) -> list[Match]:
    """Returns the pairs that the fingerprints give, without those of equal hashes."""
    names = [str(number) for number in range(len(codes))]
    return find_duplicates(names, [len(track) / CODES_PER_S for track in codes], codes, DuplicatesConfig())


def songs_of(paths: Sequence[Path], folder: Path) -> list[tuple[str, ...]]:
    """Returns artist and title of each file by tracks.csv, without punctuation, or its path where there is none."""
    rows: dict[Path, tuple[str, ...]] = {}
    for parent in (folder, folder.parent):
        if (parent / "tracks.csv").is_file():
            with open(parent / "tracks.csv", encoding="utf-8", newline="") as file:
                rows = {
                    parent / row["path"]: (plain(row["artist"]), plain(row["title"])) for row in csv.DictReader(file)
                }
            break
    return [rows.get(path, (str(path),)) for path in paths]


def plain(name: str) -> str:
    """Returns the letters and digits of a name, without case: a collection has both "Karma Dogs" and "Karma Dogs:"."""
    return "".join(filter(str.isalnum, name.casefold()))


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
    "Opus": lambda samples: coded(samples, format="OGG", subtype="OPUS"),
    "at 8 kHz": lambda samples: soxr.resample(soxr.resample(samples, RATE_HZ, 8_000), 8_000, RATE_HZ),
    "a tenth as loud": lambda samples: samples * np.float32(0.1),
    "after 3.33 s of silence": lambda samples: np.pad(samples, (int(3.33 * RATE_HZ), 0)),
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
