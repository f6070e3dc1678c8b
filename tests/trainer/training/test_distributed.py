"""One loop for every strategy: the same weights on one device, on two, and in two processes."""

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from python_script import script_command

from trainer.devices.config import StrategyConfig
from trainer.models.architectures.cnn2d import Cnn2dConfig
from trainer.runs.checkpoints import BEST, LAST, find_checkpoint
from trainer.runs.run_dir import RunDir
from trainer.training.config import TrainConfig

EX_TEMPFAIL = 75

# No dropout: each replica draws masks of its own, and no number of replicas has the masks of another.
MODEL = Cnn2dConfig(filters=[8, 8], time_pools=[2, 2], band_pools=[2, 2], hidden_units=16, dropout=0.0)


@dataclass
class Run:
    """A process that trains.

    Attributes:
        process: The process itself.
        log: What it says goes there.
    """

    process: subprocess.Popen[bytes]
    log: Path

    def wait(self, timeout_s: float = 600.0) -> int:
        """Returns the exit code."""
        return self.process.wait(timeout_s)


@pytest.fixture
def start(tmp_path: Path) -> Any:
    """Starts `train(config)` in a process of its own, as the command line runs it; ends it with the test."""
    runs: list[Run] = []

    def start_process(config: TrainConfig, tf_config: dict[str, Any] | None = None) -> Run:
        script = (
            "from trainer.data.config import *\nfrom trainer.devices.config import *\n"
            "from trainer.training.config import *\nfrom trainer.models.architectures.cnn2d import *\n"
            "import configs.commands, dataclasses, sys\nfrom configs import cli\n"
            "from trainer.training.train import train\n"
            f"config = {config!r}\n"
            "command = dataclasses.replace(configs.commands.COMMANDS['train'], run=lambda _: train(config) or 0)\n"
            "cli.COMMANDS = {'train': command}\nsys.argv = ['beamtune', 'train']\ncli.run()\n"
        )
        environment = {key: value for key, value in os.environ.items() if key != "TF_CONFIG"}
        if tf_config is not None:
            environment["TF_CONFIG"] = json.dumps(tf_config)
        log = tmp_path / f"log{len(runs)}.txt"
        with log.open("wb") as sink:
            process = subprocess.Popen(script_command(script), stdout=sink, stderr=sink, env=environment)
        runs.append(Run(process, log))
        return runs[-1]

    yield start_process
    for run in runs:
        run.process.kill()
        run.process.wait()


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


def wait_for(condition: Callable[[], bool], *, runs: Sequence[Run], timeout_s: float = 300.0) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        for run in runs:
            assert run.process.poll() is None, run.log.read_text()
        assert time.monotonic() < deadline_s, "\n".join(run.log.read_text() for run in runs)
        time.sleep(0.01)


def test_two_devices_and_two_processes_learn_the_weights_of_one_device(
    make_config: Callable[..., TrainConfig], tmp_path: Path, start: Any
) -> None:
    single = make_config(run_dir=str(tmp_path / "single"), model=MODEL)
    mirrored = replace(
        single, run_dir=str(tmp_path / "mirrored"), strategy=StrategyConfig(kind="mirrored", num_devices=2)
    )
    workers = replace(single, run_dir=str(tmp_path / "workers"), strategy=StrategyConfig(kind="multi_worker"))
    runs = [start(single), start(mirrored), *(start(workers, tf_config) for tf_config in cluster_of(2))]
    for run in runs:
        assert run.wait() == 0, run.log.read_text()
    assert_close(single.run_dir, mirrored.run_dir)
    assert_close(single.run_dir, workers.run_dir)
    # The chief alone speaks and writes.
    assert "the weights of epoch" in runs[2].log.read_text()
    assert "epoch" not in runs[3].log.read_text()
    assert (tmp_path / "workers" / "metrics.json").exists()


def test_when_a_worker_is_lost_the_other_ends_and_all_go_on_together_later(
    make_config: Callable[..., TrainConfig], tmp_path: Path, start: Any
) -> None:
    config = make_config(
        run_dir=str(tmp_path / "run"),
        model=MODEL,
        epochs=8,
        early_stopping_patience_epochs=None,
        strategy=StrategyConfig(kind="multi_worker"),
    )
    straight = replace(config, run_dir=str(tmp_path / "straight"))
    for run in [start(straight, tf_config) for tf_config in cluster_of(2)]:
        assert run.wait() == 0, run.log.read_text()

    first = [start(config, tf_config) for tf_config in cluster_of(2)]
    index = tmp_path / "run" / "checkpoints" / "checkpoints.json"
    wait_for(index.exists, runs=first)
    first[1].process.send_signal(signal.SIGKILL)
    killed_s = time.monotonic()
    assert first[0].wait(120) != 0
    assert time.monotonic() - killed_s < 30
    assert not (tmp_path / "run" / "_SUCCESS").exists()

    for run in [start(config, tf_config) for tf_config in cluster_of(2)]:
        assert run.wait() == 0, run.log.read_text()
    for name, values in weights_of(straight.run_dir).items():
        np.testing.assert_array_equal(values, weights_of(config.run_dir)[name], err_msg=name)


def test_sigterm_to_one_worker_saves_and_ends_all(
    make_config: Callable[..., TrainConfig], tmp_path: Path, start: Any
) -> None:
    config = make_config(
        run_dir=str(tmp_path / "run"),
        model=MODEL,
        epochs=2000,
        steps_per_call=1,
        early_stopping_patience_epochs=None,
        strategy=StrategyConfig(kind="multi_worker"),
    )
    runs = [start(config, tf_config) for tf_config in cluster_of(2)]
    wait_for((tmp_path / "run" / "checkpoints" / "checkpoints.json").exists, runs=runs)
    runs[1].process.send_signal(signal.SIGTERM)
    assert [run.wait(120) for run in runs] == [EX_TEMPFAIL, EX_TEMPFAIL]
    assert "stopped by SIGTERM after epoch" in runs[0].log.read_text()


def test_sigterm_saves_in_the_midst_of_an_epoch_and_the_run_ends_with_the_same_bits(
    make_config: Callable[..., TrainConfig], tmp_path: Path, start: Any
) -> None:
    straight = make_config(
        run_dir=str(tmp_path / "straight"), epochs=60, steps_per_call=1, early_stopping_patience_epochs=None
    )
    stopped = replace(straight, run_dir=str(tmp_path / "stopped"))
    assert start(straight).wait() == 0
    run = start(stopped)
    wait_for((tmp_path / "stopped" / "checkpoints" / "checkpoints.json").exists, runs=[run])
    run.process.send_signal(signal.SIGTERM)
    assert run.wait(30) == EX_TEMPFAIL, run.log.read_text()
    assert "the same command goes on" in run.log.read_text()
    assert start(stopped).wait() == 0
    for kind in (LAST, BEST):
        for name, values in weights_of(straight.run_dir, kind).items():
            np.testing.assert_array_equal(values, weights_of(stopped.run_dir, kind)[name], err_msg=name)
