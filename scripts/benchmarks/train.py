"""How fast training is: the input pipeline alone, our loop beside Keras' `fit`, two processes, and the start.

    scripts/bench train
    scripts/bench train --quick

The data are log-mel spectrograms of 3 s in float16, (94, 128), of random values. Each measurement is a process of its
own; runs take turns, and of each the best of all repetitions counts, so that what else the machine does is felt less.
"""

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

REPOSITORY = Path(__file__).resolve().parents[2]
SHAPE, NUM_CLASSES, BATCH_SIZE = (94, 128), 10, 64
NUM_SHARDS = 8
NUM_CORES = os.cpu_count() or 1


@dataclass(frozen=True)
class Sizes:
    """How much is measured.

    Attributes:
        num_examples: Examples of the train split.
        input_batches: Batches that the input pipeline alone gives out.
        steps: Training steps that are timed, after as many untimed ones that warm up.
        repetitions: How often each measurement is made.
    """

    num_examples: int
    input_batches: int
    steps: int
    repetitions: int


FULL = Sizes(num_examples=8192, input_batches=1000, steps=60, repetitions=3)
QUICK = Sizes(num_examples=1024, input_batches=100, steps=10, repetitions=1)

INPUTS = {
    "input, cached": {"cache": True},
    "input, cached, augmented": {"cache": True, "augment": True},
    "input, read again": {"cache": False},
    "input, read again, augmented": {"cache": False, "augment": True},
}
LOOP, LOOP_XLA, FIT = "our loop", "our loop, XLA", "Keras fit"
ONE_CORE, TWO_WORKERS = "our loop, one core", "our loop, 2 workers"
START = "from command to first step"


def main() -> None:
    """Runs the benchmark, prints a table and writes the figures to a file where one is named."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench train", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="small sizes, once each")
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    parser.add_argument("--run", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run is not None:
        options = json.loads(arguments.run)
        print(json.dumps(SUBJECTS[options.pop("subject")](**options)))
        return
    sizes = QUICK if arguments.quick else FULL
    with tempfile.TemporaryDirectory(prefix="beamtune-bench-") as folder:
        data_dir = Path(folder) / "data"
        write_data(data_dir, num_examples=sizes.num_examples)
        figures = run(Path(folder), data_dir, sizes)
    report(figures, sizes=sizes)
    if arguments.json is not None:
        content = {"cores": NUM_CORES, "sizes": asdict(sizes), "figures": figures}
        arguments.json.write_text(json.dumps(content, indent=2) + "\n")


def write_data(directory: Path, *, num_examples: int) -> None:
    """Writes a prepared data set of random values."""
    from beam_pipelines.config import AudioConfig, SegmentConfig
    from beam_pipelines.feature_config import LogMelConfig
    from beam_pipelines.records import schema
    from beam_pipelines.records.example import encode_example
    from beam_pipelines.records.tfrecord import write_record

    directory.mkdir()
    rng = np.random.default_rng(0)
    labels = [f"genre{index}" for index in range(NUM_CLASSES)]
    infos = []
    for split, count in ((schema.TRAIN, num_examples), (schema.VALIDATION, 256), (schema.TEST, 256)):
        lengths = [count // NUM_SHARDS] * NUM_SHARDS
        for index, length in enumerate(lengths):
            name = schema.shard_filename(dataset_name="bench", split=split, index=index, num_shards=NUM_SHARDS)
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
                    write_record(sink, example)
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
        schema.SUCCESS_FILE: schema.success_to_json("bench"),
    }.items():
        (directory / name).write_text(text)


def run(folder: Path, data_dir: Path, sizes: Sizes) -> dict[str, list[float]]:
    """Makes all measurements; returns all repetitions of each: examples a second, or seconds for the start."""
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
        START: lambda: in_process("start", data_dir=data, run_dir=tempfile.mkdtemp(dir=folder), started_s=time.time()),
    }
    figures: dict[str, list[float]] = {name: [] for name in measurements}
    for repetition in range(sizes.repetitions):
        for name, measure in measurements.items():
            print(f"{repetition + 1}/{sizes.repetitions} {name}", file=sys.stderr, flush=True)
            figures[name].append(measure())
    return figures


def in_process(subject: str, *, cores: int | None = None, **options: Any) -> float:
    """Measures one of this file's subjects in a process of its own, on the first of the cores or on all."""
    return read_result(start_process(subject, cores=cores, environment={}, **options))


