"""One loop for every strategy: the same weights on one device, on two, and in two processes."""

import json
import os
import shutil
import signal
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from command_process import run_train_command
from forked_process import start_forked

from beam_pipelines.records.schema import TRAIN
from trainer.data.prepared import find_shards, open_prepared
from trainer.devices.config import StrategyConfig
from trainer.devices.strategy import make_strategy
from trainer.models.architectures.attention_pool import AttentionPoolConfig
from trainer.models.architectures.cnn2d import Cnn2dConfig
from trainer.models.registry import build_model
from trainer.runs.checkpoint_index import BEST, LAST, find_checkpoint
from trainer.runs.restored_model import load_best_model
from trainer.runs.run_dir import RunDir
from trainer.training.config import TrainConfig
from trainer.training.projections import fit_projections
from trainer.training.train import train

pytestmark = pytest.mark.slow

EX_TEMPFAIL = 75

# Without dropout, whose masks depend on the number of replicas.
MODEL = Cnn2dConfig(filters=[8, 8], time_pools=[2, 2], band_pools=[2, 2], hidden_units=16, dropout=0.0)


@dataclass
class Run:
    """A process that trains.

    Attributes:
        process: The process.
        log: The file with its output.
    """

    process: ForkServerProcess
    log: Path

    def wait(self) -> int:
        """Returns the exit code. The timeout is there only to end a test that hangs."""
        self.process.join(timeout=600)
        assert self.process.exitcode is not None, self.log.read_text()
        return self.process.exitcode

    def send(self, number: signal.Signals) -> None:
        assert self.process.pid is not None
        os.kill(self.process.pid, number)


@contextmanager
def processes(log_dir: Path) -> Iterator[Callable[..., Run]]:
    """Gives a function that starts `train(config)` in a process, as the command line runs it; ends all processes."""
    runs: list[Run] = []

    def start_process(config: TrainConfig, tf_config: dict[str, Any] | None = None) -> Run:
        environment = {key: value for key, value in os.environ.items() if key != "TF_CONFIG"}
        if tf_config is not None:
            environment["TF_CONFIG"] = json.dumps(tf_config)
        log = log_dir / f"log{len(runs)}.txt"
        runs.append(Run(start_forked(run_train_command, config, log=log, environment=environment), log))
        return runs[-1]

    try:
        yield start_process
    finally:
        for run in runs:
            run.process.kill()
            run.process.join()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Run]]:
    with processes(tmp_path) as start_process:
        yield start_process


@pytest.fixture(scope="module")
def config(shared_config: TrainConfig) -> TrainConfig:
    """A run whose weights do not depend on the number of replicas."""
    return replace(shared_config, model=MODEL, epochs=8, steps_per_call="auto", early_stopping_patience_epochs=None)


