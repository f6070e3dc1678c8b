"""A finished run that is exported: its network, its front end, and what is known about it."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from beam_pipelines.common.errors import UserError
from beam_pipelines.features.pretrained_networks import PretrainedNetwork
from beam_pipelines.prepare.prepare_yaml import PrepareYaml
from beam_pipelines.records.schema import FeatureSpec
from trainer.data.prepared import PreparedData
from trainer.evaluation.inference import Inference
from trainer.export.graph_features import GraphFeatures
from trainer.model_card.facts import backbone_of, pretrained_networks
from trainer.models.config import ModelConfig
from trainer.models.registry import model_config_from_dict
from trainer.runs.run_dir import RunDir

# Segments in a batch of `beamtune predict`, which the export is compared with.
_BATCH_SIZE = 32


@dataclass(frozen=True)
class ExportSource:
    """What all formats are written from.

    Attributes:
        run: The run.
        inference: Its best weights with the front end of `beamtune predict`.
        settings: The settings that its data were prepared with.
        data: The metadata of its data set.
        model_config: The settings of its model.
        specs: The features that the model takes, by name.
    """

    run: RunDir
    inference: Inference
    settings: PrepareYaml
    data: PreparedData
    model_config: ModelConfig
    specs: Mapping[str, FeatureSpec]

    @property
    def labels(self) -> tuple[str, ...]:
        """The genres in the order of the probabilities."""
        return self.inference.labels

    @cached_property
    def graph_features(self) -> GraphFeatures:
        """The features as operations of a graph."""
        return GraphFeatures(self.settings, self.specs)

    @property
    def pretrained_networks(self) -> tuple[PretrainedNetwork, ...]:
        """The pretrained networks whose weights the export holds."""
        return pretrained_networks(self.settings, self.model_config)

    @property
    def backbone(self) -> str | None:
        """The network of keras.applications whose pretrained weights the model started from; None without one."""
        return backbone_of(self.model_config)


def open_source(run_dir: str) -> ExportSource:
    """Loads the best weights of a finished run.

    Raises:
        UserError: There is no such run, it is not finished, or a feature of its model has no graph.
        RunFailedError: The checkpoint is damaged.
    """
    run = RunDir(run_dir)
    model_config = model_config_from_dict(run.config().get("model", {}))
    run.best_checkpoint()  # says first what else may be wrong
    if not run.is_finished():
        raise UserError(f"{run_dir} is not finished: beamtune train run_dir={run_dir} finishes it; then export it")
    settings, data = run.prepare_yaml(), run.dataset()
    source = ExportSource(
        run=run,
        inference=Inference(run_dir, batch_size=_BATCH_SIZE),
        settings=settings,
        data=data,
        model_config=model_config,
        specs={name: data.specs[name] for name in model_config.feature_names},
    )
    _ = source.graph_features  # raises the errors of features
    return source
