"""Values that the settings refuse, and composition by OmegaConf."""

from collections.abc import Callable

import pytest
from omegaconf import OmegaConf

from beam_pipelines.common.errors import UserError
from trainer.devices.config import StrategyConfig
from trainer.evaluation.config import EvaluateConfig, PredictConfig
from trainer.models.architectures.cnn2d import Cnn2dConfig
from trainer.training.config import OptimizerConfig, TrainConfig


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: StrategyConfig(kind="tpus"), "strategy.kind=tpus: expected one of none, mirrored"),
        (lambda: OptimizerConfig(learning_rate=0.0), "optimizer.learning_rate=0.0: expected a rate above 0"),
        (lambda: OptimizerConfig(weight_decay=-0.1), "optimizer.weight_decay=-0.1: expected a decay from 0 to 1"),
        (lambda: OptimizerConfig(warmup_epochs=-1), "optimizer.warmup_epochs=-1"),
        (lambda: OptimizerConfig(schedule="cosin"), "optimizer.schedule=cosin"),
        (lambda: OptimizerConfig(gradient_clip_norm=0.0), "optimizer.gradient_clip_norm=0.0: expected a norm above 0"),
        (lambda: Cnn2dConfig(filters=[]), "model.filters=[]: expected"),
        (lambda: Cnn2dConfig(filters=[8, 0]), "model.filters=[8, 0]: expected"),
        (lambda: Cnn2dConfig(filters=[8], time_pools=[2, 2]), "model.time_pools=[2, 2]: expected a list of 1 "),
        (lambda: Cnn2dConfig(filters=[8], time_pools=[2], band_pools=[0]), "model.band_pools=[0]: expected"),
        (lambda: Cnn2dConfig(hidden_units=0), "model.hidden_units=0: expected 1 to 65536 units"),
        (lambda: Cnn2dConfig(dropout=1.0), "model.dropout=1.0: expected a share of at least 0 and below 1"),
        (lambda: TrainConfig(seed=-1), "seed=-1: expected a whole number from 0 to"),
        (lambda: TrainConfig(epochs=0), "epochs=0: expected a whole number from 1 to"),
        (lambda: TrainConfig(global_batch_size=0), "global_batch_size=0: expected"),
        (lambda: TrainConfig(steps_per_call=0), "steps_per_call=0: expected"),
        (
            lambda: TrainConfig(steps_per_call="all"),
            "steps_per_call=all: expected a whole number from 1 to 10000, or auto",
        ),
        (lambda: TrainConfig(jit_compile="no"), "jit_compile=no: expected true, false or auto"),
        (
            lambda: TrainConfig(jit_compile=True, strategy=StrategyConfig(kind="mirrored", num_devices=1)),
            "jit_compile=true: expected false or auto with strategy=mirrored, even of one device",
        ),
        (lambda: TrainConfig(shuffle_buffer_examples=0), "shuffle_buffer_examples=0: expected"),
        (lambda: TrainConfig(early_stopping_patience_epochs=0), "early_stopping_patience_epochs=0: expected at least"),
        (lambda: TrainConfig(label_smoothing=1.0), "label_smoothing=1.0: expected a share"),
        (lambda: EvaluateConfig(split="dev"), "split=dev: expected one of train, validation, test"),
        (lambda: EvaluateConfig(batch_size=0), "batch_size=0: expected"),
        (lambda: PredictConfig(batch_size=0), "batch_size=0: expected"),
        (lambda: PredictConfig(top_k=0), "top_k=0: expected at least 1 genre"),
    ],
)
def test_refused_values(make: Callable[[], object], message: str) -> None:
    with pytest.raises(UserError) as caught:
        make()
    assert message in str(caught.value)


def test_omegaconf_holds_every_config() -> None:
    config = TrainConfig(
        data_dir="in", run_dir="out", epochs=3, model=Cnn2dConfig(filters=[8], time_pools=[2], band_pools=[2])
    )
    assert OmegaConf.to_object(OmegaConf.structured(config)) == config
    assert OmegaConf.is_missing(OmegaConf.structured(TrainConfig), "model")
    for other in (EvaluateConfig(run_dir="run"), PredictConfig()):
        assert OmegaConf.to_object(OmegaConf.structured(other)) == other
