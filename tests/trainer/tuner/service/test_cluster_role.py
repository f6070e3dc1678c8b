"""The role of a machine, from each documented form of its environment."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_pipelines.common.errors import UserError
from trainer.tuner.service.cluster_role import ClusterRole, role_from_environment

EVERYWHERE = "0.0.0.0"  # noqa: S104 - where the chief of a cluster listens

POOLS = {"workerpool0": ["cmle-0:2222"], "workerpool1": ["cmle-1:2222", "cmle-2:2222"]}


def cluster_text(cluster: Any = POOLS, job: Any = "workerpool1", index: Any = 1, **more: Any) -> str:
    return json.dumps({"cluster": cluster, "task": {"type": job, "index": index}, **more})


def test_without_a_cluster_there_is_no_role() -> None:
    assert role_from_environment({}) is None
    assert role_from_environment({"TF_CONFIG": "", "CLUSTER_SPEC": "", "KERASTUNER_TUNER_ID": ""}) is None
    # Some platforms set this for a single machine.
    assert role_from_environment({"TF_CONFIG": '{"cluster": {}, "task": {"type": "chief", "index": 0}}'}) is None


def test_keras_tuners_variables() -> None:
    environment = {"KERASTUNER_ORACLE_IP": "10.0.0.2", "KERASTUNER_ORACLE_PORT": "8000"}
    assert role_from_environment({**environment, "KERASTUNER_TUNER_ID": "tuner0"}) == ClusterRole(
        "worker", "tuner0", "10.0.0.2", 8000, None
    )
    chief = role_from_environment({**environment, "KERASTUNER_TUNER_ID": "chief", "KERASTUNER_ORACLE_IP": EVERYWHERE})
    assert chief == ClusterRole("chief", "chief", EVERYWHERE, 8000, None)
    # They have priority.
    assert role_from_environment({**environment, "KERASTUNER_TUNER_ID": "t", "TF_CONFIG": "{"}) == ClusterRole(
        "worker", "t", "10.0.0.2", 8000, None
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (cluster_text(job="workerpool0", index=0), ClusterRole("chief", "chief", EVERYWHERE, 2222, 2)),
        (cluster_text(index=0), ClusterRole("worker", "tuner-workerpool1-0", "cmle-0", 2222, 2)),
        (cluster_text(index=1), ClusterRole("worker", "tuner-workerpool1-1", "cmle-0", 2222, 2)),
        # As Vertex AI adds to it, an index as a text included.
        (
            cluster_text(index="1", environment="cloud", job="workerpool1"),
            ClusterRole("worker", "tuner-workerpool1-1", "cmle-0", 2222, 2),
        ),
        (
            cluster_text({**POOLS, "workerpool2": [], "workerpool3": ["e:1"]}, "workerpool3", 0),
            ClusterRole("worker", "tuner-workerpool3-0", "cmle-0", 2222, 3),
        ),
        # One replica: the chief is alone, also without a task.
        (
            cluster_text({"workerpool0": ["127.0.0.1:2222"]}, "workerpool0", 0),
            ClusterRole("chief", "chief", EVERYWHERE, 2222, 0),
        ),
        (cluster_text({"chief": ["127.0.0.1:2222"]}, "chief", 0), ClusterRole("chief", "chief", EVERYWHERE, 2222, 0)),
        (json.dumps({"cluster": {"chief": ["[::1]:2222"]}}), ClusterRole("chief", "chief", EVERYWHERE, 2222, 0)),
    ],
)
def test_vertex_cluster_spec(text: str, expected: ClusterRole) -> None:
    assert role_from_environment({"CLUSTER_SPEC": text, "TF_CONFIG": "not looked at"}) == expected


@pytest.mark.parametrize(
    ("cluster", "job", "index", "expected"),
    [
        ({"chief": ["a:1"], "worker": ["b:2", "c:3"]}, "chief", 0, ClusterRole("chief", "chief", EVERYWHERE, 1, 2)),
        ({"chief": ["a:1"], "worker": ["b:2", "c:3"]}, "worker", 1, ClusterRole("worker", "tuner-worker-1", "a", 1, 2)),
        ({"master": ["a:1"], "worker": ["b:2"]}, "worker", 0, ClusterRole("worker", "tuner-worker-0", "a", 1, 1)),
        # TensorFlow's rule: without a chief, the first worker is it.
        ({"worker": ["a:1", "b:2"]}, "worker", 0, ClusterRole("chief", "chief", EVERYWHERE, 1, 1)),
        ({"worker": ["a:1", "b:2"]}, "worker", 1, ClusterRole("worker", "tuner-worker-1", "a", 1, 1)),
        ({"worker": ["a:1"]}, "worker", 0, ClusterRole("chief", "chief", EVERYWHERE, 1, 0)),
    ],
)
def test_tf_config(cluster: Any, job: str, index: int, expected: ClusterRole) -> None:
    assert role_from_environment({"TF_CONFIG": cluster_text(cluster, job, index)}) == expected


def test_a_worker_connects_to_the_chief() -> None:
    role = role_from_environment({"CLUSTER_SPEC": cluster_text()})
    assert role is not None
    assert role.chief_address == "cmle-0:2222"
    assert "chief" not in role.worker_name


@pytest.mark.parametrize(
    ("environment", "problem"),
    [
        ({"KERASTUNER_TUNER_ID": "a"}, "KERASTUNER_ORACLE_IP and KERASTUNER_ORACLE_PORT: not set"),
        ({"KERASTUNER_ORACLE_PORT": "1"}, "KERASTUNER_TUNER_ID and KERASTUNER_ORACLE_IP: not set"),
        ({"CLUSTER_SPEC": "{"}, "CLUSTER_SPEC is not JSON (JSONDecodeError)"),
        ({"CLUSTER_SPEC": "[" * 100_000}, "CLUSTER_SPEC is not JSON (RecursionError)"),
        ({"CLUSTER_SPEC": "[]"}, 'CLUSTER_SPEC has no "cluster"'),
        ({"CLUSTER_SPEC": '{"cluster": ["a:1"]}'}, 'CLUSTER_SPEC has no "cluster"'),
        ({"CLUSTER_SPEC": '{"cluster": {"workerpool0": "a:1"}}'}, "does not list the addresses of 'workerpool0'"),
        ({"CLUSTER_SPEC": '{"cluster": {"workerpool0": [1]}}'}, "does not list the addresses of 'workerpool0'"),
        ({"CLUSTER_SPEC": cluster_text({"workerpool0": ["a"]})}, "gives 'workerpool0' the address 'a'"),
        ({"CLUSTER_SPEC": cluster_text({"workerpool0": ["a:0"]})}, "gives 'workerpool0' the address 'a:0'"),
        ({"CLUSTER_SPEC": cluster_text({"workerpool0": ["a:65536"]})}, "gives 'workerpool0' the address 'a:65536'"),
        (
            {"CLUSTER_SPEC": cluster_text({"workerpool4": ["a:1"]}, "workerpool4", 0)},
            "names 'workerpool4', which has no role",
        ),
        ({"CLUSTER_SPEC": cluster_text({"workerpool1": ["a:1"]}, index=0)}, "names no chief"),
        ({"CLUSTER_SPEC": json.dumps({"cluster": POOLS})}, 'has no "task"'),
        ({"CLUSTER_SPEC": cluster_text(index=2)}, "says that this process is workerpool1 2, and lists 2 of these"),
        ({"CLUSTER_SPEC": cluster_text(index=-1)}, "says that this process is workerpool1 -1, and lists 2 of these"),
        ({"CLUSTER_SPEC": cluster_text(index=True)}, 'does not name a process of the cluster in "task"'),
        ({"CLUSTER_SPEC": cluster_text(job=None)}, 'does not name a process of the cluster in "task"'),
        ({"TF_CONFIG": cluster_text({"chief": ["a:1", "b:1"]}, "chief", 1)}, "names more than one chief"),
        ({"TF_CONFIG": cluster_text({"chief": ["a:1"], "ps": ["b:1"]}, "ps", 0)}, "names 'ps', which has no role"),
    ],
)
def test_unusable_values_are_errors_of_one_line(environment: dict[str, str], problem: str) -> None:
    with pytest.raises(UserError) as caught:
        role_from_environment(environment)
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("KERASTUNER_TUNER_ID", "a b"),
        ("KERASTUNER_ORACLE_IP", "10.0.0.2:8000"),
        ("KERASTUNER_ORACLE_PORT", "0"),
        ("KERASTUNER_ORACLE_PORT", "65536"),
        ("KERASTUNER_ORACLE_PORT", "http"),
        ("KERASTUNER_ORACLE_PORT", "٣"),
    ],
)
def test_a_wrong_variable_of_keras_tuner_is_named(name: str, value: str) -> None:
    environment = {"KERASTUNER_TUNER_ID": "a", "KERASTUNER_ORACLE_IP": "h", "KERASTUNER_ORACLE_PORT": "1", name: value}
    with pytest.raises(UserError, match=f"{name}={value}: expected"):
        role_from_environment(environment)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(["a:1", "chief"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["cluster", "task", "type", "index", "chief", "worker", "workerpool0", "x"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(content=JSON, variable=st.sampled_from(["CLUSTER_SPEC", "TF_CONFIG"]))
def test_any_json_gives_a_role_or_one_line(content: Any, variable: str) -> None:
    try:
        role = role_from_environment({variable: json.dumps(content)})
    except UserError as error:
        assert "expected something like" in str(error)
    else:
        assert role is None or (role.kind in ("chief", "worker") and 1 <= role.port <= 65535)


@given(cluster=st.dictionaries(st.sampled_from(["chief", "worker"]), JSON, max_size=2), task=JSON)
def test_any_cluster_and_task_give_a_role_or_one_line(cluster: Any, task: Any) -> None:
    try:
        role = role_from_environment({"TF_CONFIG": json.dumps({"cluster": cluster, "task": task})})
    except UserError as error:
        assert "\n" not in str(error)
    else:
        assert role is None or role.port >= 1
