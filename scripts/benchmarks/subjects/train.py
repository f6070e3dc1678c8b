"""The measurements of `scripts/bench train`, each in a separate process: one number on the last line of the output.

python scripts/benchmarks/subjects/train.py '{"subject": "loop", "data_dir": "…", "num_steps": 60}'
"""

import json
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

NUM_CLASSES, BATCH_SIZE = 10, 64

Clock = Callable[[], float]
# Runs at least so many training steps; returns how many.
RunSteps = Callable[[int], int]


def make_config(data_dir: str, **changes: Any) -> Any:
    """Returns the settings of a training with the default model."""
    from trainer.models.architectures.cnn2d import Cnn2dConfig
    from trainer.training.config import TrainConfig

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
    """Returns the examples per second of CPU time of the input pipeline with one thread."""
    import tensorflow as tf

    use_one_thread()
    from beam_pipelines.records.schema import TRAIN
    from trainer.data.augment import make_augmenter
    from trainer.data.batches import TrainStream
    from trainer.data.config import AugmentConfig, StreamConfig
    from trainer.data.prepared import find_shards, open_prepared, select_features

    data = open_prepared(data_dir)
    specs = select_features(data, ["log_mel"])
    strong = AugmentConfig(
        freq_masks=2, time_masks=2, mixup_alpha=0.2, crop_min_share=0.8, gain_db=6.0, time_shift_max_share=0.5
    )
    stream = TrainStream(
        find_shards(data, TRAIN),
        StreamConfig(global_batch_size=BATCH_SIZE, cache=cache),
        specs=specs,
        num_classes=NUM_CLASSES,
        augmenter=make_augmenter(strong, data=data, specs=specs) if augment else None,
    )
    strategy = tf.distribute.get_strategy()
    num_given, epoch, elapsed_s = 0, 0, 0.0
    while num_given < num_batches:
        batches = stream.epoch(strategy, epoch)
        next(batches)  # what happens once in an epoch is not the steady state
        started_s = time.process_time()
        for _ in range(stream.steps_per_epoch - 1):
            next(batches)
            num_given += 1
        elapsed_s += time.process_time() - started_s
        epoch += 1
    return num_given * BATCH_SIZE / elapsed_s


def measure_plain_input(data_dir: str, *, num_batches: int) -> float:
    """Returns the examples per second of CPU time of reading the records, in order, by tf.data with one thread."""
    import tensorflow as tf

    use_one_thread()
    from beam_pipelines.records.schema import TRAIN
    from trainer.data.prepared import find_shards, open_prepared

    [spec] = open_prepared(data_dir).specs.values()
    paths = [shard.path for shard in find_shards(open_prepared(data_dir), TRAIN)]
    features = {spec.name: tf.io.FixedLenFeature([], tf.string), "label": tf.io.FixedLenFeature([], tf.int64)}

    def parse(records: Any) -> Any:
        parsed = tf.io.parse_example(records, features)
        values = tf.io.decode_raw(parsed[spec.name], tf.as_dtype(spec.dtype))
        return tf.reshape(values, [-1, *spec.shape]), parsed["label"]

    dataset = tf.data.TFRecordDataset(paths).repeat().batch(BATCH_SIZE).map(parse).prefetch(1)
    batches = iter(dataset)
    next(batches)
    started_s = time.process_time()
    for _ in range(num_batches):
        next(batches)
    return num_batches * BATCH_SIZE / (time.process_time() - started_s)


def use_one_thread() -> None:
    """Limits TensorFlow to one thread; it must not have run an operation with more."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)


def make_loop(data_dir: str, *, kind: str = "none", jit_compile: bool = False) -> RunSteps:
    """Returns what runs steps of our training loop."""
    from trainer.devices.cluster import Cluster
    from trainer.devices.config import StrategyConfig
    from trainer.devices.strategy import make_strategy
    from trainer.runs.run_dir import RunDir
    from trainer.training.components import make_components, open_training_data

    config = make_config(data_dir, strategy=StrategyConfig(kind=kind), jit_compile=jit_compile)
    strategy = make_strategy(config.strategy)
    components = make_components(
        config,
        strategy=strategy,
        cluster=Cluster(strategy, config.strategy),
        run=RunDir(config.run_dir),
        data=open_training_data(config),
    )
    steps_per_call = config.steps_per_call
    epoch, steps_left = 0, 0
    batches: Any = None

    def run_steps(num_steps: int) -> int:
        nonlocal epoch, steps_left, batches
        num_calls = -(-num_steps // steps_per_call)
        for _ in range(num_calls):
            if steps_left < steps_per_call:
                epoch += 1
                batches, steps_left = components.stream.epoch(strategy, epoch), components.stream.steps_per_epoch
            components.train_loop.run_steps(batches, steps_per_call)
            steps_left -= steps_per_call
        return num_calls * steps_per_call

    return run_steps


def make_fit(data_dir: str) -> RunSteps:
    """Returns what runs steps of `keras.Model.fit` with the same model, data and optimizer."""
    import keras
    import tensorflow as tf

    from beam_pipelines.records.schema import TRAIN
    from trainer.data.parsing import parse_examples, read_records
    from trainer.data.prepared import find_shards, open_prepared, select_features
    from trainer.models.registry import build_model
    from trainer.training.optimizer import make_schedule

    config = make_config(data_dir)
    data = open_prepared(data_dir)
    specs = select_features(data, ["log_mel"])
    shards = find_shards(data, TRAIN)
    model = build_model(config.model, specs=specs, stats=data.stats.features, num_classes=NUM_CLASSES)
    schedule = make_schedule(config.optimizer, epochs=config.epochs, steps_per_epoch=100)
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

    def run_steps(num_steps: int) -> int:
        model.fit(dataset, steps_per_epoch=num_steps, epochs=1, verbose=0)
        return num_steps

    return run_steps


def examples_per_s(run_steps: RunSteps, num_steps: int, *, clock: Clock = time.perf_counter) -> float:
    """Returns the examples of steps for each second of a clock."""
    started_s = clock()
    num_run = run_steps(num_steps)
    return num_run * BATCH_SIZE / (clock() - started_s)


def measure_steps(make: Callable[..., RunSteps], data_dir: str, *, num_steps: int, **options: Any) -> float:
    """Returns the examples per second after as many steps that are not timed."""
    run_steps = make(data_dir, **options)
    run_steps(num_steps)
    return examples_per_s(run_steps, num_steps)


def measure_start(data_dir: str, *, run_dir: str, started_s: float) -> float:
    """Returns the seconds from the start of the process to the end of the first training step of `beamtune train`."""
    from configs import cli
    from trainer.training.loop import TrainLoop

    real_run_steps = TrainLoop.run_steps
    first_step_s: list[float] = []

    def run_steps(*arguments: Any) -> Any:
        real_run_steps(*arguments)
        first_step_s.append(time.time() - started_s)
        raise KeyboardInterrupt

    TrainLoop.run_steps = run_steps  # type: ignore[method-assign]
    cli.main(["train", f"data_dir={data_dir}", f"run_dir={run_dir}/run", "steps_per_call=1"])
    return first_step_s[0]


SUBJECTS: Mapping[str, Callable[..., float]] = {
    "input": measure_input,
    "loop": partial(measure_steps, make_loop),
    "fit": partial(measure_steps, make_fit),
    "start": measure_start,
}


if __name__ == "__main__":
    options = json.loads(sys.argv[1])
    print(json.dumps(SUBJECTS[options.pop("subject")](**options)))