def in_two_workers(subject: str, **options: Any) -> float:
    """Measures a subject in two processes that train together; returns what the first says."""
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
    """Starts this file with a subject."""
    words = [sys.executable, "-W", "ignore", __file__, "--run", json.dumps({"subject": subject, **options})]
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


def report(figures: Mapping[str, Sequence[float]], *, sizes: Sizes) -> None:
    """Prints the figures and what they should be."""
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    best = {name: min(values) if name == START else max(values) for name, values in figures.items()}
    title = f"{sizes.num_examples} log-mels of 3 s, batches of {BATCH_SIZE}, {NUM_CORES} cores"
    table = Table(title=title, box=box.ROUNDED if console.is_terminal else None)
    for name in ("", "measured", "target"):
        table.add_column(name, justify="right" if name == "measured" else "left")
    for name in INPUTS:
        table.add_row(f"{name}, segments/s on one core", f"{best[name]:,.0f}", "≥ 20,000")
    for name in (LOOP, FIT, LOOP_XLA, ONE_CORE, TWO_WORKERS):
        table.add_row(f"{name}, segments/s", f"{best[name]:,.0f}", "")
    table.add_row(f"{LOOP} / {FIT}", f"{best[LOOP] / best[FIT]:.2f}", "≥ 1.0")
    table.add_row(f"{TWO_WORKERS} / {LOOP}", f"{best[TWO_WORKERS] / best[LOOP]:.2f}", "")
    table.add_row(f"{TWO_WORKERS} / {ONE_CORE}", f"{best[TWO_WORKERS] / best[ONE_CORE]:.2f}", "")
    table.add_row(f"{START}, s", f"{best[START]:.1f}", "")
    console.print(table)


def make_config(data_dir: str, **changes: Any) -> Any:
    """Returns the settings of a training with the default model."""
    from trainer.config import TrainConfig
    from trainer.model_config import Cnn2dConfig

    return TrainConfig(
        **{
            "run_dir": "unused",
            "data_dir": data_dir,
            "global_batch_size": BATCH_SIZE,
            "epochs": 100,
            "label_smoothing": 0.0,
            "model": Cnn2dConfig(),
            **changes,
        }
    )