@pytest.fixture(scope="module")
def cluster_run(config: TrainConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run directory of two workers that nothing interrupted; their output is in `log0.txt` and `log1.txt`."""
    run_dir = tmp_path_factory.mktemp("cluster") / "run"
    workers = replace(config, run_dir=str(run_dir), strategy=StrategyConfig(kind="multi_worker"))
    with processes(run_dir.parent) as start_process:
        for run in [start_process(workers, tf_config) for tf_config in cluster_of(2)]:
            assert run.wait() == 0, run.log.read_text()
    return run_dir


def cluster_of(num_workers: int) -> list[dict[str, Any]]:
    """Returns TF_CONFIG for each of several workers on free ports of this machine."""
    sockets = [socket.socket() for _ in range(num_workers)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    addresses = [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]
    for each in sockets:
        each.close()
    return [
        {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}} for index in range(num_workers)
    ]


def weights_of(run_dir: str, kind: str = LAST) -> dict[str, np.ndarray]:
    """Returns the values of model and optimizer in a checkpoint."""
    path = find_checkpoint(RunDir(run_dir).checkpoint_dir, kind)
    assert path is not None, f"{run_dir} has no checkpoint"
    reader = tf.train.load_checkpoint(path)
    return {
        name: reader.get_tensor(name)
        for name in reader.get_variable_to_shape_map()
        if name.startswith(("model/", "optimizer/"))
    }


def assert_close(run_dir: str, other_run_dir: str) -> None:
    for kind in (LAST, BEST):
        weights, others = weights_of(run_dir, kind), weights_of(other_run_dir, kind)
        assert weights.keys() == others.keys()
        for name, values in weights.items():
            np.testing.assert_allclose(values, others[name], atol=1e-5, rtol=0, err_msg=name)


def wait_for_checkpoint(run_dir: Path, *, runs: Sequence[Run]) -> None:
    index = run_dir / "checkpoints" / "checkpoints.json"
    deadline_s = time.monotonic() + 600
    while not index.exists():
        for run in runs:
            assert run.process.is_alive(), run.log.read_text()
        assert time.monotonic() < deadline_s, "\n".join(run.log.read_text() for run in runs)
        time.sleep(0.01)


def test_two_devices_and_two_processes_learn_the_weights_of_one_device(
    config: TrainConfig, cluster_run: Path, tmp_path: Path, start: Callable[..., Run]
) -> None:
    single = replace(config, run_dir=str(tmp_path / "single"))
    mirrored = replace(
        single, run_dir=str(tmp_path / "mirrored"), strategy=StrategyConfig(kind="mirrored", num_devices=2)
    )
    process = start(mirrored)
    train(single)
    assert process.wait() == 0, process.log.read_text()
    assert_close(single.run_dir, mirrored.run_dir)
    assert_close(single.run_dir, str(cluster_run))
    # Only the chief prints and writes.
    assert "the weights of epoch" in (cluster_run.parent / "log0.txt").read_text()
    assert "epoch" not in (cluster_run.parent / "log1.txt").read_text()
    assert (cluster_run / "metrics.json").exists()


def test_two_workers_fit_the_projection_of_one_device(
    config: TrainConfig, tmp_path: Path, start: Callable[..., Run]
) -> None:
    model_config = AttentionPoolConfig(feature="log_mel", units=8, attention_units=4, pca=6, whiten=True)
    workers = replace(
        config,
        run_dir=str(tmp_path / "run"),
        model=model_config,
        epochs=1,
        strategy=StrategyConfig(kind="multi_worker"),
    )
    for run in [start(workers, tf_config) for tf_config in cluster_of(2)]:
        assert run.wait() == 0, run.log.read_text()
    run_dir, data = RunDir(workers.run_dir), open_prepared(config.data_dir)
    expected = build_model(model_config, specs=data.specs, stats=run_dir.band_stats(data), num_classes=3)
    fit_projections(expected, find_shards(data, TRAIN), specs=data.specs)
    found = load_best_model(run_dir, strategy=make_strategy(StrategyConfig()))
    pairs = zip(*(model.get_layer("project_log_mel").get_weights() for model in (found, expected)), strict=True)
    for values, others in pairs:
        np.testing.assert_allclose(values, others, rtol=1e-6, atol=1e-7)


def test_when_a_worker_is_lost_the_other_ends_and_both_resume_later(
    config: TrainConfig, cluster_run: Path, tmp_path: Path, start: Callable[..., Run]
) -> None:
    killed = replace(config, run_dir=str(tmp_path / "run"), strategy=StrategyConfig(kind="multi_worker"))
    first = [start(killed, tf_config) for tf_config in cluster_of(2)]
    wait_for_checkpoint(tmp_path / "run", runs=first)
    first[1].send(signal.SIGKILL)
    assert first[0].wait() == EX_TEMPFAIL, first[0].log.read_text()
    log = first[0].log.read_text()
    assert "lost another worker (Collective ops is aborted by: " in log
    # The error that is met; the messages of the rarer InternalError are in tests/trainer/devices/test_cluster.py.
    assert "errors_impl.UnavailableError: " in log
    assert json.loads((tmp_path / "run" / "starts.json").read_text()) == {"checkpoint": None, "starts": 1}
    assert not (tmp_path / "run" / "_SUCCESS").exists()

    for run in [start(killed, tf_config) for tf_config in cluster_of(2)]:
        assert run.wait() == 0, run.log.read_text()
    for name, values in weights_of(str(cluster_run)).items():
        np.testing.assert_array_equal(values, weights_of(killed.run_dir)[name], err_msg=name)


def test_a_failure_that_every_start_repeats_ends_with_a_failure(
    config: TrainConfig, write_prepared: Callable[..., Path], tmp_path: Path, start: Callable[..., Run]
) -> None:
    data = write_prepared(num_shards=2)
    of_worker = tmp_path / "of the worker"
    shutil.copytree(data, of_worker)
    shard = of_worker / "tiny-train.tfrecord-00001-of-00002"
    shard.write_bytes(shard.read_bytes()[:-5])
    failing = replace(
        config,
        run_dir=str(tmp_path / "run"),
        data_dir=str(data),
        cache=False,
        strategy=StrategyConfig(kind="multi_worker"),
    )
    starts = tmp_path / "run" / "starts.json"

    def start_both(*, chief_code: int) -> str:
        configs = (failing, replace(failing, data_dir=str(of_worker)))
        chief, worker = (start(one, tf_config) for one, tf_config in zip(configs, cluster_of(2), strict=True))
        assert [chief.wait(), worker.wait()] == [chief_code, 1], chief.log.read_text() + worker.log.read_text()
        assert f"{shard} is damaged or truncated after" in worker.log.read_text()
        return chief.log.read_text()

    start_both(chief_code=EX_TEMPFAIL)
    assert json.loads(starts.read_text()) == {"checkpoint": None, "starts": 1}
    # As after the second start, which tests/trainer/runs/test_restarts.py counts.
    starts.write_text(json.dumps({"checkpoint": None, "starts": 2}))
    last_line = start_both(chief_code=1).splitlines()[-1]
    assert not starts.exists()
    start_of_line = "beamtune train: 3 starts in a row have ended without a new checkpoint after epoch 0, this one "
    assert last_line.startswith(f"{start_of_line}because another worker was lost (Collective ops is aborted by: ")


def test_sigterm_to_one_worker_saves_and_ends_all(
    config: TrainConfig, tmp_path: Path, start: Callable[..., Run]
) -> None:
    endless = replace(
        config,
        run_dir=str(tmp_path / "run"),
        epochs=100_000,
        steps_per_call=1,
        strategy=StrategyConfig(kind="multi_worker"),
    )
    runs = [start(endless, tf_config) for tf_config in cluster_of(2)]
    wait_for_checkpoint(tmp_path / "run", runs=runs)
    runs[1].send(signal.SIGTERM)
    assert [run.wait() for run in runs] == [EX_TEMPFAIL, EX_TEMPFAIL]
    assert "stopped by SIGTERM after epoch" in runs[0].log.read_text()


def test_sigterm_saves_within_an_epoch_and_the_resumed_run_ends_with_the_same_bits(
    shared_config: TrainConfig, tmp_path: Path, start: Callable[..., Run]
) -> None:
    straight = replace(
        shared_config,
        run_dir=str(tmp_path / "straight"),
        epochs=30,
        steps_per_call=1,
        early_stopping_patience_epochs=None,
    )
    stopped = replace(straight, run_dir=str(tmp_path / "stopped"))
    run = start(stopped)
    wait_for_checkpoint(tmp_path / "stopped", runs=[run])
    run.send(signal.SIGTERM)
    assert run.wait() == EX_TEMPFAIL, run.log.read_text()
    assert "run the same command again to resume" in run.log.read_text()
    train(stopped)
    train(straight)
    for kind in (LAST, BEST):
        for name, values in weights_of(straight.run_dir, kind).items():
            np.testing.assert_array_equal(values, weights_of(stopped.run_dir, kind)[name], err_msg=name)
