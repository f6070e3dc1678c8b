"""The speed of training: the input pipeline, our loop against Keras' `fit`, two processes, a busy device, and start-up.

    scripts/bench train --json docs/benchmarks/train.json     # then: scripts/bench tables
    scripts/bench train --quick

The data are log-mel spectrograms of 3 s in float16, (94, 128), of random values. Each measurement is a
separate process; subjects alternate, and the best of all repetitions counts, which reduces the effect of other load.
The device is simulated: it takes steps of 2 ms, in which the processors are free, from `beamtune train`.
"""

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from figures.model_tables import device_table, train_table
from figures.record import Target, describe_run, json_file, write_json
from subjects.train import NUM_CLASSES

if TYPE_CHECKING:
    from beam_pipelines.records.json_lines import TrackRecord

REPOSITORY = Path(__file__).resolve().parents[2]
SUBJECTS_FILE = REPOSITORY / "scripts/benchmarks/subjects/train.py"
SHAPE = (94, 128)
NUM_SHARDS = 8
PACKAGES = ("tensorflow", "keras", "numpy")


@dataclass(frozen=True)
class Sizes:
    """The sizes of the measurements.

    Attributes:
        num_examples: Examples of the train split.
        input_batches: Batches of the measurement of the input pipeline.
        steps: Training steps that are timed, after as many untimed ones that warm up.
        epochs: Epochs in which a simulated device is given steps of 2 ms.
        repetitions: The repetitions of each measurement.
    """

    num_examples: int
    input_batches: int
    steps: int
    epochs: int
    repetitions: int


FULL = Sizes(num_examples=8192, input_batches=1000, steps=60, epochs=5, repetitions=3)
QUICK = Sizes(num_examples=1024, input_batches=100, steps=10, epochs=3, repetitions=1)

INPUTS = {
    "`cache=true`": {"cache": True},
    "`cache=true augment=default`": {"cache": True, "augment": True},
    "`cache=false`": {"cache": False},
    "`cache=false augment=default`": {"cache": False, "augment": True},
}
LOOP, FIT = "the loop with `cnn2d`", "Keras' `fit`, the same model and data"
LOOP_XLA, ONE_CORE = "the loop with `jit_compile=true`", "the loop on one core"
TWO_WORKERS = "two workers that share the cores"
START = "from the command to the first step"
BUSY = {
    "during epochs": {"augment": False, "between_epochs": False},
    "during epochs, `augment=default`": {"augment": True, "between_epochs": False},
    "with what is between epochs: checkpoints, events, opening the input": {"augment": False, "between_epochs": True},
}


