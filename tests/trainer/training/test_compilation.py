"""Where XLA compiles the steps of a run: decided for devices that are simulated."""

from typing import Any

import keras
import pytest

from beam_pipelines.common.errors import UserError
from trainer.devices.config import StrategyConfig
from trainer.models.architectures.crnn import CrnnConfig
from trainer.training import compilation
from trainer.training.config import TrainConfig


def decide(*, recurrent: bool = False, steps_per_epoch: int = 100, **options: Any) -> bool:
    config = TrainConfig(run_dir="run", data_dir="data", epochs=100, model=CrnnConfig(), **options)
    layer = keras.layers.GRU(2)
    # What Keras sets where there is a GPU.
    layer.supports_jit = not recurrent
    return compilation.compiles_with_xla(
        config,
        model=keras.Sequential([keras.Input((3, 2)), layer]),
        steps_per_epoch=steps_per_epoch,
    )


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compilation, "has_gpu", lambda: True)
    monkeypatch.setattr(compilation, "xla_compiles", lambda: True)


def test_without_a_gpu_only_the_setting_counts() -> None:
    assert not decide()
    assert decide(jit_compile=True) and decide(jit_compile=True, recurrent=True)
    assert not decide(jit_compile=False)


@pytest.mark.usefixtures("gpu")
def test_long_runs_on_one_gpu_are_compiled() -> None:
    assert decide()
    assert not decide(steps_per_epoch=99)
    assert not decide(strategy=StrategyConfig(kind="mirrored", num_devices=1))
    assert not decide(recurrent=True)
    assert not decide(jit_compile=False)


@pytest.mark.usefixtures("gpu")
def test_a_gpu_for_which_xla_does_not_compile_is_used_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compilation, "xla_compiles", lambda: False)
    assert not decide()


@pytest.mark.usefixtures("gpu")
def test_what_xla_cannot_compile_is_refused() -> None:
    with pytest.raises(UserError, match="jit_compile=true: expected false or auto with model=crnn on a GPU"):
        decide(jit_compile=True, recurrent=True)


def same(saved: bool | str, given: bool | str, *, kind: str = "none") -> bool:
    config = TrainConfig(
        run_dir="r", data_dir="d", model=CrnnConfig(), jit_compile=given, strategy=StrategyConfig(kind=kind)
    )
    return compilation.keys_of_same_compilation({"jit_compile": saved}, config) == {"jit_compile"}


def test_auto_is_false_without_a_gpu() -> None:
    assert same("auto", False) and same(False, "auto")
    assert not same("auto", True) and not same(False, True) and not same(True, "auto")


@pytest.mark.usefixtures("gpu")
def test_auto_is_false_on_a_gpu_with_a_strategy_only() -> None:
    assert same("auto", False, kind="mirrored")
    assert not same("auto", False)
