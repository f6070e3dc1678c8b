"""The machines that jobs on Vertex AI can have: presets by name, each with the machine types for its accelerators.

From https://docs.cloud.google.com/gemini-enterprise-agent-platform/machine-learning/training/configure-compute, as
read in November 2026.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from beam_pipelines.common.checks import check, check_choice


@dataclass(frozen=True)
class Preset:
    """A kind of machine.

    Attributes:
        accelerator: The type of its accelerators, as the API names it; None for CPUs and TPUs.
        machine_types: The machine types, and the numbers of accelerators that each can have; the first type that has
            the wanted number is the default.
        tpu_topology: The arrangement of TPU chips, by their number; empty for other machines.
        quota: The quota of the accelerators, as the service names it.
        can_flex_start: Whether machines can be scheduled with flex_start.
    """

    accelerator: str | None
    machine_types: Mapping[str, tuple[int, ...]]
    tpu_topology: Mapping[int, str]
    quota: str
    can_flex_start: bool = False

    @property
    def is_tpu(self) -> bool:
        return bool(self.tpu_topology)

    @property
    def counts(self) -> list[int]:
        """The numbers of accelerators that one machine can have; [0] for a machine without."""
        return sorted({count for counts in self.machine_types.values() for count in counts})


@dataclass(frozen=True)
class ChosenMachine:
    """One machine of a job.

    Attributes:
        preset: Its kind.
        machine_type: Its type, such as "g2-standard-8".
        num_accelerators: Its accelerators.
    """

    preset: Preset
    machine_type: str
    num_accelerators: int

    def spec(self) -> dict[str, object]:
        """Returns the MachineSpec of the API, in its JSON form."""
        spec: dict[str, object] = {"machineType": self.machine_type}
        if self.preset.is_tpu:
            # The chips are part of the machine type.
            return {**spec, "tpuTopology": self.preset.tpu_topology[self.num_accelerators]}
        if self.preset.accelerator is not None:
            spec |= {"acceleratorType": self.preset.accelerator, "acceleratorCount": self.num_accelerators}
        return spec


_QUOTA = "aiplatform.googleapis.com/custom_model_training_"


def _cpu(vcpus: int) -> Preset:
    families = ("n2-standard", "n2-highmem", "n1-standard", "n1-highmem")
    return Preset(None, {f"{family}-{vcpus}": (0,) for family in families}, {}, f"{_QUOTA}cpus")


def _gpu(accelerator: str, quota: str, machine_types: Mapping[str, tuple[int, ...]], *, flex: bool = True) -> Preset:
    return Preset(accelerator, machine_types, {}, f"{_QUOTA}nvidia_{quota}_gpus", can_flex_start=flex)


PRESETS: Mapping[str, Preset] = {
    **{f"cpu-{vcpus}": _cpu(vcpus) for vcpus in (4, 8, 16, 32, 64)},
    "t4": _gpu(
        "NVIDIA_TESLA_T4",
        "t4",
        {"n1-standard-8": (1,), "n1-standard-4": (1,), "n1-standard-16": (1, 2), "n1-standard-32": (2, 4)},
        flex=False,
    ),
    "l4": _gpu(
        "NVIDIA_L4",
        "l4",
        {
            "g2-standard-8": (1,),
            "g2-standard-4": (1,),
            "g2-standard-12": (1,),
            "g2-standard-16": (1,),
            "g2-standard-32": (1,),
            "g2-standard-24": (2,),
            "g2-standard-48": (4,),
            "g2-standard-96": (8,),
        },
    ),
    "a100": _gpu(
        "NVIDIA_TESLA_A100",
        "a100",
        {**{f"a2-highgpu-{count}g": (count,) for count in (1, 2, 4, 8)}, "a2-megagpu-16g": (16,)},
    ),
    "a100-80": _gpu("NVIDIA_A100_80GB", "a100_80gb", {f"a2-ultragpu-{count}g": (count,) for count in (1, 2, 4, 8)}),
    "h100": _gpu("NVIDIA_H100_80GB", "h100", {f"a3-highgpu-{count}g": (count,) for count in (1, 2, 4, 8)}),
    "h200": _gpu("NVIDIA_H200_141GB", "h200", {"a3-ultragpu-8g": (8,)}),
    # TensorFlow is supported up to v5e, in an image with TensorFlow and libtpu for TPU VMs; not from v6e on.
    "tpu-v5e": Preset(
        None,
        {f"ct5lp-hightpu-{count}t": (count,) for count in (1, 4, 8)},
        {1: "1x1", 4: "2x2", 8: "2x4"},
        f"{_QUOTA}tpu_v5e",
    ),
}


def choose_machine(
    name: str,
    num_accelerators: int | None,
    machine_type: str | None = None,
    *,
    key: str = "launch.machine",
    presets: Mapping[str, Preset] = PRESETS,
) -> ChosenMachine:
    """Returns a machine of a preset.

    Args:
        name: The preset.
        num_accelerators: GPUs or TPU chips of the machine; None for the fewest that the preset has.
        machine_type: Another type than the default one of the preset.
        key: The setting of the name, for errors.
        presets: The presets that there are.

    Raises:
        UserError: There is no such preset, or no such machine in it.
    """
    check_choice(name, tuple(presets), key=key)
    preset = presets[name]
    types = preset.machine_types
    if machine_type is not None:
        check_choice(machine_type, tuple(types), key=f"{key}_type")
        types = {machine_type: types[machine_type]}
    counts = sorted({count for some in types.values() for count in some})
    count = counts[0] if num_accelerators is None else num_accelerators
    where = name if machine_type is None else f"{name} and {machine_type}"
    check(
        count in counts,
        key="launch.accelerators",
        value=count,
        expected=f"{_either(counts)} with {key}={where}"
        if counts != [0]
        else f"0 or null with {key}={where}, which has no accelerators",
    )
    return ChosenMachine(preset, next(one for one, some in types.items() if count in some), count)


def _either(counts: list[int]) -> str:
    *others, last = map(str, counts)
    return f"{', '.join(others)} or {last}" if others else last
