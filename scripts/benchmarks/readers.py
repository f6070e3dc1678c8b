"""Readers of training data that stays on the disk: beamtune's beside ArrayRecord with grain, WebDataset and tf.data.

    python -m venv /tmp/readers && /tmp/readers/bin/pip install array_record grain webdataset
    scripts/bench readers /tmp/readers/bin/python --json docs/benchmarks/readers.json     # then: scripts/bench tables

The data are those of `scripts/bench train`. Each reader gives batches of 64 log-mels and labels in a random order, on
one core. Each measurement is a process of its own, readers alternate, and the best of all rounds counts. The examples
of the other formats are raw bytes, which need no parsing.
"""

import argparse
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from figures.model_tables import readers_table
from figures.record import describe_run, json_file, write_json
from subjects.readers import BATCH_SIZE, READERS, SHUFFLE_BUFFER
from subjects.train import NUM_CLASSES
from train import NUM_SHARDS, write_data

REPOSITORY = Path(__file__).resolve().parents[2]
SUBJECTS_FILE = REPOSITORY / "scripts/benchmarks/subjects/readers.py"
PACKAGES = ("tensorflow", "numpy")
OURS, BUFFERED = "beamtune", "tf.data"
PERMUTATION = "a permutation of all examples"
# What a reader is, and its order of examples.
TITLES = {
    OURS: ("beamtune, `cache=false`", PERMUTATION),
    BUFFERED: (
        f"tf.data: `TFRecordDataset`, a shuffle buffer of {SHUFFLE_BUFFER:,}, parsing",
        f"{NUM_SHARDS} shards in turn, buffered",
    ),
    "grain": ("grain, ArrayRecord, uncompressed", PERMUTATION),
    "grain, zstd": ("grain, ArrayRecord, zstd", PERMUTATION),
    "webdataset": (f"WebDataset, a shuffle buffer of {SHUFFLE_BUFFER:,}", "one shard after the other, buffered"),
}


def main() -> None:
    """Runs the benchmark, prints a table and optionally writes the figures to a file."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench readers", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("python", type=Path, help="a Python that has array_record, grain and webdataset")
    parser.add_argument("--examples", type=int, default=8192, help=f"a multiple of {BATCH_SIZE * NUM_SHARDS}")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=json_file, help="write the figures to this file too")
    parser.add_argument("--of-ours", choices=(OURS, BUFFERED), help=argparse.SUPPRESS)
    parser.add_argument("--data", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.of_ours is not None:
        print(measure_ours(arguments.of_ours, arguments.data, num_examples=arguments.examples))
        return
    with tempfile.TemporaryDirectory(prefix="beamtune-bench-") as folder:
        write_data(Path(folder) / "data", num_examples=arguments.examples)
        write_other_formats(Path(folder))
        options = {"folder": folder, "num_examples": arguments.examples}
        versions = json.loads(
            run([str(arguments.python), str(SUBJECTS_FILE), json.dumps({"subject": "convert", **options})])
        )
        rates: dict[str, list[float]] = {name: [] for name in [OURS, BUFFERED, *READERS]}
        for _ in range(arguments.rounds):
            for name in rates:
                words = [str(arguments.python), str(SUBJECTS_FILE), json.dumps({"subject": name, **options})]
                if name not in READERS:
                    words = [sys.executable, __file__, "-", "--of-ours", name, "--data", f"{folder}/data"]
                    words += ["--examples", str(arguments.examples)]
                rates[name].append(float(run(words)))
    content = describe_run(arguments, PACKAGES)
    content["versions"].update(versions)
    content["readers"] = {TITLES[name][0]: {"order": TITLES[name][1], "rates": each} for name, each in rates.items()}
    write_json(arguments.json, content)
    print(readers_table(content), end="")


def write_other_formats(folder: Path) -> None:
    """Writes the train split as tar files, and as raw examples from which the other Python makes ArrayRecords."""
    (folder / "examples").mkdir()
    for path in sorted((folder / "data").glob("*-train.tfrecord-*")):
        name = path.name.replace(".tfrecord-", "-")
        with (
            tarfile.open(folder / f"{name}.tar", "w") as archive,
            (folder / "examples" / f"{name}.bin").open("wb") as sink,
        ):
            for number, content in enumerate(raw_examples(path)):
                sink.write(content)
                entry = tarfile.TarInfo(f"{number:06d}.bin")
                entry.size = len(content)
                archive.addfile(entry, BytesIO(content))


def raw_examples(shard: Path) -> Iterator[bytes]:
    """Yields the label and the log-mel of each example, as bytes."""
    import tensorflow as tf

    for record in tf.data.TFRecordDataset(str(shard)).as_numpy_iterator():
        entries = tf.train.Example.FromString(record).features.feature
        yield np.int64(entries["label"].int64_list.value[0]).tobytes() + entries["log_mel"].bytes_list.value[0]


def measure_ours(reader: str, data_dir: Path, *, num_examples: int) -> float:
    """Returns the examples per second of CPU time of one of our readers, in the second of two epochs."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    epoch = (streamed_epochs if reader == OURS else buffered_epochs)(data_dir)
    for number in range(2):
        started_s = time.process_time()
        num_batches = sum(1 for _ in epoch(number))
        elapsed_s = time.process_time() - started_s
    assert num_batches == num_examples // BATCH_SIZE
    return num_examples / elapsed_s


def streamed_epochs(data_dir: Path) -> Callable[[int], Any]:
    """Returns a function that returns the batches of an epoch with `cache=false`."""
    import tensorflow as tf

    from beam_pipelines.records.schema import TRAIN
    from trainer.data.batches import TrainStream
    from trainer.data.config import StreamConfig
    from trainer.data.prepared import find_shards, open_prepared

    data = open_prepared(str(data_dir))
    config = StreamConfig(global_batch_size=BATCH_SIZE, cache=False)
    stream = TrainStream(find_shards(data, TRAIN), config, specs=data.specs, num_classes=NUM_CLASSES)
    return lambda number: stream.epoch(tf.distribute.get_strategy(), number)


def buffered_epochs(data_dir: Path) -> Callable[[int], Any]:
    """Returns the same with TensorFlow's reader and a shuffle buffer."""
    import tensorflow as tf

    from beam_pipelines.records.schema import TRAIN
    from trainer.data.parsing import parse_examples, read_records, reading_options
    from trainer.data.prepared import find_shards, open_prepared

    data = open_prepared(str(data_dir))
    shards = find_shards(data, TRAIN)

    def to_pair(records: Any) -> tuple[Any, Any]:
        parsed = parse_examples(records, data.specs)
        return parsed.features, tf.one_hot(parsed.labels, NUM_CLASSES)

    def epoch(number: int) -> Any:
        records = read_records(shards).shuffle(SHUFFLE_BUFFER, seed=number).batch(BATCH_SIZE, drop_remainder=True)
        pairs = records.map(to_pair, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)
        return pairs.with_options(reading_options())

    return epoch


def run(words: list[str]) -> str:
    """Runs a measurement on the first core; returns its last line."""
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(  # noqa: S603
        ["taskset", "-c", "0", *words],  # noqa: S607
        capture_output=True,
        text=True,
        env=environment,
        cwd=REPOSITORY,
    )
    if done.returncode != 0:
        raise SystemExit(f"{words} failed:\n{done.stderr}")
    return done.stdout.strip().splitlines()[-1]


if __name__ == "__main__":
    main()
