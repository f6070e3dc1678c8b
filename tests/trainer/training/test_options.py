"""Runs with every option of the loop, compared with a run without options."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from trainer.evaluation.config import EvaluateConfig
from trainer.evaluation.evaluate import evaluate
from trainer.models.architectures.cnn2d import Cnn2dConfig
from trainer.runs.checkpoint_index import BEST, LAST, find_checkpoint
from trainer.runs.run_dir import RunDir
from trainer.training.config import TrainConfig
from trainer.training.train import train

# A checkpoint names trainable weights as the optimizer's, because that path is the shortest.
WEIGHTS = "optimizer/_trainable_variables/"

pytestmark = pytest.mark.slow

MakeConfig = Callable[..., TrainConfig]
MODEL = Cnn2dConfig(filters=[8, 8], time_pools=[2, 2], band_pools=[2, 2], hidden_units=16, dropout=0.0)


@pytest.fixture(autouse=True)
def float32_afterwards() -> Any:
    yield
    keras.config.set_dtype_policy("float32")


@pytest.fixture(scope="module")
def plain(shared_config: TrainConfig, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The directory of a run without options."""
    config = replace(shared_config, run_dir=str(tmp_path_factory.mktemp("plain") / "run"), model=MODEL)
    train(config)
    return config.run_dir


def model_values(run_dir: str, kind: str = LAST) -> dict[str, np.ndarray]:
    path = find_checkpoint(RunDir(run_dir).checkpoint_dir, kind)
    assert path is not None
    reader = tf.train.load_checkpoint(path)
    names = reader.get_variable_to_shape_map()
    return {name: reader.get_tensor(name) for name in names if name.startswith(("model/", WEIGHTS))}


def validation_loss(run_dir: str) -> float:
    metrics = RunDir(run_dir).metrics()
    assert metrics is not None
    loss = metrics.levels["validation"]["segment"].loss
    assert loss is not None
    return loss


@pytest.mark.parametrize("precision", [pytest.param("mixed_bfloat16", marks=pytest.mark.exhaustive), "mixed_float16"])
def test_mixed_precision_learns_what_float32_does_with_weights_in_float32(
    make_config: MakeConfig, plain: str, precision: str
) -> None:
    mixed = make_config(model=MODEL, precision=precision)
    train(mixed)
    values, others = model_values(mixed.run_dir), model_values(plain)
    assert values.keys() == others.keys()
    assert {value.dtype for value in values.values()} == {value.dtype for value in others.values()}
    assert any((value != others[name]).any() for name, value in values.items()), (
        "nothing was computed in another precision"
    )
    assert validation_loss(mixed.run_dir) == pytest.approx(validation_loss(plain), abs=0.05)
    keras.config.set_dtype_policy("float32")
    evaluate(EvaluateConfig(run_dir=mixed.run_dir))


def test_xla_learns_what_the_graph_does(make_config: MakeConfig, plain: str) -> None:
    compiled = make_config(model=MODEL, jit_compile=True)
    train(compiled)
    for name, value in model_values(compiled.run_dir).items():
        np.testing.assert_allclose(value, model_values(plain)[name], atol=2e-3, err_msg=name)


def test_accumulated_batches_learn_what_whole_ones_do(make_config: MakeConfig, plain: str) -> None:
    # The weights differ slightly, because batch normalisation uses the statistics of each part.
    parts = make_config(model=MODEL, gradient_accumulation_steps=4)
    train(parts)
    assert RunDir(parts.run_dir).is_finished()
    assert validation_loss(parts.run_dir) == pytest.approx(validation_loss(plain), abs=0.1)


def test_the_moving_average_is_the_result_and_does_not_change_the_training(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    plain = make_config(run_dir=str(tmp_path / "plain"), model=MODEL, epochs=1)
    averaged = make_config(run_dir=str(tmp_path / "averaged"), model=MODEL, epochs=1, ema_decay=0.5)
    train(plain)
    train(averaged)
    # The weights that are trained are those of a run without an average …
    trained = {name: value for name, value in model_values(plain.run_dir).items() if name.startswith(WEIGHTS)}
    for name, value in trained.items():
        np.testing.assert_array_equal(value, model_values(averaged.run_dir)[name], err_msg=name)
    # … and the best ones are the average that the optimizer has kept.
    path = find_checkpoint(RunDir(averaged.run_dir).checkpoint_dir, LAST)
    reader = tf.train.load_checkpoint(path)
    names = reader.get_variable_to_shape_map()
    averages = [reader.get_tensor(name) for name in names if name.startswith("optimizer/_variables/")]
    best = model_values(averaged.run_dir, BEST)
    for name, value in trained.items():
        assert (best[name] != value).any(), name
        assert any(np.array_equal(average, best[name]) for average in averages), name


def test_balanced_classes_and_sampling_train(make_config: MakeConfig, tmp_path: Path) -> None:
    for options in ({"class_weighting": "balanced"}, {"sampling": "balanced"}):
        config = make_config(run_dir=str(tmp_path / "-".join(options)), model=MODEL, epochs=1, **options)
        train(config)
        assert RunDir(config.run_dir).is_finished()
