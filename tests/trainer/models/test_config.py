"""The settings of models: values that are refused, the features that they name, and their YAML files."""

from collections.abc import Callable

import pytest
from omegaconf import OmegaConf

from beam_pipelines.common.errors import UserError
from configs.compose import CONFIG_DIR, compose, to_dataclass
from trainer.models.architectures.attention_pool import AttentionPoolConfig
from trainer.models.architectures.bilstm import BilstmConfig
from trainer.models.architectures.cnn1d import Cnn1dConfig
from trainer.models.architectures.crnn import CrnnConfig
from trainer.models.architectures.linear import LinearConfig
from trainer.models.architectures.parallel import ParallelConfig
from trainer.models.architectures.res2d import Res2dConfig
from trainer.models.architectures.transfer import TransferConfig
from trainer.models.architectures.wave1d import Wave1dConfig
from trainer.models.architectures.yamnet_finetune import YamnetFinetuneConfig
from trainer.models.config import ZooConfig
from trainer.models.registry import MODELS
from trainer.training.config import TrainConfig

BOTH = ("musicnn", "yamnet")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: BilstmConfig(units=[]), "model.units=[]: expected a list of 1 to 4096 units"),
        (lambda: BilstmConfig(hidden_units=0), "model.hidden_units=0: expected 1 to 65536"),
        (lambda: Cnn1dConfig(filters=[0]), "model.filters=[0]: expected a list"),
        (lambda: Cnn1dConfig(kernel_size=0), "model.kernel_size=0: expected 1 to 1024"),
        (
            lambda: ParallelConfig(features=["mfcc"]),
            "model.features=['mfcc']: expected a list of at least two features",
        ),
        (lambda: ParallelConfig(features=["mfcc", "mfcc"]), "model.features=['mfcc', 'mfcc']: expected a list"),
        (lambda: ParallelConfig(branch_units=0), "model.branch_units=0: expected"),
        (lambda: CrnnConfig(time_pools=[1]), "model.time_pools=[1]: expected a list of 3 whole numbers"),
        (lambda: CrnnConfig(recurrent_units=0), "model.recurrent_units=0: expected"),
        (lambda: Res2dConfig(stem_filters=0), "model.stem_filters=0: expected 1 to 4096"),
        (lambda: Res2dConfig(blocks=[1]), "model.blocks=[1]: expected a list of 3 numbers"),
        (lambda: Res2dConfig(expansion=0), "model.expansion=0: expected a factor of 1 to 16"),
        (lambda: Res2dConfig(drop_path=1.0), "model.drop_path=1.0: expected a share"),
        (lambda: Wave1dConfig(stem_stride=0), "model.stem_stride=0: expected 1 to 16384 samples"),
        (lambda: Wave1dConfig(stem_kernel_size=0), "model.stem_kernel_size=0: expected 1 to 16384 samples"),
        (lambda: AttentionPoolConfig(attention_units=0), "model.attention_units=0: expected"),
        (lambda: LinearConfig(features=[]), "model.features=[]: expected a list of at least one feature"),
        (lambda: LinearConfig(pooling="max"), "model.pooling=max: expected one of mean, mean_std"),
        (lambda: AttentionPoolConfig(dropout=-0.1), "model.dropout=-0.1: expected"),
        (lambda: AttentionPoolConfig(feature=[]), "model.feature=[]: expected a name, or a list of names"),
        (lambda: AttentionPoolConfig(feature=["yamnet", "yamnet"]), "'yamnet']: expected a name, or a list of names"),
        (lambda: AttentionPoolConfig(pca=0), "model.pca=0: expected 1 to 65536 components"),
        (lambda: AttentionPoolConfig(whiten=True), "model.whiten=true: expected false without model.pca"),
        (lambda: ParallelConfig(features=["musicnn", "yamnet"], pca=0), "model.pca=0: expected 1 to 65536 components"),
        (lambda: ParallelConfig(pca=8), "model.pca=8: expected null, because none of model.features is among"),
        (lambda: YamnetFinetuneConfig(trainable_stages=15), "model.trainable_stages=15: expected 0 to 14 stages"),
        (lambda: YamnetFinetuneConfig(weights_path=" "), "model.weights_path= : expected a path"),
        (lambda: YamnetFinetuneConfig(weights_path="gs://b/y.h5"), "model.weights_path=gs://b/y.h5: expected a local"),
        (lambda: TransferConfig(backbone="MobilNetV2"), "did you mean MobileNetV2?"),
        (lambda: TransferConfig(weights="gs://b/w.h5"), "model.weights=gs://b/w.h5: expected a local path"),
        (lambda: TransferConfig(image_size=16), "model.image_size=16: expected 32 to 2048"),
        (lambda: TransferConfig(trainable_fraction=1.5), "model.trainable_fraction=1.5: expected a share from 0 to 1"),
        (lambda: ZooConfig(num_genres=1), "num_genres=1: expected 2 to 10000 genres"),
        (lambda: ZooConfig(segment_duration_s=0), "segment_duration_s=0: expected 0.1 to 600 s"),
        (lambda: ZooConfig(sample_rate_hz=10), "sample_rate_hz=10: expected a rate"),
    ],
)
def test_refused_values(make: Callable[[], object], message: str) -> None:
    with pytest.raises(UserError) as caught:
        make()
    assert message in str(caught.value)


@pytest.mark.parametrize("name", MODELS)
def test_the_command_line_offers_every_model(name: str) -> None:
    text = (CONFIG_DIR / "model" / f"{name}.yaml").read_text(encoding="utf-8")
    assert text.startswith("# ")
    config = to_dataclass(compose("train", [f"model={name}"]))
    assert isinstance(config, TrainConfig)
    assert config.model == MODELS[name].config_class()
    assert config.model.name == name
    assert OmegaConf.to_object(OmegaConf.structured(config.model)) == config.model


def test_every_file_is_of_a_model() -> None:
    assert {path.stem for path in (CONFIG_DIR / "model").glob("*.yaml")} == set(MODELS)


@pytest.mark.parametrize(
    ("overrides", "names"),
    [
        (["model=cnn2d"], ("log_mel",)),
        (["model=cnn2d", "model.feature=mfcc"], ("mfcc",)),
        (["model=parallel"], ("log_mel", "mfcc")),
        (["model=parallel", "model.features=[log_mel,yamnet]"], ("log_mel", "yamnet")),
        (["model=parallel", "model.features=[musicnn,yamnet]", "model.pca=64"], ("musicnn", "yamnet")),
        (["model=attention_pool"], ("yamnet",)),
        (["model=attention_pool", "model.feature=[musicnn]"], ("musicnn",)),
        (["model=attention_pool", "model.feature=[musicnn,yamnet]", "model.whiten=true", "model.pca=8"], BOTH),
        (["model=yamnet_finetune", "model.weights_path=null"], ("yamnet_log_mel",)),
    ],
)
def test_models_name_their_features(overrides: list[str], names: tuple[str, ...]) -> None:
    config = to_dataclass(compose("train", overrides))
    assert isinstance(config, TrainConfig)
    assert config.model.feature_names == names
