"""The machines that servers on Vertex AI can have: presets by name, with one GPU or none, which is what `serve` uses.

From https://docs.cloud.google.com/gemini-enterprise-agent-platform/machine-learning/predictions/configure-compute, as
known in November 2026.
"""

from collections.abc import Mapping, Sequence

from configs.launch.machines import Preset

_QUOTA = "aiplatform.googleapis.com/custom_model_serving_"


def _cpu(vcpus: int) -> Preset:
    families = ("n2-standard", "n1-standard", "e2-standard", "n2-highmem")
    return Preset(None, {f"{family}-{vcpus}": (0,) for family in families}, {}, f"{_QUOTA}cpus")


def _gpu(accelerator: str, quota: str, machine_types: Sequence[str]) -> Preset:
    return Preset(accelerator, dict.fromkeys(machine_types, (1,)), {}, f"{_QUOTA}nvidia_{quota}_gpus")


SERVING_PRESETS: Mapping[str, Preset] = {
    **{f"cpu-{vcpus}": _cpu(vcpus) for vcpus in (2, 4, 8, 16)},
    "t4": _gpu("NVIDIA_TESLA_T4", "t4", [f"n1-standard-{vcpus}" for vcpus in (4, 8, 16)]),
    "l4": _gpu("NVIDIA_L4", "l4", [f"g2-standard-{vcpus}" for vcpus in (4, 8, 12, 16, 32)]),
    "a100": _gpu("NVIDIA_TESLA_A100", "a100", ["a2-highgpu-1g"]),
}
