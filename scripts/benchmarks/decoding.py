"""How much of sound and of damaged mp3s each decoder decodes, and the cost of choosing between them.

    scripts/bench decoding --json docs/benchmarks/decoding.json     # then: scripts/bench tables

The steps take turns, and the lowest CPU time of all rounds counts.
Damage: the first byte of one frame is set to zero, at positions spread over the file, in five of the files.
"""

import argparse
import io
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile
from figures.audio_tables import damaged_table, decoding_table
from figures.record import describe_run, json_file, write_json

from beam_pipelines.audio.checked_source import CheckedSource
from beam_pipelines.audio.decode import AudioError, AudioStream
from beam_pipelines.audio.expected_length import expected_length
from beam_pipelines.audio.ffmpeg import open_ffmpeg
from beam_pipelines.audio.file_bytes import FileBytes
from beam_pipelines.audio.libsndfile import open_libsndfile
from beam_pipelines.audio.load import Limits, load_audio_at_rates
from beam_pipelines.audio.mp3_headers import HEADER_BYTES, parse_header
from beam_pipelines.audio.quiet_decoders import silenced_decoders

REAL_MUSIC = Path(__file__).resolve().parents[3] / "shared" / "data" / "magnatune4"
PACKAGES = ("numpy", "soundfile", "av", "soxr")
RATE_HZ = 16_000
MAX_DURATION_S = 600.0
NUM_DAMAGED_FILES = 5
NUM_POSITIONS = 28
# Decoders treat references to frames before the start of a clip differently: three frames of 1152 samples.
NUM_SKIPPED = 3 * 1152

Samples = npt.NDArray[np.float32]


def main() -> None:
    """Runs the benchmark, prints two tables and optionally writes the figures to a file."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench decoding", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", nargs="?", type=Path, default=REAL_MUSIC, help="mp3 files, in folders below it")
    parser.add_argument("--files", type=int, help="how many of them, evenly spread; all without it")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=json_file, help="write the figures to this file too")
    arguments = parser.parse_args()
    paths = sorted(arguments.folder.glob("**/*.mp3"))
    files = [path.read_bytes() for path in spread(paths, arguments.files or len(paths))]
    content = {
        **describe_run(arguments, PACKAGES),
        **measure_sound_files(files, rounds=arguments.rounds),
    }
    with silenced_decoders():
        content["damaged"] = measure_damaged_files(spread(files, NUM_DAMAGED_FILES))
    write_json(arguments.json, content)
    print(f"{decoding_table(content)}\n{damaged_table(content)}", end="")


def spread(items: Sequence[Any], count: int) -> Sequence[Any]:
    """Returns so many items, evenly spread."""
    return items[:: max(len(items) // count, 1)][:count]


def measure_sound_files(files: Sequence[bytes], *, rounds: int) -> dict[str, Any]:
    """Returns CPU times, and the differences between the decoders."""
    minutes = sum(load(data).shape[0] for data in files) / RATE_HZ / 60
    steps: dict[str, Callable[[bytes], object]] = {
        "determining the expected length": lambda data: expected_length(
            io.BytesIO(data), max_duration_s=MAX_DURATION_S
        ),
        "libsndfile": by_libsndfile,
        "FFmpeg": by_ffmpeg,
        "the chosen decoder, mixing down and resampling": load,
    }
    costs_s: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            started_s = time.process_time()
            for data in files:
                step(data)
            costs_s[name].append(time.process_time() - started_s)
    differences = [difference(data) for data in files]
    return {
        "files": len(files),
        "cpu_ms_per_min": {name: 1000 * min(each) / minutes for name, each in costs_s.items()},
        "other_lengths": int(np.isinf(differences).sum()),
        "skipped_samples": NUM_SKIPPED,
        "largest_difference": max([one for one in differences if np.isfinite(one)], default=0.0),
    }


def measure_damaged_files(files: Sequence[bytes]) -> dict[str, dict[str, Any]]:
    """Returns for each decoder how often one damaged frame loses more than 1 s and 0.1 s, and the most."""
    lost_s: dict[str, list[float]] = {"libsndfile, as `librosa.load`": [], "FFmpeg": [], "beamtune": []}
    libsndfile, ffmpeg, chosen = lost_s.values()
    for data in files:
        whole_s = len(load(data)) / RATE_HZ
        offsets = frame_offsets(data)
        rate_hz = soundfile.info(io.BytesIO(data)).samplerate
        for index in np.linspace(3, len(offsets) - 4, NUM_POSITIONS).astype(int):
            damaged = data[: offsets[index]] + b"\0" + data[offsets[index] + 1 :]
            libsndfile.append(whole_s - len(by_libsndfile(damaged)) / rate_hz)
            ffmpeg.append(whole_s - len(by_ffmpeg(damaged)) / rate_hz)
            chosen.append(whole_s - len(load(damaged)) / RATE_HZ)
    return {
        name: {
            "positions": len(values),
            "over_1_s": int((np.array(values) > 1).sum()),
            "over_0.1_s": int((np.array(values) > 0.1).sum()),
            "most_s": max(values),
        }
        for name, values in lost_s.items()
    }


def by_libsndfile(data: bytes) -> Samples:
    """Returns what libsndfile decodes of a file, (frames, channels)."""
    try:
        with open_libsndfile(CheckedSource(io.BytesIO(data))) as stream:
            return samples_of(stream)
    except AudioError:
        return np.empty((0, 1), dtype=np.float32)


def by_ffmpeg(data: bytes) -> Samples:
    """Returns what FFmpeg decodes of a file, (frames, channels)."""
    with open_ffmpeg(CheckedSource(io.BytesIO(data))) as stream:
        return samples_of(stream)


def samples_of(stream: AudioStream) -> Samples:
    """Returns all samples of a stream."""
    return np.concatenate([block.copy() for block in stream.blocks(max_duration_s=MAX_DURATION_S)])


def load(data: bytes) -> Samples:
    """Returns the samples that features are computed from, (frames,)."""
    limits = Limits(max_duration_s=MAX_DURATION_S)
    return load_audio_at_rates(io.BytesIO(data), [RATE_HZ], limits=limits)[RATE_HZ].samples


def difference(data: bytes) -> float:
    """Returns the largest difference between the decoders; infinity if they return other numbers of samples."""
    first, second = by_libsndfile(data), by_ffmpeg(data)
    return float(np.abs(first - second)[NUM_SKIPPED:].max()) if first.shape == second.shape else float("inf")


def frame_offsets(data: bytes) -> list[int]:
    """Returns the offsets of the frames of an mp3."""
    length = expected_length(io.BytesIO(data), max_duration_s=MAX_DURATION_S)
    file, offsets = FileBytes(io.BytesIO(data)), []
    offset = length.start if length is not None else len(data)
    while (frame := parse_header(file.read(offset, HEADER_BYTES))) is not None:
        offsets.append(offset)
        offset += frame.num_bytes
    return offsets


if __name__ == "__main__":
    main()
