"""What computes and stores: GPU, TPU, CPU cores, memory, free disk space."""

import ctypes
import os
import platform
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

from beam_pipelines.common.memory import available_memory_bytes
from beam_pipelines.common.terminal import counted
from configs.doctor.findings import BROKEN, MISSING, OK, Finding

CUDA_DRIVER = "libcuda.so.1"

# The variables that Google Cloud and Colab set where a TPU can be used.
_TPU_VARIABLES = (
    *("TPU_NAME", "TPU_ACCELERATOR_TYPE", "TPU_WORKER_ID", "COLAB_TPU_ADDR", "KUBE_GOOGLE_CLOUD_TPU_ENDPOINTS"),
)
_GIB = 2**30
_MAX_NAME_BYTES = 256
_NO_DEVICE = 100  # CUDA_ERROR_NO_DEVICE


def find_devices(
    driver: Mapping[str, Any],
    tensorflow: Mapping[str, Any],
    *,
    has_cuda_libraries: bool,
    advice: str | None = None,
    environment: Mapping[str, str] = os.environ,
) -> list[Finding]:
    """Returns a finding for each kind of device.

    Args:
        driver: What the child process says of NVIDIA's driver.
        tensorflow: What it says of TensorFlow.
        has_cuda_libraries: Whether the extra gpu is installed.
        advice: How to install it, if it is not.
        environment: Holds the variables of a TPU, and those that hide GPUs.
    """
    variables = [name for name in _TPU_VARIABLES if environment.get(name)]
    memory_bytes = available_memory_bytes()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return [
        find_gpu(driver, tensorflow, has_cuda_libraries=has_cuda_libraries, advice=advice, environment=environment),
        Finding("device", "TPU", OK, f"{', '.join(variables)} set: strategy=tpu" if variables else "none"),
        Finding("device", "CPU", OK, f"{counted(cores, 'core')}, {platform.machine()}"),
        Finding("device", "memory", OK, "unknown" if memory_bytes is None else f"{memory_bytes / _GIB:.1f} GiB free"),
        Finding("device", "disk", OK, f"{shutil.disk_usage('.').free / _GIB:.1f} GiB free in this folder"),
    ]


def find_gpu(
    driver: Mapping[str, Any],
    tensorflow: Mapping[str, Any],
    *,
    has_cuda_libraries: bool,
    advice: str | None = None,
    environment: Mapping[str, str] = os.environ,
) -> Finding:
    """Returns whether there is a GPU, and whether TensorFlow uses it; the arguments are those of `find_devices`."""
    gpus: Sequence[str] = driver.get("gpus", [])
    if environment.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return Finding("device", "GPU", OK, "none, because CUDA_VISIBLE_DEVICES hides all")
    if not gpus and not has_cuda_libraries:
        return Finding("device", "GPU", OK, "none")
    if not gpus:
        return Finding(
            "device",
            "GPU",
            BROKEN,
            f"the CUDA libraries are installed, but no GPU was found ({driver.get('error', 'the driver lists none')})",
            expected="a GPU with NVIDIA's driver",
            fix="install the driver; or pip install 'beamtune[train]' in a new environment, for the CPU alone",
        )
    names = ", ".join(gpus)
    if "error" in tensorflow or tensorflow["num_gpus"] > 0:
        return Finding("device", "GPU", OK, names)
    return Finding(
        "device",
        "GPU",
        BROKEN if has_cuda_libraries else MISSING,
        f"{names}, which TensorFlow does not use",
        expected="the CUDA libraries of this TensorFlow",
        fix="pip install --force-reinstall 'beamtune[gpu]'" if has_cuda_libraries else advice,
    )


def nvidia_gpus(library: str) -> list[str]:
    """Returns the name and the memory of each GPU that NVIDIA's driver lists. Runs in a child process.

    Args:
        library: The library of the driver, `CUDA_DRIVER`.

    Raises:
        OSError: There is no driver, or it fails.
    """
    cuda = ctypes.CDLL(library)
    number = ctypes.c_int()
    code = cuda.cuInit(0)
    if code == _NO_DEVICE:
        return []
    _check(code)
    _check(cuda.cuDeviceGetCount(ctypes.byref(number)))
    gpus = []
    for index in range(number.value):
        device, name, memory_bytes = ctypes.c_int(), ctypes.create_string_buffer(_MAX_NAME_BYTES), ctypes.c_size_t()
        _check(cuda.cuDeviceGet(ctypes.byref(device), index))
        _check(cuda.cuDeviceGetName(name, _MAX_NAME_BYTES, device))
        _check(cuda.cuDeviceTotalMem_v2(ctypes.byref(memory_bytes), device))
        gpus.append(f"{name.value.decode(errors='replace')} with {memory_bytes.value / _GIB:.0f} GiB")
    return gpus


def _check(code: int) -> None:
    if code != 0:
        raise OSError(f"NVIDIA's driver fails with code {code}")
