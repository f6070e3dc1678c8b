"""The time of each part of `beamtune prepare`, in one process and one thread, beside decoding the same files alone.

    scripts/bench prepare_parts --json docs/benchmarks/prepare_parts.json     # then: scripts/bench tables

Log-mels and MFCCs of clips are computed and written as a worker does it, without Beam. The time of a part is without
that of the parts that it calls. Rounds alternate with bare decoding, and the fastest round of each counts.
"""

import argparse
import functools
import os
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

from figures.audio_tables import prepare_parts_table
from figures.record import describe_run, json_file, write_json
from prepare import REAL_MUSIC, clip_paths, decode_file, find_clips_in, link_clips

if TYPE_CHECKING:
    from beam_pipelines.prepare.plan import ShardPlan
    from beam_pipelines.prepare.shard import ShardBuilder

PACKAGES = ("numpy", "scipy", "soundfile", "soxr")
DECODING, SOXR, FOURIER, SHA_256 = (
    "decoding in blocks",
    "resampling (soxr), also for the fingerprint",
    "Fourier transforms, also for the fingerprint",
    "SHA-256",
)
REST = "the rest"


class SelfTimes:
    """The seconds of parts of a program, each without those of the parts that it calls. For one thread.

    Attributes:
        seconds: By the name of the part.
    """

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        # Of each part that runs now, the seconds of the parts that it has called.
        self._inner_s: list[float] = []

    def timed(self, function: Callable[..., Any], part: str) -> Callable[..., Any]:
        """Returns the function, whose calls count for a part."""

        @functools.wraps(function)
        def call(*arguments: Any, **options: Any) -> Any:
            started_s = time.perf_counter()
            self._inner_s.append(0.0)
            try:
                return function(*arguments, **options)
            finally:
                all_s = time.perf_counter() - started_s
                self.seconds[part] += all_s - self._inner_s.pop()
                if self._inner_s:
                    self._inner_s[-1] += all_s

        return call


@dataclass(frozen=True)
class Round:
    """One round over all clips.

    Attributes:
        decode_s: Of decoding the files alone.
        parts_s: Of each part, in their order in the table; REST is what is in none of them.
    """

    decode_s: float
    parts_s: dict[str, float]

    @property
    def all_s(self) -> float:
        return sum(self.parts_s.values())


