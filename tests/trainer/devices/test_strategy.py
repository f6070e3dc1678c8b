"""Which strategy is made, and the errors where there are no such devices."""

import json
import re
import subprocess
from typing import Any
from urllib.error import URLError

import pytest
import tensorflow as tf
from python_script import script_command

from beam_pipelines.common.errors import UserError
from trainer.devices.config import StrategyConfig
from trainer.devices.strategy import check_cluster, is_chief, make_strategy

TWO_WORKERS = {"worker": ["a:1", "b:1"]}


def tf_config(cluster: Any = TWO_WORKERS, job: str = "worker", index: int = 0) -> str:
    return json.dumps({"cluster": cluster, "task": {"type": job, "index": index}})


def test_none_is_the_default_strategy() -> None:
    strategy = make_strategy(StrategyConfig())
    assert strategy is tf.distribute.get_strategy()
    assert strategy.num_replicas_in_sync == 1
    assert is_chief(strategy)


def test_the_graph_optimizer_does_not_merge_sums_whose_order_then_depends_on_the_timing_of_threads() -> None:
    make_strategy(StrategyConfig())
    assert tf.config.optimizer.get_experimental_options()["arithmetic_optimization"] is False


@pytest.mark.parametrize(
    "text",
    [
        tf_config(),
        tf_config(index=1),
        tf_config({"chief": ["a:1"], "worker": ["b:1"]}, "chief"),
        tf_config({"chief": ["a:1"], "worker": ["b:1"]}, "worker"),
        # As Vertex AI writes it for one machine, and with what it adds.
        json.dumps(
            {"cluster": {"chief": ["a:1"]}, "environment": "cloud", "task": {"type": "chief", "index": 0, "trial": "1"}}
        ),
        tf_config({"chief": ["a:1"], "worker": ["b:1"], "evaluator": ["c:1"]}, "chief"),
    ],
)
def test_every_documented_form_of_a_cluster_is_accepted(text: str) -> None:
    check_cluster(text)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "TF_CONFIG is not set: expected something like"),
        ("{", "TF_CONFIG is not JSON (JSONDecodeError"),
        ("[]", 'TF_CONFIG has no "cluster"'),
        ("{}", 'TF_CONFIG has no "cluster"'),
        ('{"cluster": {}, "task": {"type": "worker", "index": 0}}', "TF_CONFIG lists no process"),
        (json.dumps({"cluster": TWO_WORKERS}), 'TF_CONFIG has no "task"'),
        (
            json.dumps({"cluster": {"worker": ["a:1"]}, "task": {"type": "worker"}}),
            'a process of the cluster in "task"',
        ),
        (json.dumps({"cluster": ["a:1"], "task": {"type": "worker", "index": 0}}), 'TF_CONFIG has no "cluster"'),
        (tf_config(index=2), "says that this process is worker 2, and lists 2 of these"),
        (tf_config(index=-1), "says that this process is worker -1, and lists 2 of these"),
        (tf_config(job="chief"), "says that this process is chief 0, and lists 0 of these"),
        (tf_config({"worker": ["a:1"], "ps": ["b:1"]}), "names worker, ps, and only chief and worker train here"),
        (tf_config({"chief": ["a:1"], "evaluator": ["b:1"]}, "evaluator"), "says that this process is the evaluator"),
    ],
)
def test_other_values_are_refused_in_one_line(text: str, problem: str) -> None:
    with pytest.raises(UserError, match=re.escape(problem)) as caught:
        make_strategy(StrategyConfig(kind="multi_worker"), environment={"TF_CONFIG": text} if text else {})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ValueError("Please provide a TPU Name to connect to."), "no TPU was found (Please provide a TPU Name to"),
        (URLError("Name or service not known"), "Google Cloud does not answer (Name or service not known)"),
        (
            tf.errors.NotFoundError(None, None, "No registered 'ConfigureDistributedTPU' OpKernel\nmore"),
            "there is no TPU at this address (No registered 'ConfigureDistributedTPU' OpKernel)",
        ),
        (tf.errors.UnavailableError(None, None, "failed to connect"), "the TPU does not answer (failed to connect)"),
    ],
)
def test_a_tpu_that_cannot_be_used_is_one_line(error: Exception, message: str) -> None:
    def resolve(**where: Any) -> Any:
        assert where == {"tpu": "my-tpu", "zone": "us-central1-b", "project": "p"}
        raise error

    config = StrategyConfig(kind="tpu", tpu_name="my-tpu", tpu_zone="us-central1-b", tpu_project="p")
    with pytest.raises(UserError, match=re.escape(message)) as caught:
        make_strategy(config, resolve_tpu=resolve)
    assert str(caught.value).startswith("strategy.tpu_name=my-tpu: ")
    assert "\n" not in str(caught.value)


def test_a_tpu_is_initialised_before_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[str, Any]] = []
    monkeypatch.setattr(tf.config, "experimental_connect_to_cluster", lambda found: calls.append(("connect", found)))
    monkeypatch.setattr(tf.tpu.experimental, "initialize_tpu_system", lambda found: calls.append(("set up", found)))
    monkeypatch.setattr(tf.distribute, "TPUStrategy", lambda found: ("strategy of", found))
    strategy = make_strategy(StrategyConfig(kind="tpu"), resolve_tpu=lambda **where: "resolver")
    assert calls == [("connect", "resolver"), ("set up", "resolver")]
    assert strategy == ("strategy of", "resolver")


@pytest.mark.slow
def test_sigterm_still_reaches_a_process_that_has_joined_a_cluster() -> None:
    """TensorFlow has a handler of its own, which replaces that of the command."""
    script = (
        "import json, os, signal, socket\n"
        "calls = []\n"
        "signal.signal(signal.SIGTERM, lambda number, frame: calls.append(number))\n"
        "from trainer.devices.config import StrategyConfig\n"
        "from trainer.devices.strategy import make_strategy\n"
        "with socket.create_server(('127.0.0.1', 0)) as listener:\n"
        "    address = f'127.0.0.1:{listener.getsockname()[1]}'\n"
        "cluster = {'cluster': {'worker': [address]}, 'task': {'type': 'worker', 'index': 0}}\n"
        "os.environ['TF_CONFIG'] = json.dumps(cluster)\n"
        "strategy = make_strategy(StrategyConfig(kind='multi_worker'))\n"
        "os.kill(os.getpid(), signal.SIGTERM)\n"
        "print(calls, flush=True)\n"
        "os._exit(0)\n"
    )
    done = subprocess.run(script_command(script), capture_output=True, text=True, timeout=600, check=False)
    assert (done.returncode, done.stdout) == (0, "[15]\n"), done.stderr