def main() -> None:
    """Runs the benchmark, prints the tables and optionally writes the figures to a file."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench train", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="small sizes, once each")
    parser.add_argument("--inputs", action="store_true", help="the input pipeline only")
    parser.add_argument("--json", type=json_file, help="write the figures to this file too")
    arguments = parser.parse_args()
    sizes = QUICK if arguments.quick else FULL
    with tempfile.TemporaryDirectory(prefix="beamtune-bench-") as folder:
        data_dir = Path(folder) / "data"
        write_data(data_dir, num_examples=sizes.num_examples)
        figures = run(Path(folder), data_dir, sizes, inputs_only=arguments.inputs)
    best = {name: min(values) if name == START else max(values) for name, values in figures.items()}
    content = {
        **describe_run(arguments, PACKAGES),
        "sizes": asdict(sizes),
        "figures": figures,
        "rates": [asdict(target) for target in rates(best)],
        "busy": [asdict(target) for target in busy_shares(best)],
    }
    write_json(arguments.json, content)
    print(f"{train_table(content)}\n{device_table(content)}", end="")


def write_data(directory: Path, *, num_examples: int) -> None:
    """Writes a prepared data set of random values."""
    from beam_pipelines.audio.config import AudioConfig, SegmentConfig
    from beam_pipelines.features.config import LogMelConfig
    from beam_pipelines.records import schema
    from beam_pipelines.records.example import encode_example
    from beam_pipelines.records.json_lines import json_lines
    from beam_pipelines.records.record_index import encode_index
    from beam_pipelines.records.tfrecord import write_record

    directory.mkdir()
    rng = np.random.default_rng(0)
    labels = [f"genre{index}" for index in range(NUM_CLASSES)]
    infos, tracks = [], []
    for split, count in ((schema.TRAIN, num_examples), (schema.VALIDATION, 256), (schema.TEST, 256)):
        lengths = [count // NUM_SHARDS] * NUM_SHARDS
        for index, length in enumerate(lengths):
            name = schema.shard_filename(dataset_name="bench", split=split, index=index, num_shards=NUM_SHARDS)
            ends: list[int] = []
            with (directory / name).open("wb") as sink:
                for number in range(length):
                    values = rng.normal(-40, 15, SHAPE).astype(np.float16)
                    example = encode_example(
                        track_id=f"{split}{index}-{number // 10}",
                        segment_index=number % 10,
                        start_s=3.0 * (number % 10),
                        label=number // 10 % NUM_CLASSES,
                        features={"log_mel": values},
                    )
                    ends.append(write_record(sink, example) + (ends[-1] if ends else 0))
            (directory / schema.index_filename(name)).write_bytes(encode_index(ends))
            tracks += [track_record(f"{split}{index}-{number}", split) for number in range(-(-length // 10))]
        infos.append(schema.SplitInfo(name=split, shard_lengths=tuple(lengths), num_bytes=0))
    stats = schema.DatasetStats(
        split_source="random",
        split_leak=None,
        audio_s={},
        num_tracks={},
        num_segments={info.name: dict.fromkeys(labels, sum(info.shard_lengths) // NUM_CLASSES) for info in infos},
        features={
            "log_mel": schema.BandStats(num_frames=1, mean=(-40.0,) * SHAPE[1], std=(15.0,) * SHAPE[1]),
        },
    )
    spec = schema.FeatureSpec(name="log_mel", shape=SHAPE, dtype="float16")
    config = {
        "audio": asdict(AudioConfig()),
        "segment": asdict(SegmentConfig()),
        "features": {"log_mel": asdict(LogMelConfig())},
    }
    prepare_yaml = {"schema_version": schema.SCHEMA_VERSION, "versions": {}, "sources": {}, "config": config}
    for name, text in {
        schema.DATASET_INFO_FILE: schema.info_to_json(schema.DatasetInfo(name="bench", splits=tuple(infos))),
        schema.FEATURES_FILE: schema.features_to_json([spec], num_classes=NUM_CLASSES),
        schema.LABELS_FILE: "".join(f"{label}\n" for label in labels),
        schema.STATS_FILE: schema.stats_to_json(stats),
        schema.CONFIG_FILE: json.dumps(prepare_yaml),
        schema.TRACKS_FILE: "".join(json_lines(tracks)),
        schema.SUCCESS_FILE: schema.success_to_json("bench"),
    }.items():
        (directory / name).write_text(text)


def track_record(track_id: str, split: str) -> "TrackRecord":
    """Returns the row of a track of ten segments, the only one of its artist."""
    from beam_pipelines.records.json_lines import TrackRecord

    return TrackRecord(
        track_id=track_id,
        uri=track_id,
        split=split,
        group=track_id,
        label=f"genre{int(track_id.rpartition('-')[2]) % NUM_CLASSES}",
        content_hash=track_id,
        duration_s=30.0,
        padded_s=0.0,
        cut_s=0.0,
        is_truncated=False,
        rms_dbfs=-20.0,
        peak_dbfs=-3.0,
        num_segments=10,
        num_silent_segments=0,
    )


def run(folder: Path, data_dir: Path, sizes: Sizes, *, inputs_only: bool) -> dict[str, list[float]]:
    """Makes measurements; returns all repetitions of each: examples per second, or seconds for the start.

    Those of inputs are per second of CPU time.
    """
    data = str(data_dir)
    training = {"data_dir": data, "num_steps": sizes.steps}
    measurements: dict[str, Callable[[], float]] = {
        **{
            name: lambda options=options: in_process(
                "input", cores=1, data_dir=data, num_batches=sizes.input_batches, **options
            )
            for name, options in INPUTS.items()
        },
        LOOP: lambda: in_process("loop", **training),
        FIT: lambda: in_process("fit", **training),
        LOOP_XLA: lambda: in_process("loop", jit_compile=True, **training),
        ONE_CORE: lambda: in_process("loop", cores=1, **training),
        TWO_WORKERS: lambda: in_two_workers("loop", kind="multi_worker", **training),
        **{
            name: lambda options=options: in_process(
                "busy", data_dir=data, run_dir=tempfile.mkdtemp(dir=folder), num_epochs=sizes.epochs, **options
            )
            for name, options in BUSY.items()
        },
        START: lambda: in_process("start", data_dir=data, run_dir=tempfile.mkdtemp(dir=folder), started_s=time.time()),
    }
    chosen = {name: measure for name, measure in measurements.items() if name in INPUTS or not inputs_only}
    figures: dict[str, list[float]] = {name: [] for name in chosen}
    for repetition in range(sizes.repetitions):
        for name, measure in chosen.items():
            print(f"{repetition + 1}/{sizes.repetitions} {name}", file=sys.stderr, flush=True)
            figures[name].append(measure())
    return figures


def in_process(subject: str, *, cores: int | None = None, **options: Any) -> float:
    """Measures a subject in a child process, on the first cores or on all."""
    return read_result(start_process(subject, cores=cores, environment={}, **options))


def in_two_workers(subject: str, **options: Any) -> float:
    """Measures a subject in two processes that train together; returns the figure of the first."""
    sockets = [socket.socket() for _ in range(2)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    addresses = [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]
    for each in sockets:
        each.close()
    processes = []
    for index in range(2):
        cluster = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        processes.append(start_process(subject, cores=None, environment={"TF_CONFIG": json.dumps(cluster)}, **options))
    first, _ = [read_result(process) for process in processes]
    return first


def start_process(
    subject: str, *, cores: int | None, environment: Mapping[str, str], **options: Any
) -> "subprocess.Popen[str]":
    """Starts the measurement of a subject."""
    words = [sys.executable, "-W", "ignore", str(SUBJECTS_FILE), json.dumps({"subject": subject, **options})]
    if cores is not None:
        words = ["taskset", "-c", f"0-{cores - 1}", *words]
    return subprocess.Popen(  # noqa: S603
        words,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **environment},
    )


def read_result(process: "subprocess.Popen[str]") -> float:
    """Waits for a process and returns the number that it prints as its last line."""
    output, errors = process.communicate()
    if process.returncode != 0:
        raise SystemExit(f"{process.args} failed:\n{errors}")
    return float(json.loads(output.strip().splitlines()[-1]))


def rates(best: Mapping[str, float]) -> list[Target]:
    """Returns the figures of the input and, where it is measured, of the loop."""
    found = [Target(f"{name}, segments a second of CPU time", best[name], "≥ 20,000") for name in INPUTS]
    if LOOP in best:
        loops = (LOOP, FIT, LOOP_XLA, ONE_CORE, TWO_WORKERS)
        found += [
            *(Target(f"{name}, segments a second", best[name]) for name in loops),
            Target("the loop / `fit`", best[LOOP] / best[FIT], "≥ 1.0"),
            Target("two workers / the loop", best[TWO_WORKERS] / best[LOOP]),
            Target("two workers / one core", best[TWO_WORKERS] / best[ONE_CORE]),
            Target(f"{START}, s", best[START]),
        ]
    return found


def busy_shares(best: Mapping[str, float]) -> list[Target]:
    """Returns the shares of the time in which the simulated device computes, where they are measured."""
    return [
        Target(name, best[name], "" if options["between_epochs"] else "≥ 0.97")
        for name, options in BUSY.items()
        if name in best
    ]


if __name__ == "__main__":
    main()
