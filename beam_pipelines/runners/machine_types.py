"""The vCPUs and the memory of a Compute Engine machine type, from its name."""

import re
from dataclasses import dataclass

# GiB of memory for each vCPU, by family and kind, from https://cloud.google.com/compute/docs/machine-resource
_GIB_PER_VCPU = {
    "n1": {"standard": 3.75, "highmem": 6.5, "highcpu": 0.9},
    "n2": {"standard": 4.0, "highmem": 8.0, "highcpu": 1.0},
    "n2d": {"standard": 4.0, "highmem": 8.0, "highcpu": 1.0},
    "n4": {"standard": 4.0, "highmem": 8.0, "highcpu": 2.0},
    "e2": {"standard": 4.0, "highmem": 8.0, "highcpu": 1.0},
    "c2": {"standard": 4.0},
    "c2d": {"standard": 4.0, "highmem": 8.0, "highcpu": 2.0},
    "c3": {"standard": 4.0, "highmem": 8.0, "highcpu": 2.0},
    "t2d": {"standard": 4.0},
}
_PREDEFINED = re.compile(r"([a-z]\d[a-z]?)-(standard|highmem|highcpu)-(\d+)")
_CUSTOM = re.compile(r"(?:[a-z]\d[a-z]?-)?custom-(\d+)-(\d+)(?:-ext)?")

KNOWN_FAMILIES = tuple(_GIB_PER_VCPU)


@dataclass(frozen=True)
class Machine:
    """One machine.

    Attributes:
        vcpus: Virtual CPUs.
        memory_gib: Memory in GiB.
    """

    vcpus: int
    memory_gib: float


def parse_machine_type(machine_type: str) -> Machine | None:
    """Returns the size of a machine type such as "n2-standard-4" or "custom-4-16384"; None if the name is unknown."""
    if match := _PREDEFINED.fullmatch(machine_type):
        family, kind, vcpus = match[1], match[2], int(match[3])
        gib_per_vcpu = _GIB_PER_VCPU.get(family, {}).get(kind)
        return Machine(vcpus, vcpus * gib_per_vcpu) if gib_per_vcpu is not None and vcpus > 0 else None
    if match := _CUSTOM.fullmatch(machine_type):
        vcpus, memory_mib = int(match[1]), int(match[2])
        return Machine(vcpus, memory_mib / 1024) if vcpus > 0 and memory_mib > 0 else None
    return None
