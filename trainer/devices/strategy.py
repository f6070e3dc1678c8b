"""Makes the tf.distribute strategy of a run, with errors that say what to do."""

import functools
import operator
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.error import URLError

import tensorflow as tf

from beam_pipelines.common.errors import UserError, first_line
from beam_pipelines.features.patch_network import keep_order_of_sums
from trainer.devices.cluster_config import CLUSTER_VARIABLE, cluster_error, parse_cluster
from trainer.devices.config import StrategyConfig

_TRAINING_JOBS = ("chief", "worker")

ResolveTpu = Callable[..., Any]


def make_strategy(
    config: StrategyConfig,
    *,
    environment: Mapping[str, str] = os.environ,
    resolve_tpu: ResolveTpu = tf.distribute.cluster_resolver.TPUClusterResolver,
) -> Any:
    """Returns the tf.distribute.Strategy of the settings.

    A process makes it once, before any operation of TensorFlow, because a cluster must be joined first. kind=none is
    TensorFlow's default strategy with one replica, so that the callers need no special case.

    Sums of more than two tensors are computed in a fixed order afterwards, in the whole process.

    Args:
        config: The settings.
        environment: Holds TF_CONFIG.
        resolve_tpu: (tpu=…, zone=…, project=…) → a cluster resolver.

    Raises:
        UserError: There are no such devices, or TF_CONFIG does not describe a cluster.
    """
    keep_order_of_sums(tf)
    if config.kind == "mirrored":
        return _make_mirrored(config.num_devices)
    if config.kind == "multi_worker":
        check_cluster(environment.get(CLUSTER_VARIABLE, ""))
        with _keeping_sigterm():
            return tf.distribute.MultiWorkerMirroredStrategy()
    if config.kind == "tpu":
        return _make_tpu(config, resolve_tpu)
    return tf.distribute.get_strategy()


@contextmanager
def _keeping_sigterm() -> Iterator[None]:
    """Installs the handler of SIGTERM again at the end: TensorFlow replaces it when it joins a cluster."""
    handler = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if handler is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)


def _make_mirrored(num_devices: int | None) -> Any:
    """Returns a strategy over GPUs, or over logical CPU devices on a machine without GPUs."""
    gpus = tf.config.list_physical_devices("GPU")
    wanted = num_devices if num_devices is not None else max(len(gpus), 1)
    if gpus:
        if wanted > len(gpus):
            raise UserError(f"strategy.num_devices={wanted}: expected at most {len(gpus)}, the GPUs of this machine")
        return tf.distribute.MirroredStrategy([f"GPU:{index}" for index in range(wanted)])
    [cpu] = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * wanted)
    # Collective operations on CPUs work for one strategy in a process only; reduction to one device has no such state.
    reduction = tf.distribute.ReductionToOneDevice(accumulation_fn=functools.partial(functools.reduce, operator.add))
    return tf.distribute.MirroredStrategy([f"CPU:{index}" for index in range(wanted)], cross_device_ops=reduction)


def check_cluster(text: str) -> None:
    """Makes sure that TF_CONFIG describes a cluster that trains together, with this process in it.

    Raises:
        UserError: It does not; the message says what is expected.
    """
    variable = f"strategy=multi_worker: {CLUSTER_VARIABLE}"
    example = '{"cluster": {"worker": ["host0:2222", "host1:2222"]}, "task": {"type": "worker", "index": 0}}'

    def error(problem: str) -> UserError:
        return cluster_error(problem, variable=variable, example=example)

    if not text:
        raise error("is not set")
    cluster = parse_cluster(text, variable=variable, example=example)
    if cluster is None:
        raise error("lists no process")
    if not set(cluster.addresses) <= {*_TRAINING_JOBS, "evaluator"}:
        raise error(f"names {', '.join(cluster.addresses)}, and only {' and '.join(_TRAINING_JOBS)} train here")
    if cluster.job not in _TRAINING_JOBS:
        raise error(f"says that this process is the {cluster.job}, and only {' and '.join(_TRAINING_JOBS)} train here")


def is_chief(strategy: Any) -> bool:
    """Returns whether this process writes the files of the run: the first of several machines, or the only one."""
    return bool(strategy.extended.should_checkpoint)


def _make_tpu(config: StrategyConfig, resolve_tpu: ResolveTpu) -> Any:
    where = f"strategy.tpu_name={config.tpu_name}"
    try:
        resolver = resolve_tpu(tpu=config.tpu_name, zone=config.tpu_zone, project=config.tpu_project)
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
    except ValueError as error:
        raise UserError(
            f"{where}: no TPU was found ({first_line(error)}): set strategy.tpu_name to its name"
        ) from error
    except URLError as error:
        raise UserError(
            f"{where}: Google Cloud does not answer ({error.reason}): outside of Google Cloud set "
            "strategy.tpu_name to its address, grpc://host:8470"
        ) from error
    except tf.errors.NotFoundError as error:
        raise UserError(f"{where}: there is no TPU at this address ({first_line(error)})") from error
    except tf.errors.OpError as error:
        raise UserError(f"{where}: the TPU does not answer ({first_line(error)})") from error
    return tf.distribute.TPUStrategy(resolver)
