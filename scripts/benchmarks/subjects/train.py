"""The measurements of `scripts/bench train`, each in a separate process: one number on the last line of the output.

python scripts/benchmarks/subjects/train.py '{"subject": "loop", "data_dir": "…", "num_steps": 60}'
"""

import json
import os
import queue
import sys
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

NUM_CLASSES, BATCH_SIZE = 10, 64
# Of the measurements that Keras' `fit` is compared with.
STEPS_PER_CALL = 10
# A step of the simulated device.
STEP_S = 0.002

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


def components_of(config: Any) -> Any:
    """Returns the components of a training."""
    from trainer.devices.cluster import Cluster
    from trainer.devices.strategy import make_strategy
    from trainer.runs.run_dir import RunDir
    from trainer.training.components import make_components, open_training_data

    strategy = make_strategy(config.strategy)
    return make_components(
        config,
        strategy=strategy,
        cluster=Cluster(strategy, config.strategy),
        run=RunDir(config.run_dir),
        data=open_training_data(config),
    )


def make_loop(data_dir: str, *, kind: str = "none", jit_compile: bool = False) -> RunSteps:
    """Returns what runs steps of our training loop."""
    from trainer.devices.config import StrategyConfig

    components = components_of(make_config(data_dir, strategy=StrategyConfig(kind=kind), jit_compile=jit_compile))
    epoch, steps_left = 0, 0
    batches: Any = None

    def run_steps(num_steps: int) -> int:
        nonlocal epoch, steps_left, batches
        num_calls = -(-num_steps // STEPS_PER_CALL)
        for _ in range(num_calls):
            if steps_left < STEPS_PER_CALL:
                epoch += 1
                batches, steps_left = (
                    components.stream.epoch(components.strategy, epoch),
                    components.stream.steps_per_epoch,
                )
            components.train_loop.run_steps(batches, STEPS_PER_CALL)
            steps_left -= STEPS_PER_CALL
        return num_calls * STEPS_PER_CALL

    return run_steps


def make_fit(data_dir: str) -> RunSteps:
    """Returns what runs steps of `keras.Model.fit` with the same model, data and optimizer."""
    model, dataset, _ = compiled_for_fit(make_config(data_dir), num_steps=100)

    def run_steps(num_steps: int) -> int:
        model.fit(dataset, steps_per_epoch=num_steps, epochs=1, verbose=0)
        return num_steps

    return run_steps


def compiled_for_fit(config: Any, *, num_steps: int) -> tuple[Any, Any, int]:
    """Returns a model for `fit`, a data set that never ends, and how many batches are an epoch."""
    import keras
    import tensorflow as tf

    from beam_pipelines.records.schema import TRAIN
    from trainer.data.parsing import parse_examples, read_records
    from trainer.data.prepared import find_shards, open_prepared, select_features
    from trainer.models.registry import build_model
    from trainer.training.optimizer import make_schedule

    keras.config.set_dtype_policy(config.precision)
    data = open_prepared(config.data_dir)
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
        steps_per_execution=STEPS_PER_CALL,
        jit_compile=config.jit_compile is True,
    )

    def to_pair(records: Any) -> Any:
        examples = parse_examples(records, specs)
        return examples.features, tf.one_hot(examples.labels, NUM_CLASSES)

    num_examples = sum(shard.num_examples for shard in shards)
    dataset = (
        read_records(shards)
        .cache()
        .shuffle(num_examples)
        .repeat()
        .batch(config.global_batch_size, drop_remainder=True)
        .map(to_pair, num_parallel_calls=tf.data.AUTOTUNE)
        .prefetch(tf.data.AUTOTUNE)
    )
    return model, dataset, num_examples // config.global_batch_size


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

    def run_steps(*arguments: Any, **options: Any) -> Any:
        real_run_steps(*arguments, **options)
        first_step_s.append(time.time() - started_s)
        raise KeyboardInterrupt

    TrainLoop.run_steps = run_steps  # type: ignore[method-assign]
    cli.main(["train", f"data_dir={data_dir}", f"run_dir={run_dir}/run", "steps_per_call=1"])
    return first_step_s[0]


