"""What a model card states of a run, read from the run directory alone."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from beam_pipelines.common.errors import UserError
from beam_pipelines.features.pretrained_networks import YAMNET, PretrainedNetwork, network_of
from beam_pipelines.prepare.prepare_yaml import PrepareYaml
from beam_pipelines.records.schema import TEST, VALIDATION
from trainer.data.contamination import find_contamination
from trainer.data.group_word import group_word_of_preparation
from trainer.data.prepared import PreparedData
from trainer.metrics.level_metrics import LevelMetrics, tracks_have_groups
from trainer.models.config import ModelConfig
from trainer.models.registry import model_config_from_dict
from trainer.runs.prediction_files import read_predictions
from trainer.runs.run_dir import RunDir
from trainer.runs.run_metrics import RunMetrics
from trainer.runs.versions_file import read_versions


@dataclass(frozen=True)
class RunFacts:
    """What is known of a run.

    Attributes:
        config: Its settings.
        model_config: Those of its model.
        data: The metadata of its data set.
        preparation: How the data were prepared; None if the record of it is missing or damaged.
        metrics: Its scores; None if no split was evaluated.
        num_groups: The groups of the tracks of each evaluated split.
        versions: The software that has finished the training; empty for a run of beamtune 0.1.0.
    """

    config: Mapping[str, Any]
    model_config: ModelConfig
    data: PreparedData
    preparation: PrepareYaml | None
    metrics: RunMetrics | None
    num_groups: Mapping[str, int]
    versions: Mapping[str, str]

    @property
    def dataset_kind(self) -> str | None:
        """The kind of data set that the audio came from, such as "folder"; None if it is not recorded."""
        if self.preparation is None:
            return None
        name = self.preparation.dataset.get("name")
        return None if name is None else str(name)

    @property
    def group_word(self) -> str:
        """What a group of tracks is, such as "artist"."""
        has_groups = any(tracks_have_groups(one, split_leak=self.data.stats.split_leak) for one in self.levels.values())
        return group_word_of_preparation(self.preparation, has_groups=has_groups)

    @property
    def contamination(self) -> tuple[str, ...]:
        """A sentence for each feature whose pretrained network learned from the music of the data."""
        return () if self.preparation is None else find_contamination(self.preparation, self.model_config.feature_names)

    @property
    def levels(self) -> Mapping[str, Mapping[str, LevelMetrics]]:
        """The scores by split and level, those of the test split first, then those of the validation split."""
        levels = {} if self.metrics is None else self.metrics.levels
        first = [split for split in (TEST, VALIDATION) if split in levels]
        return {split: levels[split] for split in [*first, *sorted(levels.keys() - set(first))]}


def read_facts(run: RunDir) -> RunFacts:
    """Reads what is known of a run.

    Raises:
        UserError: There is no run of a network, or a file of it is damaged.
    """
    config = run.config()
    preparation = None
    with suppress(UserError):
        preparation = run.prepare_yaml()
    metrics = run.metrics()
    return RunFacts(
        config=config,
        model_config=model_config_from_dict(config.get("model", {})),
        data=run.dataset(),
        preparation=preparation,
        metrics=metrics,
        num_groups={} if metrics is None else _num_groups(run, metrics),
        versions=read_versions(run),
    )


def _num_groups(run: RunDir, metrics: RunMetrics) -> dict[str, int]:
    counts = {}
    for split in metrics.levels:
        with suppress(UserError):  # a file of predictions that was removed
            tracks, _ = read_predictions(run, split)
            counts[split] = len(set(tracks.groups))
    return counts


def pretrained_networks(preparation: PrepareYaml, model_config: ModelConfig) -> tuple[PretrainedNetwork, ...]:
    """Returns the pretrained networks that compute the features of a model, or that it is made of, each once."""
    taken = (preparation.features[name] for name in model_config.feature_names if name in preparation.features)
    found = [YAMNET] if model_config.name == "yamnet_finetune" else []
    found += [network for network in map(network_of, taken) if network is not None]
    return tuple(dict.fromkeys(found))


def own_networks(preparation: PrepareYaml | None, model_config: ModelConfig) -> dict[str, PretrainedNetwork]:
    """Returns the networks that the user brought for features of a model, by the name of the feature."""
    features = {} if preparation is None else preparation.features
    found = {name: network_of(features[name]) for name in model_config.feature_names if name in features}
    return {name: network for name, network in found.items() if network is not None and network.is_own}


def backbone_of(model_config: ModelConfig) -> str | None:
    """Returns the network of keras.applications whose pretrained weights a model started from; None without one."""
    weights = getattr(model_config, "weights", "none")
    return None if weights == "none" else getattr(model_config, "backbone", None)
