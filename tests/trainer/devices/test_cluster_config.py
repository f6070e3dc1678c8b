"""The one parser of TF_CONFIG and CLUSTER_SPEC; how each caller uses it is tested with the caller."""

import json
from typing import Any

import pytest

from beam_pipelines.common.errors import UserError
from trainer.devices.cluster_config import ClusterConfig, parse_cluster, split_address

WORKERS = {"worker": ["a:1", "[::1]:65535"], "ps": []}


def parse(content: Any, *, needs_task: bool = True) -> ClusterConfig | None:
    return parse_cluster(json.dumps(content), variable="TF_CONFIG", example="{}", needs_task=needs_task)


def test_a_cluster_has_its_addresses_and_the_place_of_this_process() -> None:
    cluster = parse({"cluster": WORKERS, "task": {"type": "worker", "index": "1"}, "environment": "cloud"})
    assert cluster == ClusterConfig({"worker": ("a:1", "[::1]:65535")}, "worker", 1)
    assert cluster.num_processes == 2
    assert [split_address(address) for address in cluster.addresses["worker"]] == [("a", 1), ("[::1]", 65535)]


@pytest.mark.parametrize("content", [{"cluster": {}}, {"cluster": {"worker": []}, "task": 3}])
def test_a_cluster_without_addresses_is_none(content: Any) -> None:
    assert parse(content) is None


def test_the_task_may_be_left_out_only_where_it_is_clear_and_allowed() -> None:
    alone, several = {"cluster": {"chief": ["a:1"]}}, {"cluster": WORKERS}
    assert parse(alone, needs_task=False) == ClusterConfig({"chief": ("a:1",)}, "chief", 0)
    first = parse({**several, "task": {"type": "worker"}}, needs_task=False)
    assert first is not None
    assert (first.job, first.index) == ("worker", 0)
    for content, needs_task in ((alone, True), (several, True), (several, False)):
        with pytest.raises(UserError, match='^TF_CONFIG has no "task": expected something like {}$'):
            parse(content, needs_task=needs_task)
    with pytest.raises(UserError, match="does not name a process of the cluster"):
        parse({**several, "task": {"type": "worker"}})


@pytest.mark.parametrize("address", ["a", ":1", "a:0", "a:65536", "a:b", "a:١", "a b:1", "http://a:1", "a:1\n"])
def test_what_is_not_an_address_is_refused(address: str) -> None:
    with pytest.raises(UserError, match="gives 'worker' the address"):
        parse({"cluster": {"worker": [address]}, "task": {"type": "worker", "index": 0}})
