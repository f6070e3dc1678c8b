"""Machine types of Compute Engine, as their published tables have them."""

import pytest

from beam_pipelines.runners.machine_types import Machine, parse_machine_type


@pytest.mark.parametrize(
    ("machine_type", "vcpus", "memory_gib"),
    [
        ("n1-standard-1", 1, 3.75),
        ("n1-standard-4", 4, 15.0),
        ("n1-highmem-8", 8, 52.0),
        ("n1-highcpu-16", 16, 14.4),
        ("n2-standard-4", 4, 16.0),
        ("n2-highcpu-32", 32, 32.0),
        ("n2d-highmem-8", 8, 64.0),
        ("e2-standard-2", 2, 8.0),
        ("c2-standard-60", 60, 240.0),
        ("c2d-highcpu-8", 8, 16.0),
        ("c3-highmem-22", 22, 176.0),
        ("t2d-standard-8", 8, 32.0),
        ("custom-4-16384", 4, 16.0),
        ("n2-custom-6-20480", 6, 20.0),
        ("n1-custom-2-65536-ext", 2, 64.0),
    ],
)
def test_a_name_gives_vcpus_and_memory(machine_type, vcpus, memory_gib):
    machine = parse_machine_type(machine_type)
    assert (machine.vcpus, machine.memory_gib) == (vcpus, pytest.approx(memory_gib))


@pytest.mark.parametrize(
    "machine_type",
    ["", "n2", "n2-standard", "n2-standard-0", "n2-standard-4-lssd", "c2-highmem-4", "z9-standard-4", "custom-0-1024"],
)
def test_other_names_are_unknown(machine_type):
    assert parse_machine_type(machine_type) is None


def test_a_machine_has_the_cores_and_memory_of_its_type():
    assert parse_machine_type("e2-highmem-2") == Machine(vcpus=2, memory_gib=16.0)
