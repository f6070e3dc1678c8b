"""The recall and precision of the search for copies of recordings, and its cost.

    scripts/bench duplicates --json docs/benchmarks/duplicates.json     # then: scripts/bench tables
    scripts/bench duplicates --random 100000

Every file of a folder is compared with a copy that was re-encoded, cut, made louder, mixed with noise …; the table has
the number of copies found, their bit error rates and the number of false pairs. Two files are the same recording if
tracks.csv, in the folder or the one above it, has one artist and one title for both; any other pair is false. The cost
is that of comparing fingerprints of 30 s of random bits, each number of them in a process of its own; composing the
bits is part of it.
"""

import argparse
import csv
import io
import json
import os
import resource
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile
import soxr
from figures.audio_tables import copies_table, random_table
from figures.record import describe_run, json_file, write_json

from beam_pipelines.audio.config import AudioConfig
from beam_pipelines.audio.load import load_audio
from beam_pipelines.splits.acoustic_fingerprint import CODES_PER_S, AcousticFingerprinter, Codes
from beam_pipelines.splits.config import DuplicatesConfig
from beam_pipelines.splits.find_duplicates import Match, find_duplicates

PACKAGES = ("numpy", "scipy", "soundfile", "soxr")
RATE_HZ = 16_000
REAL_MUSIC = Path(__file__).resolve().parents[3] / "shared" / "data" / "magnatune4"

Samples = npt.NDArray[np.float32]


def main() -> None:
    """Runs the benchmark, prints two tables and optionally writes the figures to a file."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench duplicates", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", nargs="?", type=Path, default=REAL_MUSIC, help="mp3 files, in folders below it")
    parser.add_argument("--files", type=int, help="how many of them, evenly spread; all without it")
    parser.add_argument(
        "--random", type=int, nargs="*", default=[100_000, 1_000_000], help="numbers of fingerprints of random bits"
    )
    parser.add_argument("--json", type=json_file, help="write the figures to this file too")
    parser.add_argument("--part", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.part is not None:
        print(json.dumps(compare_random(arguments.part)))
        return
    content = {
        **describe_run(arguments, PACKAGES),
        **compare_copies(arguments.folder, num_files=arguments.files),
        "random": [compare_in_process(num_tracks) for num_tracks in arguments.random],
    }
    write_json(arguments.json, content)
    print(f"{copies_table(content)}\n{random_table(content)}", end="")


def compare_in_process(num_tracks: int) -> dict[str, Any]:
    """Returns the cost of comparing so many unrelated fingerprints in a new process."""
    words = [sys.executable, "-W", "ignore", __file__, "--part", str(num_tracks)]
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)  # noqa: S603
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def compare_random(num_tracks: int) -> dict[str, Any]:
    """Returns the cost of comparing many unrelated fingerprints of 30 s each."""
    rng = np.random.default_rng(0)
    # One after the other: all of them would take more memory than the search.
    codes = (rng.integers(1, 2**32, round(30 * CODES_PER_S), dtype=np.uint32) for _ in range(num_tracks))
    names = [str(number) for number in range(num_tracks)]
    with largest_temporary_files() as temporary_bytes:
        started_s, cpu_started_s = time.perf_counter(), time.process_time()
        matches = find_duplicates(names, [30.0] * num_tracks, codes, DuplicatesConfig())
        wall_s, cpu_s = time.perf_counter() - started_s, time.process_time() - cpu_started_s
    return {
        "fingerprints": num_tracks,
        "pairs": len(matches),
        "cpu_s": cpu_s,
        "wall_s": wall_s,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "temporary_gb": max(temporary_bytes) / 1e9,
    }


@contextmanager
def largest_temporary_files() -> Iterator[list[int]]:
    """Samples the size in bytes of all open files without a name while the context is open."""
    samples, is_done = [0], threading.Event()

    def watch() -> None:
        while not is_done.wait(0.05):
            size = 0
            for descriptor in os.listdir("/proc/self/fd"):
                with suppress(OSError):  # it was closed
                    status = os.stat(f"/proc/self/fd/{descriptor}")
                    if stat.S_ISREG(status.st_mode) and status.st_nlink == 0:
                        size += status.st_size
            samples.append(size)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield samples
    finally:
        is_done.set()
        thread.join()


def compare_copies(folder: Path, *, num_files: int | None) -> dict[str, Any]:
    """Returns how many degraded copies of the files in a folder are found, and how many pairs are false."""
    paths = sorted(folder.rglob("*.mp3"))
    if num_files is not None:
        paths = paths[:: max(len(paths) // num_files, 1)][:num_files]
    songs = songs_of(paths, folder)
    originals = [read(path) for path in paths]
    fingerprinter = AcousticFingerprinter()
    started_s = time.process_time()
    codes = [fingerprinter(samples, sample_rate_hz=RATE_HZ) for samples in originals]
    cost_s = time.process_time() - started_s
    minutes = sum(len(samples) for samples in originals) / RATE_HZ / 60

    found: dict[str, dict[str, Any]] = {}
    for name, degrade in DEGRADATIONS.items():
        copies = [fingerprinter(degrade(samples), sample_rate_hz=RATE_HZ) for samples in originals]
        matches = find([*codes, *copies])
        rates = [match.bit_error_rate for match in matches if match.second - match.first == len(originals)]
        found[name] = {
            "found": len(rates),
            "median_bit_errors": float(np.median(rates)) if rates else None,
            "most_bit_errors": max(rates, default=None),
            "false_pairs": sum(
                songs[match.first % len(songs)] != songs[match.second % len(songs)] for match in matches
            ),
        }
    num_found = sum(copy["found"] for copy in found.values())
    num_false = sum(copy["false_pairs"] for copy in found.values())
    return {
        "files": len(originals),
        "copies": found,
        "recall": num_found / (len(originals) * len(DEGRADATIONS)),
        "precision": num_found / max(1, num_found + num_false),
        "originals": compare_originals(codes, songs),
        "fingerprint_ms_per_min": cost_s / minutes * 1e3,
    }


def compare_originals(codes: Sequence[Codes], songs: Sequence[tuple[str, ...]]) -> dict[str, Any]:
    """Returns the pairs among the files themselves, and how near two different recordings come at any offset."""
    is_same = [songs[match.first] == songs[match.second] for match in find(codes)]
    rates = [rate for first, second, rate in least_error_rates(codes) if songs[first] != songs[second]]
    return {
        "same_pairs": sum(is_same),
        "false_pairs": len(is_same) - sum(is_same),
        "least_bit_errors": min(rates, default=0.5),
    }


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
