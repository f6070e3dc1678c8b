"""GPU, TPU, CPU, memory and disk."""

import shutil
from types import SimpleNamespace

import pytest

from configs.doctor import devices
from configs.doctor.devices import find_devices, find_gpu, nvidia_gpus
from configs.doctor.findings import BROKEN, MISSING, OK, Finding

NO_DRIVER = {"error": "OSError: libcuda.so.1: cannot open shared object file"}
H200 = {"gpus": ["NVIDIA H200 with 139 GiB"]}


@pytest.mark.parametrize("has_cuda_libraries", [False, True])
def test_a_gpu_that_tensorflow_uses(has_cuda_libraries):
    found = find_gpu(H200, {"num_gpus": 1}, has_cuda_libraries=has_cuda_libraries, environment={})
    assert found == Finding("device", "GPU", OK, "NVIDIA H200 with 139 GiB")


def test_no_gpu_is_no_problem():
    for driver in (NO_DRIVER, {"gpus": []}):
        found = find_gpu(driver, {"num_gpus": 0}, has_cuda_libraries=False, environment={})
        assert found == Finding("device", "GPU", OK, "none")


def test_cuda_libraries_without_a_driver():
    found = find_gpu(NO_DRIVER, {"num_gpus": 0}, has_cuda_libraries=True, environment={})
    assert found == Finding(
        *("device", "GPU", BROKEN),
        f"the CUDA libraries are installed, but no GPU was found ({NO_DRIVER['error']})",
        expected="a GPU with NVIDIA's driver",
        fix="install the driver; or pip install 'beamtune[train]' in a new environment, for the CPU alone",
    )


def test_hidden_gpus_are_no_problem():
    for value in ("", "-1"):
        found = find_gpu(
            {"gpus": []}, {"num_gpus": 0}, has_cuda_libraries=True, environment={"CUDA_VISIBLE_DEVICES": value}
        )
        assert found == Finding("device", "GPU", OK, "none, because CUDA_VISIBLE_DEVICES hides all")


@pytest.mark.parametrize(
    ("has_cuda_libraries", "state", "option"), [(False, MISSING, ""), (True, BROKEN, "--force-reinstall ")]
)
def test_a_gpu_that_tensorflow_does_not_use(has_cuda_libraries, state, option):
    advice = None if has_cuda_libraries else "pip install 'beamtune[gpu]'"
    found = find_gpu(H200, {"num_gpus": 0}, has_cuda_libraries=has_cuda_libraries, advice=advice, environment={})
    assert found == Finding(
        *("device", "GPU", state, "NVIDIA H200 with 139 GiB, which TensorFlow does not use"),
        expected="the CUDA libraries of this TensorFlow",
        fix=f"pip install {option}'beamtune[gpu]'",
    )


def test_a_gpu_without_tensorflow():
    found = find_gpu(H200, {"error": "not installed"}, has_cuda_libraries=False, environment={})
    assert (found.state, found.found) == (OK, "NVIDIA H200 with 139 GiB")


def test_the_other_devices(monkeypatch):
    monkeypatch.setattr(devices, "available_memory_bytes", lambda: 3 * 2**29)
    monkeypatch.setattr(devices.os, "sched_getaffinity", lambda _: {0}, raising=False)
    monkeypatch.setattr(devices.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=2**31))
    environment = {"TPU_NAME": "local", "TPU_ACCELERATOR_TYPE": "v5litepod-8", "COLAB_TPU_ADDR": ""}
    found = find_devices(NO_DRIVER, {"num_gpus": 0}, has_cuda_libraries=False, environment=environment)
    assert found == [
        Finding("device", "GPU", OK, "none"),
        Finding("device", "TPU", OK, "TPU_NAME, TPU_ACCELERATOR_TYPE set: strategy=tpu"),
        Finding("device", "CPU", OK, "1 core, x86_64"),
        Finding("device", "memory", OK, "1.5 GiB free"),
        Finding("device", "disk", OK, "2.0 GiB free in this folder"),
    ]
    monkeypatch.setattr(devices, "available_memory_bytes", lambda: None)
    found = find_devices(NO_DRIVER, {"num_gpus": 0}, has_cuda_libraries=False, environment={})
    assert [one.found for one in found[1:4]] == ["none", "1 core, x86_64", "unknown"]


class FakeDriver:
    """NVIDIA's driver with some GPUs of 80 GiB."""

    def __init__(self, *, init=0, count=2):
        self.init, self.count = init, count

    def cuInit(self, _):  # noqa: N802
        return self.init

    def cuDeviceGetCount(self, number):  # noqa: N802
        number._obj.value = self.count
        return 0

    def cuDeviceGet(self, device, index):  # noqa: N802
        device._obj.value = index + 10
        return 0

    def cuDeviceGetName(self, name, _, device):  # noqa: N802
        name.value = f"GPU {device.value}".encode()
        return 0

    def cuDeviceTotalMem_v2(self, memory_bytes, _):  # noqa: N802
        memory_bytes._obj.value = 80 * 2**30
        return 0


def test_the_driver_lists_names_and_memory(monkeypatch):
    monkeypatch.setattr(devices.ctypes, "CDLL", lambda _: FakeDriver())
    assert nvidia_gpus("x") == ["GPU 10 with 80 GiB", "GPU 11 with 80 GiB"]
    monkeypatch.setattr(devices.ctypes, "CDLL", lambda _: FakeDriver(init=100))
    assert nvidia_gpus("x") == []
    monkeypatch.setattr(devices.ctypes, "CDLL", lambda _: FakeDriver(init=999))
    with pytest.raises(OSError, match="^NVIDIA's driver fails with code 999$"):
        nvidia_gpus("x")


def test_a_missing_driver_is_an_error():
    with pytest.raises(OSError, match="libnone"):
        nvidia_gpus("libnone.so.1")
