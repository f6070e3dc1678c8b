"""The devices that train: one factory for every tf.distribute strategy, with errors that say what to do."""

import json
import os
from collections.abc import Callable, Mapping
from typing import Any
from urllib.error import URLError

import tensorflow as tf

from beam_pipelines.common.errors import UserError
from trainer.devices.config import StrategyConfig

# What a machine of a multi-worker run reads to know the others, as Vertex AI and TensorFlow write it.
CLUSTER_VARIABLE = "TF_CONFIG"
_TRAINING_JOBS = ("chief", "worker")

ResolveTpu = Callable[..., Any]


def make_strategy(
    config: StrategyConfig,
    *,
    environment: Mapping[str, str] = os.environ,
    resolve_tpu: ResolveTpu = tf.distribute.cluster_resolver.TPUClusterResolver,
) -> Any:
    """Returns the tf.distribute.Strategy that the config asks for.

    A process makes one, before any operation of TensorFlow: a cluster is joined first of all. TensorFlow's default
    strategy is one like any other, with one replica, so that nothing after this call asks which one it is.

    Args:
        config: Which one.
        environment: Where TF_CONFIG is looked for.
        resolve_tpu: Finds a TPU: (tpu=…, zone=…, project=…) → a cluster resolver.

    Raises:
        UserError: There are no such devices, or TF_CONFIG does not describe a cluster.
    """
    if config.kind == "mirrored":
        return _make_mirrored(config.num_devices)
    if config.kind == "multi_worker":
        check_cluster(environment.get(CLUSTER_VARIABLE, ""))
        return tf.distribute.MultiWorkerMirroredStrategy()
    if config.kind == "tpu":
        return _make_tpu(config, resolve_tpu)
    return tf.distribute.get_strategy()


def _make_mirrored(num_devices: int | None) -> Any:
    """Returns a strategy over GPUs; on a machine without one, over as many parts of the CPU as are asked for."""
    gpus = tf.config.list_physical_devices("GPU")
    wanted = num_devices if num_devices is not None else max(len(gpus), 1)
    if gpus:
        if wanted > len(gpus):
            raise UserError(f"strategy.num_devices={wanted}: this machine has {len(gpus)} GPUs: ask for no more")
        return tf.distribute.MirroredStrategy([f"GPU:{index}" for index in range(wanted)])
    [cpu] = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * wanted)
    # The collective operations of CPUs are there for one strategy in a process; this way of reducing has no such state.
    return tf.distribute.MirroredStrategy(
        [f"CPU:{index}" for index in range(wanted)], cross_device_ops=tf.distribute.ReductionToOneDevice()
    )


def check_cluster(text: str) -> None:
    """Makes sure that TF_CONFIG describes a cluster that trains together, with this process in it.

    Raises:
        UserError: It does not; the message says what is expected.
    """
    example = '{"cluster": {"worker": ["host0:2222", "host1:2222"]}, "task": {"type": "worker", "index": 0}}'

    def refuse(problem: str) -> UserError:
        return UserError(f"strategy=multi_worker: {CLUSTER_VARIABLE} {problem}: expected something like {example}")

    if not text:
        raise refuse("is not set")
    try:
        content = json.loads(text)
        cluster, task = content["cluster"], content["task"]
        jobs = {str(job): [str(address) for address in addresses] for job, addresses in cluster.items()}
        job, index = str(task["type"]), int(task["index"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise refuse(f"cannot be read ({error!r})") from error
    if not set(jobs) <= {*_TRAINING_JOBS, "evaluator"}:
        raise refuse(f"names {', '.join(jobs)}, and only {' and '.join(_TRAINING_JOBS)} train here")
    if job not in _TRAINING_JOBS:
        raise refuse(f"says that this process is the {job}, and only {' and '.join(_TRAINING_JOBS)} train here")
    if not 0 <= index < len(jobs.get(job, [])):
        raise refuse(f"says that this process is {job} {index}, and lists {len(jobs.get(job, []))} of these")


def is_chief(strategy: Any) -> bool:
    """Returns whether this process is the one that writes: of several machines the first, otherwise the only one."""
    return bool(strategy.extended.should_checkpoint)


def _make_tpu(config: StrategyConfig, resolve_tpu: ResolveTpu) -> Any:
    where = f"strategy.tpu_name={config.tpu_name}"
    try:
        resolver = resolve_tpu(tpu=config.tpu_name, zone=config.tpu_zone, project=config.tpu_project)
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
    except ValueError as error:
        raise UserError(
            f"{where}: no TPU was found ({_first_line(error)}): set strategy.tpu_name to its name"
        ) from error
    except URLError as error:
        raise UserError(
            f"{where}: Google Cloud cannot be asked for it ({error.reason}): outside of Google Cloud set "
            "strategy.tpu_name to its address, grpc://host:8470"
        ) from error
    except tf.errors.NotFoundError as error:
        raise UserError(f"{where}: there is no TPU at this address ({_first_line(error)})") from error
    except tf.errors.OpError as error:
        raise UserError(f"{where}: the TPU does not answer ({_first_line(error)})") from error
    return tf.distribute.TPUStrategy(resolver)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
