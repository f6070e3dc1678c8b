"""The command line of saved settings gives the same settings again."""

import shlex
from dataclasses import asdict

import pytest
import yaml

from beam_pipelines.audio.config import AudioConfig
from beam_pipelines.datasets.config import FolderDatasetConfig
from beam_pipelines.features.config import MusicnnConfig, YamnetConfig
from beam_pipelines.runners.config import DirectRunnerConfig
from configs.compose import compose, to_dataclass
from configs.saved_command import saved_command
from trainer.baselines.config import BaselinesConfig
from trainer.crossval.config import CrossvalConfig
from trainer.models.architectures.crnn import CrnnConfig
from trainer.quick.config import QuickConfig
from trainer.training.config import OptimizerConfig, TrainConfig

CONFIGS = {
    "train": TrainConfig(
        run_dir="it's, a (run)",
        data_dir="gs://bucket/data",
        seed=7,
        ema_decay=0.99,
        model=CrnnConfig(filters=[8], time_pools=[1], band_pools=[4], dropout=0.1 + 0.2),
        optimizer=OptimizerConfig(learning_rate=0.00691054862948428, gradient_clip_norm=None),
    ),
    "quick": QuickConfig(
        dataset=FolderDatasetConfig(root="~/a b"),
        output_dir="quick",
        features={"yamnet": YamnetConfig(), "musicnn": MusicnnConfig(variant="mtt")},
        folds=3,
        max_reject_fraction=0.2,
        audio=AudioConfig(max_duration_s=30.0),
        runner=DirectRunnerConfig(),
    ),
    "baselines": BaselinesConfig(data_dir="true", output_dir="007", learners=["knn"], feature="yamnet"),
    "crossval": CrossvalConfig(data_dir="data", output_dir="a b", folds=4, seeds=[0, 3], model=CrnnConfig()),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_a_command_gives_the_settings_that_were_saved(name: str) -> None:
    config = CONFIGS[name]
    command = saved_command(name, yaml.safe_load(yaml.safe_dump(asdict(config))))
    assert command is not None
    program, word, *overrides = shlex.split(command)
    assert (program, word) == ("beamtune", name)
    assert to_dataclass(compose(name, overrides)) == config


def test_values_have_quotes_only_where_they_need_them() -> None:
    command = saved_command("train", asdict(TrainConfig(run_dir="runs/first", data_dir="null", model=CrnnConfig())))
    assert command is not None
    assert "run_dir=runs/first" in command.split()
    assert "data_dir=null" not in command.split()


def test_a_list_of_words_has_no_quotes() -> None:
    config = BaselinesConfig(data_dir="d", output_dir="o", learners=["knn", "svm"], feature=["musicnn", "yamnet"])
    command = saved_command("baselines", asdict(config))
    assert command is not None
    assert "'learners=[knn,svm]'" in command
    assert "'feature=[musicnn,yamnet]'" in command
    assert to_dataclass(compose("baselines", shlex.split(command)[2:])) == config


def test_there_is_no_command_where_a_setting_does_not_exist_any_more() -> None:
    saved = asdict(TrainConfig(run_dir="r", data_dir="d", model=CrnnConfig()))
    assert saved_command("train", {**saved, "gone": 1}) is None
    assert saved_command("train", {**saved, "model": {**saved["model"], "name": "gone"}}) is None
