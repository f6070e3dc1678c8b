"""How much of sound and of damaged mp3s each decoder decodes, and the cost of choosing between them.

    scripts/bench decoding
    scripts/bench decoding ~/Music

Damage: the first byte of one frame is set to zero, at positions spread over the file, in five of the files.
"""

import argparse
import io
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
from rich import box
from rich.console import Console
from rich.table import Table

from beam_pipelines.audio.checked_source import CheckedSource
from beam_pipelines.audio.decode import AudioError, AudioStream
from beam_pipelines.audio.expected_length import expected_length
from beam_pipelines.audio.ffmpeg import open_ffmpeg
from beam_pipelines.audio.file_bytes import FileBytes
from beam_pipelines.audio.libsndfile import open_libsndfile
from beam_pipelines.audio.load import Limits, load_audio_at_rates
from beam_pipelines.audio.mp3_headers import HEADER_BYTES, parse_header
from beam_pipelines.common.terminal import make_console

REAL_MUSIC = Path(__file__).resolve().parents[3] / "shared" / "data" / "magnatune4"
RATE_HZ = 16_000
MAX_DURATION_S = 600.0
NUM_DAMAGED_FILES = 5
NUM_POSITIONS = 28
# Decoders treat references to frames before the start of a clip differently: three frames of 1152 samples.
NUM_SKIPPED = 3 * 1152

Samples = npt.NDArray[np.float32]


def main() -> None:
    """Runs the benchmark and prints two tables."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench decoding", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", nargs="?", type=Path, default=REAL_MUSIC, help="mp3 files, in folders below it")
    files = [path.read_bytes() for path in sorted(parser.parse_args().folder.glob("**/*.mp3"))]
    console = make_console(sys.stdout)
    measure_sound_files(files, console)
    measure_damaged_files(files[:: max(len(files) // NUM_DAMAGED_FILES, 1)][:NUM_DAMAGED_FILES], console)


def measure_sound_files(files: Sequence[bytes], console: Console) -> None:
    """Prints CPU times, and the differences between the decoders."""
    console.print(f"{len(files)} files")
    table = Table("", "CPU, ms per minute of audio", box=box.SIMPLE)
    minutes = sum(load(data).shape[0] for data in files) / RATE_HZ / 60
    steps: dict[str, Callable[[bytes], object]] = {
        "determining the expected length": lambda data: expected_length(
            io.BytesIO(data), max_duration_s=MAX_DURATION_S
        ),
        "libsndfile": lambda data: by_libsndfile(data),
        "FFmpeg": lambda data: by_ffmpeg(data),
        "the chosen decoder, with mixing and resampling": load,
    }
    for name, step in steps.items():
        started_s = time.process_time()
        for data in files:
            step(data)
        table.add_row(name, f"{1000 * (time.process_time() - started_s) / minutes:.2f}")
    console.print(table)
    differences = [difference(data) for data in files]
    console.print(
        f"other numbers of samples: {sum(np.isinf(differences))} files; largest difference of a sample after the first "
        f"{NUM_SKIPPED}: {max(differences):.1e}"
    )


def measure_damaged_files(files: Sequence[bytes], console: Console) -> None:
    """Prints how many seconds are lost by one damaged frame."""
    lost_s: dict[str, list[float]] = {"libsndfile": [], "FFmpeg": [], "the chosen decoder": []}
    for data in files:
        whole_s = len(load(data)) / RATE_HZ
        offsets = frame_offsets(data)
        for index in np.linspace(3, len(offsets) - 4, NUM_POSITIONS).astype(int):
            damaged = data[: offsets[index]] + b"\0" + data[offsets[index] + 1 :]
            rate_hz = soundfile.info(io.BytesIO(data)).samplerate
            for name, decode in (("libsndfile", by_libsndfile), ("FFmpeg", by_ffmpeg)):
                lost_s[name].append(whole_s - len(decode(damaged)) / rate_hz)
            lost_s["the chosen decoder"].append(whole_s - len(load(damaged)) / RATE_HZ)
    table = Table("one damaged frame", "positions", "loses over 1 s", "over 0.1 s", "at most, s", box=box.SIMPLE)
    for name, values in lost_s.items():
        lost = np.array(values)
        table.add_row(name, str(len(lost)), str((lost > 1).sum()), str((lost > 0.1).sum()), f"{lost.max():.2f}")
    console.print(table)


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
