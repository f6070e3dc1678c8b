"""A cluster of one process; clusters of several are in tests/trainer/training/test_distributed.py."""

import pytest
import tensorflow as tf

from beam_pipelines.common.errors import RunAgainError
from trainer.devices.cluster import Cluster, LostWorkerError
from trainer.devices.config import StrategyConfig


def test_one_process_agrees_with_itself() -> None:
    cluster = Cluster(tf.distribute.get_strategy(), StrategyConfig())
    assert cluster.is_chief
    assert cluster.any_process([True, False]) == [True, False]
    assert cluster.broadcast_from_chief(7) == 7


def test_one_process_has_no_worker_to_lose() -> None:
    cluster = Cluster(tf.distribute.get_strategy(), StrategyConfig())
    error = tf.errors.UnavailableError(None, None, "a bucket does not answer")
    with pytest.raises(tf.errors.UnavailableError), cluster.lost_worker_errors():
        raise error


def test_a_lost_worker_is_an_error_that_says_what_to_do() -> None:
    cluster = Cluster(tf.distribute.get_strategy(), StrategyConfig())
    cluster.has_several_processes = True
    message = r"lost another worker \(reset by peer\): start all workers again"
    with pytest.raises(RunAgainError, match=message), cluster.lost_worker_errors():
        raise tf.errors.UnavailableError(None, None, "reset by peer\nmore")


@pytest.mark.parametrize(
    "message",
    [
        "Collective ops is aborted by: Connection reset by peer",
        "Failed to connect to remote host: Connection refused",
        "Socket closed",
        "/job:worker/replica:0/task:1 unavailable: heartbeat timeout",
    ],
)
def test_an_internal_error_of_a_connection_is_a_lost_worker(message: str) -> None:
    cluster = Cluster(tf.distribute.get_strategy(), StrategyConfig())
    cluster.has_several_processes = True
    with pytest.raises(RunAgainError), cluster.lost_worker_errors():
        raise tf.errors.InternalError(None, None, message)


@pytest.mark.parametrize(
    "message",
    [
        "Failed to launch gpuprim::DeviceRadixSort, status: invalid configuration argument",
        "libdevice not found at ./libdevice.10.bc",
        "Blas xGEMV launch failed",
    ],
)
def test_an_internal_error_that_a_restart_repeats_is_not_a_lost_worker(message: str) -> None:
    cluster = Cluster(tf.distribute.get_strategy(), StrategyConfig())
    cluster.has_several_processes = True
    with pytest.raises(tf.errors.InternalError), cluster.lost_worker_errors():
        raise tf.errors.InternalError(None, None, message)


def test_a_message_that_quotes_code_is_judged_by_its_cause() -> None:
    cluster = Cluster(tf.distribute.get_strategy(), StrategyConfig())
    cluster.has_several_processes = True
    graph_error = (
        "Graph execution error:\n\nDetected at node while/MatMul defined at (most recent call last):\n"
        '  File "trainer/devices/cluster.py", line 70, in barrier\n\n{}\n\t [[{{{{node while/MatMul}}}}]]'
    )
    with pytest.raises(tf.errors.InternalError), cluster.lost_worker_errors():
        raise tf.errors.InternalError(None, None, graph_error.format("Blas xGEMM launch failed"))
    with pytest.raises(LostWorkerError) as lost, cluster.lost_worker_errors():
        raise tf.errors.InternalError(None, None, graph_error.format("Collective ops is aborted by: Socket closed"))
    assert lost.value.cause == "Collective ops is aborted by: Socket closed"