def main() -> None:
    """Measures, prints the table and optionally writes the figures to a file."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench prepare_parts", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("music", nargs="?", type=Path, default=REAL_MUSIC, help="a folder with tracks.csv")
    parser.add_argument("--clips", type=int, default=80)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=json_file, help="write the figures to this file too")
    arguments = parser.parse_args()
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # read when numpy is imported
    with tempfile.TemporaryDirectory(prefix="beamtune-bench-") as folder:
        manifest = link_clips(find_clips_in(arguments.music), Path(folder) / "music", count=arguments.clips)
        content = {**describe_run(arguments, PACKAGES), **measure(clip_paths(manifest), rounds=arguments.rounds)}
    write_json(arguments.json, content)
    print(prepare_parts_table(content), end="")


def measure(paths: Sequence[str], *, rounds: int) -> dict[str, Any]:
    """Returns the milliseconds per minute of audio of the parts, of decoding alone, and of what libraries do."""
    minutes = sum(map(decode_file, paths)) / 60
    builder, plan = make_builder(paths)
    found = []
    for number in range(rounds):
        print(f"{number + 1}/{rounds}", file=sys.stderr, flush=True)
        found.append(run_round(builder, plan))
    best = min(found, key=lambda one: one.all_s)
    ms_per_min = 1e3 / minutes
    return {
        "minutes": minutes,
        "decode_ms": min(one.decode_s for one in found) * ms_per_min,
        "parts_ms": {part: part_s * ms_per_min for part, part_s in best.parts_s.items()},
        "libraries_ms": sum(best.parts_s[part] for part in (DECODING, SOXR, FOURIER, SHA_256)) * ms_per_min,
    }


def make_builder(paths: Sequence[str]) -> "tuple[ShardBuilder, ShardPlan]":
    """Returns what builds a shard of log-mels and MFCCs at their default settings, and the shard."""
    from beam_pipelines.common import storage
    from beam_pipelines.datasets.config import FolderDatasetConfig
    from beam_pipelines.datasets.track import Track
    from beam_pipelines.features.config import LogMelConfig, MfccConfig
    from beam_pipelines.prepare.config import PrepareConfig
    from beam_pipelines.prepare.plan import ShardPlan
    from beam_pipelines.prepare.shard import ShardBuilder

    folder = str(Path(paths[0]).parent)
    config = PrepareConfig(
        output_dir=f"{folder}-prepared",
        dataset=FolderDatasetConfig(root=folder),
        features={"log_mel": LogMelConfig(), "mfcc": MfccConfig()},
    )
    tracks = [Track(track_id=path, uri=path, label="genre", group=path, size_bytes=0) for path in paths]
    builder = ShardBuilder(config, labels=["genre"], open_source=storage.open_local)
    return builder, ShardPlan(filename="shard", split="train", tracks=tuple(tracks), cache_key="")


def run_round(builder: "ShardBuilder", plan: "ShardPlan") -> Round:
    """Decodes the files alone, then builds the shard with timers."""
    started_s = time.perf_counter()
    for track in plan.tracks:
        decode_file(track.uri)
    decode_s = time.perf_counter() - started_s
    times = SelfTimes()
    with timers(times) as parts, tempfile.TemporaryFile() as sink:
        times.timed(builder.build, REST)(plan, sink=sink)
    return Round(decode_s=decode_s, parts_s={part: times.seconds[part] for part in (*parts, REST)})


@contextmanager
def timers(times: SelfTimes) -> Iterator[Sequence[str]]:
    """Times the functions of the parts while the context is open, and gives the names of the parts.

    A function is replaced where it is called: in the module that has imported it.
    """
    import scipy.fft
    import soxr

    from beam_pipelines.audio import choose_decoder, libsndfile, load
    from beam_pipelines.features import frontend, mel
    from beam_pipelines.prepare import shard
    from beam_pipelines.prepare.shard_report import RunningSums
    from beam_pipelines.splits.acoustic_fingerprint import AcousticFingerprinter

    levels = "levels, segments (check_finite, mean_square, cut_segments)"
    parts: dict[str, list[tuple[Any, str]]] = {
        DECODING: [(libsndfile._ForwardFile, name) for name in ("__init__", "read", "close")],
        "mixing down": [(load, "to_mono")],
        SOXR: [(soxr, "resample"), *((soxr.ResampleStream, name) for name in ("__init__", "resample_chunk"))],
        "headers of the frames": [(choose_decoder, "expected_length")],
        FOURIER: [(scipy.fft, "rfft")],
        "windows, power, mel bands, dB": [
            *((mel.MelPower, "__call__"), (mel, "_power_to_db")),
            *((mel.LogMel, "__call__"), (mel.Mfcc, "__call__")),
        ],
        "DCT": [(scipy.fft, "dct")],
        "acoustic fingerprint": [(AcousticFingerprinter, "__call__")],
        SHA_256: [(shard, "content_hash")],
        "conversion to 16 bits for SHA-256": [(load, "to_pcm16")],
        levels: [(load, "check_finite"), (frontend, "cut_segments"), (shard, "mean_square")],
        "examples, records, sums": [
            *((shard, name) for name in ("encode_example", "write_record", "_track_record")),
            (RunningSums, "add"),
        ],
    }
    with ExitStack() as stack:
        for part, functions in parts.items():
            for owner, name in functions:
                stack.enter_context(mock.patch.object(owner, name, times.timed(getattr(owner, name), part)))
        yield list(parts)


if __name__ == "__main__":
    main()
