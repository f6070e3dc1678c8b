"""The measurements of `scripts/bench gpu`, each in a process of its own: JSON on the last line of the output.

python scripts/benchmarks/subjects/gpu.py '{"subject": "loop", "data_dir": "…", "model": "res2d", "seconds": 20}'
"""

import json
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from train import compiled_for_fit, components_of, make_config

# The query takes about 30 ms of a processor.
_SAMPLING_INTERVAL_MS = 200


@contextmanager
def utilization() -> Iterator[list[float]]:
    """Yields a list that holds at the end, in percent, how much of each interval a kernel ran on the first GPU."""
    samples: list[float] = []
    command = shutil.which("nvidia-smi")
    if command is None:
        yield samples
        return
    query = ["--id=0", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits"]
    sampler = subprocess.Popen(  # noqa: S603
        [command, *query, f"--loop-ms={_SAMPLING_INTERVAL_MS}"], stdout=subprocess.PIPE, text=True
    )
    try:
        yield samples
    finally:
        sampler.terminate()
        output, _ = sampler.communicate()
        samples += [float(line) for line in output.splitlines() if line.strip().isdigit()]


def run_for(seconds: float, run: Callable[[], int]) -> dict[str, Any]:
    """Calls a function, which returns how many examples it has trained on, until the time is over; the figures."""
    with utilization() as samples:
        started_s, num_examples = time.perf_counter(), 0
        while time.perf_counter() - started_s < seconds:
            num_examples += run()
        duration_s = time.perf_counter() - started_s
    return {
        "examples_per_s": num_examples / duration_s,
        "gpu_utilization_percent": statistics.mean(samples) if samples else None,
    }


def settings(model: str, *, data_dir: str, batch_size: int, precision: str, jit_compile: bool) -> Any:
    """Returns the settings of a training."""
    from trainer.models.registry import model_config_from_dict

    return make_config(
        data_dir,
        model=model_config_from_dict({"name": model}),
        global_batch_size=batch_size,
        precision=precision,
        jit_compile=jit_compile,
    )


def measure_loop(config: Any, *, seconds: float) -> dict[str, Any]:
    """Returns the figures of our loop."""
    from trainer.runs.run_progress import StepSums
    from trainer.training.call_length import CallLength

    components = components_of(config)
    steps_per_epoch, length = components.stream.steps_per_epoch, CallLength(config.steps_per_call)
    sums, epoch, steps_left, batches = StepSums(), 0, 0, iter(())

    def run_call() -> int:
        nonlocal sums, epoch, steps_left, batches
        if steps_left == 0:
            epoch, steps_left = epoch + 1, steps_per_epoch
            batches = components.stream.epoch(components.strategy, epoch)
        num_steps = min(length.num_steps, steps_left)
        after = components.train_loop.run_steps(batches, num_steps, before=sums)
        length.after(num_steps=num_steps, duration_s=after.duration_s - sums.duration_s)
        sums, steps_left = after, steps_left - num_steps
        return num_steps * int(config.global_batch_size)

    started_s = time.perf_counter()
    run_call()
    to_first_step_s = time.perf_counter() - started_s
    run_for(seconds / 4, run_call)
    sums = StepSums()
    figures = run_for(seconds, run_call)
    return {**figures, "first_call_s": to_first_step_s, "input_wait_share": sums.input_wait_s / sums.duration_s}


def measure_fit(config: Any, *, seconds: float) -> dict[str, Any]:
    """Returns the figures of `keras.Model.fit` with the same model, data, precision and XLA, in one call."""
    import keras

    model, dataset, steps_per_epoch = compiled_for_fit(config, num_steps=10_000)
    ends_s: list[float] = []
    measured_ends_s: list[float] = []
    with ExitStack() as stack:
        samples: list[float] = []

        class Clock(keras.callbacks.Callback):  # type: ignore[misc]
            def on_epoch_end(self, *_: Any) -> None:
                nonlocal samples
                ends_s.append(time.perf_counter())
                if ends_s[-1] - ends_s[0] < seconds / 4:
                    return
                if not measured_ends_s:
                    samples = stack.enter_context(utilization())
                measured_ends_s.append(time.perf_counter())
                self.model.stop_training = measured_ends_s[-1] - measured_ends_s[0] >= seconds

        started_s = time.perf_counter()
        model.fit(dataset, steps_per_epoch=steps_per_epoch, epochs=1_000_000, verbose=0, callbacks=[Clock()])
    num_examples = (len(measured_ends_s) - 1) * steps_per_epoch * config.global_batch_size
    return {
        "examples_per_s": num_examples / (measured_ends_s[-1] - measured_ends_s[0]),
        "gpu_utilization_percent": statistics.mean(samples) if samples else None,
        "first_call_s": ends_s[0] - started_s,
    }


def describe_device() -> dict[str, Any]:
    """Returns the name of the first GPU, or None, and whether XLA compiles for it."""
    import tensorflow as tf

    from trainer.devices.accelerators import xla_compiles

    gpus = tf.config.list_physical_devices("GPU")
    name = tf.config.experimental.get_device_details(gpus[0]).get("device_name") if gpus else None
    return {"gpu": name, "xla_compiles": bool(gpus) and xla_compiles(), "tensorflow": tf.__version__}


SUBJECTS: Mapping[str, Callable[..., dict[str, Any]]] = {"loop": measure_loop, "fit": measure_fit}


if __name__ == "__main__":
    options = json.loads(sys.argv[1])
    subject, time_s = options.pop("subject"), options.pop("seconds", 0.0)
    print(
        json.dumps(describe_device() if subject == "device" else SUBJECTS[subject](settings(**options), seconds=time_s))
    )