def measure_input(data_dir: str, *, num_batches: int, cache: bool, augment: bool = False) -> float:
    """Returns the examples that the input pipeline gives out in a second, with one thread."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    from beam_pipelines.records.schema import TRAIN
    from trainer.augment import make_augmenter
    from trainer.augment_config import AugmentConfig
    from trainer.data import TrainStream
    from trainer.dataset_dir import find_shards, open_prepared, select_features

    data = open_prepared(data_dir)
    specs = select_features(data, ["log_mel"])
    strong = AugmentConfig(
        freq_masks=2, time_masks=2, mixup_alpha=0.2, crop_min_share=0.8, gain_db=6.0, time_shift_max_share=0.5
    )
    stream = TrainStream(
        find_shards(data, TRAIN),
        specs=specs,
        num_classes=NUM_CLASSES,
        global_batch_size=BATCH_SIZE,
        seed=0,
        cache=cache,
        shuffle_buffer_examples=1024,
        augmenter=make_augmenter(strong, data=data, specs=specs) if augment else None,
    )
    strategy = tf.distribute.get_strategy()
    num_given, epoch, elapsed_s = 0, 0, 0.0
    while num_given < num_batches:
        batches = stream.epoch(strategy, epoch)
        next(batches)  # what fills the buffer is no steady state
        started_s = time.perf_counter()
        for _ in range(stream.steps_per_epoch - 1):
            next(batches)
            num_given += 1
        elapsed_s += time.perf_counter() - started_s
        epoch += 1
    return num_given * BATCH_SIZE / elapsed_s


def measure_loop(data_dir: str, *, num_steps: int, kind: str = "none", jit_compile: bool = False) -> float:
    """Returns the examples that our loop learns from in a second."""
    import tensorflow as tf

    from beam_pipelines.records.schema import TRAIN, VALIDATION
    from trainer.config import StrategyConfig
    from trainer.dataset_dir import find_shards, open_prepared
    from trainer.run_dir import RunDir
    from trainer.session import make_session
    from trainer.strategy import make_strategy
    from trainer.workers import Workers

    config = make_config(data_dir, strategy=StrategyConfig(kind=kind), jit_compile=jit_compile)
    strategy = make_strategy(config.strategy)
    data = open_prepared(data_dir)
    session = make_session(
        config,
        strategy=strategy,
        workers=Workers(strategy, config.strategy),
        run=RunDir(config.run_dir),
        data=data,
        train_shards=find_shards(data, TRAIN),
        validation_shards=find_shards(data, VALIDATION),
    )
    steps_per_call = config.steps_per_call
    epoch, steps_left, taken, elapsed_s = 0, 0, 0, 0.0
    for call in range(-(-2 * num_steps // steps_per_call)):
        started_s = time.perf_counter()
        if steps_left < steps_per_call:
            epoch += 1
            batches, steps_left = session.stream.epoch(strategy, epoch), session.stream.steps_per_epoch
        float(session.train_loop.run_steps(batches, tf.constant(steps_per_call)).loss_sum)
        steps_left -= steps_per_call
        if call * steps_per_call >= num_steps:
            elapsed_s += time.perf_counter() - started_s
            taken += steps_per_call
    return taken * BATCH_SIZE / elapsed_s


def measure_fit(data_dir: str, *, num_steps: int) -> float:
    """Returns the examples that `keras.Model.fit` learns from in a second: same model, data and optimizer."""
    import keras
    import tensorflow as tf

    from beam_pipelines.records.schema import TRAIN
    from trainer.dataset_dir import find_shards, open_prepared, select_features
    from trainer.models import build_model
    from trainer.optimizer import make_schedule
    from trainer.records import parse_examples, read_records

    config = make_config(data_dir)
    data = open_prepared(data_dir)
    specs = select_features(data, ["log_mel"])
    shards = find_shards(data, TRAIN)
    model = build_model(config.model, specs=specs, stats=data.stats.features, num_classes=NUM_CLASSES)
    schedule = make_schedule(config.optimizer, epochs=config.epochs, steps_per_epoch=num_steps)
    model.compile(
        optimizer=keras.optimizers.AdamW(
            schedule, weight_decay=config.optimizer.weight_decay, global_clipnorm=config.optimizer.gradient_clip_norm
        ),
        loss=keras.losses.CategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        steps_per_execution=config.steps_per_call,
    )

    def to_pair(records: Any) -> Any:
        examples = parse_examples(records, specs)
        return examples.features, tf.one_hot(examples.labels, NUM_CLASSES)

    dataset = (
        read_records(shards)
        .cache()
        .shuffle(sum(shard.num_examples for shard in shards))
        .repeat()
        .batch(BATCH_SIZE, drop_remainder=True)
        .map(to_pair, num_parallel_calls=tf.data.AUTOTUNE)
        .prefetch(tf.data.AUTOTUNE)
    )
    model.fit(dataset, steps_per_epoch=num_steps, epochs=1, verbose=0)
    started_s = time.perf_counter()
    model.fit(dataset, steps_per_epoch=num_steps, epochs=1, verbose=0)
    return num_steps * BATCH_SIZE / (time.perf_counter() - started_s)


def measure_start(data_dir: str, *, run_dir: str, started_s: float) -> float:
    """Returns the seconds from the start of the process to the end of the first training step of `beamtune train`."""
    from configs import cli
    from trainer.loop import TrainLoop

    real_run_steps = TrainLoop.run_steps
    first_step_s: list[float] = []

    def run_steps(*arguments: Any) -> Any:
        totals = real_run_steps(*arguments)
        float(totals.loss_sum)
        first_step_s.append(time.time() - started_s)
        raise KeyboardInterrupt

    TrainLoop.run_steps = run_steps  # type: ignore[method-assign]
    cli.main(["train", f"data_dir={data_dir}", f"run_dir={run_dir}/run", "steps_per_call=1"])
    return first_step_s[0]


SUBJECTS: Mapping[str, Callable[..., float]] = {
    "input": measure_input,
    "loop": measure_loop,
    "fit": measure_fit,
    "start": measure_start,
}


if __name__ == "__main__":
    main()
