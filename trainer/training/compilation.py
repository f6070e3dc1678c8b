"""Whether XLA compiles the steps of a run."""

import warnings
from collections.abc import Mapping
from typing import Any

import keras

from beam_pipelines.common.checks import check
from trainer.devices.accelerators import has_gpu, xla_compiles
from trainer.devices.config import NO_STRATEGY
from trainer.training.config import AUTO, TrainConfig

# XLA takes up to minutes to compile a model, and saves milliseconds of each step.
_LEAST_STEPS = 10_000


def compiles_with_xla(config: TrainConfig, *, model: keras.Model, steps_per_epoch: int) -> bool:
    """Returns whether XLA compiles the forward and the backward pass, as `jit_compile` and the devices say.

    Args:
        config: The settings.
        model: The model.
        steps_per_epoch: Steps of an epoch.

    Raises:
        UserError: The settings demand it where it is not possible.
    """
    on_gpu = has_gpu()
    # On a GPU, recurrent layers are kernels of cuDNN, which XLA does not know.
    is_supported = not on_gpu or _can_be_compiled(model)
    if config.jit_compile == AUTO:
        is_long = config.epochs * steps_per_epoch >= _LEAST_STEPS
        return on_gpu and config.strategy.kind == NO_STRATEGY and is_long and is_supported and xla_compiles()
    check(
        not config.jit_compile or is_supported,
        key="jit_compile",
        value=config.jit_compile,
        expected=f"false or auto with model={config.model.name} on a GPU, because XLA cannot compile its recurrent "
        "layers there",
    )
    return bool(config.jit_compile)


def keys_of_same_compilation(saved: Mapping[str, Any], config: TrainConfig) -> frozenset[str]:
    """Returns `jit_compile` if its saved and its given value have the same effect on this machine, and nothing else.

    Args:
        saved: The settings that the run was started with.
        config: The given ones.
    """
    is_auto_off = not has_gpu() or config.strategy.kind != NO_STRATEGY
    are_off = {saved.get("jit_compile", AUTO), config.jit_compile} <= {AUTO, False}
    return frozenset({"jit_compile"} if is_auto_off and are_off else ())


def _can_be_compiled(model: keras.Model) -> bool:
    """Returns whether all layers can be compiled by XLA on a GPU. Keras refuses the setting, with a warning, if not."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.jit_compile = True
    return bool(model.jit_compile)