class SimulatedDevice:
    """Computes one step after the other in 2 ms each, in which the processors are free, as a GPU does.

    The host gives it a step and goes on, until a second one waits. The gradients of a step arrive when it is computed.

    Attributes:
        computed: The start and the end of each step, in seconds.
    """

    def __init__(self) -> None:
        self.computed: list[tuple[float, float]] = []
        self._num_given = 0
        self._steps: queue.Queue[None] = queue.Queue(maxsize=1)
        self._is_computed = threading.Condition()
        threading.Thread(target=self._compute, daemon=True).start()

    def replace_steps(self, loop: Any) -> None:
        """Lets the class TrainLoop give all steps to this device."""
        import numpy as np
        import tensorflow as tf

        # Two more than there are processors: those in which the host waits for the device. A GPU blocks none.
        tf.config.threading.set_inter_op_parallelism_threads((os.cpu_count() or 1) + 2)

        def give(*_: Any) -> Any:
            self._steps.put(None)
            self._num_given += 1
            return np.float32(self._num_given)

        def arrive(number: Any) -> Any:
            with self._is_computed:
                self._is_computed.wait_for(lambda: len(self.computed) >= number)
            return np.float32(1)

        def replica_step(_: Any, *batches: Any) -> tuple[Any, ...]:
            inputs = [values[0] for values in tf.nest.flatten(batches)]
            number = tf.ensure_shape(tf.numpy_function(give, inputs, tf.float32), [])
            norm = tf.ensure_shape(tf.numpy_function(arrive, [number], tf.float32, stateful=False), [])
            return number, number, number, norm

        loop._replica_step = replica_step

    def _compute(self) -> None:
        while True:
            self._steps.get()
            started_s = time.perf_counter()
            time.sleep(STEP_S)
            with self._is_computed:
                self.computed.append((started_s, time.perf_counter()))
                self._is_computed.notify_all()


def measure_busy(data_dir: str, *, run_dir: str, num_epochs: int, augment: bool, between_epochs: bool) -> float:
    """Returns the share of the time in which a simulated device computes while `beamtune train` gives it steps.

    It is the median of the epochs. The first one is left out: the loop is traced and the data are read in it.

    Args:
        data_dir: The prepared data set.
        run_dir: A new folder.
        num_epochs: How many epochs are trained.
        augment: Whether the augmentation of `augment=default` is on.
        between_epochs: Whether the time between epochs counts, with checkpoints and events; then it is that of all.
    """
    import numpy as np

    from configs import cli
    from trainer.training.loop import TrainLoop

    device = SimulatedDevice()
    device.replace_steps(TrainLoop)
    words = f"train data_dir={data_dir} run_dir={run_dir}/run global_batch_size={BATCH_SIZE} epochs={num_epochs}"
    # A validation would be computed on the processors.
    words += " learn_from_validation=true early_stopping_patience_epochs=null"
    cli.main([*words.split(), *(["augment=default"] if augment else [])])
    epochs = np.array_split(np.array(device.computed), num_epochs)[1:]
    parts = [np.concatenate(epochs)] if between_epochs else epochs
    return float(np.median([(part[1:, 1] - part[1:, 0]).sum() / (part[-1, 1] - part[0, 1]) for part in parts]))


SUBJECTS: Mapping[str, Callable[..., float]] = {
    "input": measure_input,
    "loop": partial(measure_steps, make_loop),
    "fit": partial(measure_steps, make_fit),
    "start": measure_start,
    "busy": measure_busy,
}


if __name__ == "__main__":
    options = json.loads(sys.argv[1])
    print(json.dumps(SUBJECTS[options.pop("subject")](**options)))
