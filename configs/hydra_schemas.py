"""The dataclasses behind the YAML files, registered with Hydra so that every key has a type."""

import importlib
from collections.abc import Mapping
from dataclasses import is_dataclass
from functools import cache
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf

from trainer.models.config import config_class_of

# A YAML file names one of these in its defaults, e.g. `defaults: [/schema/folder_dataset@_here_, _self_]`. Each is a
# module and a class in it, which is imported when a command needs it: all of them take 0.1 s.
_SCHEMAS: Mapping[str, str] = {
    "prepare": "beam_pipelines.prepare.config:PrepareConfig",
    "quick": "trainer.quick.config:QuickConfig",
    "convert": "beam_pipelines.convert.config:ConvertConfig",
    "synthesize": "beam_pipelines.datasets.config:SynthesizeConfig",
    "download": "beam_pipelines.download.config:DownloadConfig",
    "sync": "beam_pipelines.sync.config:SyncConfig",
    "folder_dataset": "beam_pipelines.datasets.config:FolderDatasetConfig",
    "csv_dataset": "beam_pipelines.datasets.config:CsvDatasetConfig",
    "synthetic_dataset": "beam_pipelines.datasets.config:SyntheticDatasetConfig",
    "gtzan_dataset": "beam_pipelines.datasets.config:GtzanDatasetConfig",
    "fma_dataset": "beam_pipelines.datasets.config:FmaDatasetConfig",
    "split": "beam_pipelines.splits.config:SplitConfig",
    "log_mel_feature": "beam_pipelines.features.config:LogMelConfig",
    "mfcc_feature": "beam_pipelines.features.config:MfccConfig",
    "yamnet_log_mel_feature": "beam_pipelines.features.config:YamnetLogMelConfig",
    "yamnet_feature": "beam_pipelines.features.config:YamnetConfig",
    "musicnn_log_mel_feature": "beam_pipelines.features.config:MusicnnLogMelConfig",
    "musicnn_feature": "beam_pipelines.features.config:MusicnnConfig",
    "embedding_feature": "beam_pipelines.features.config:EmbeddingConfig",
    "waveform_feature": "beam_pipelines.features.config:WaveformConfig",
    "spectral_stats_feature": "beam_pipelines.features.config:SpectralStatsConfig",
    "direct_runner": "beam_pipelines.runners.config:DirectRunnerConfig",
    "dask_runner": "beam_pipelines.runners.config:DaskRunnerConfig",
    "dataflow_runner": "beam_pipelines.runners.dataflow_config:DataflowRunnerConfig",
    "portable_runner": "beam_pipelines.runners.config:PortableRunnerConfig",
    "explore": "trainer.explore.config:ExploreConfig",
    "models": "trainer.models.config:ZooConfig",
    "train": "trainer.training.config:TrainConfig",
    "evaluate": "trainer.evaluation.config:EvaluateConfig",
    "baselines": "trainer.baselines.config:BaselinesConfig",
    "crossval": "trainer.crossval.config:CrossvalConfig",
    "predict": "trainer.evaluation.config:PredictConfig",
    "tag": "trainer.tag.config:TagConfig",
    "export": "trainer.export.config:ExportConfig",
    "report": "trainer.report.config:ReportConfig",
    "review": "trainer.review.config:ReviewConfig",
    "serve": "trainer.serve.config:ServeConfig",
    "tensorboard": "trainer.board.config:TensorboardConfig",
    "compare": "trainer.compare.config:CompareConfig",
    "runs": "trainer.listing.config:RunsConfig",
    "doctor": "configs.doctor.config:DoctorConfig",
    "augment": "trainer.data.config:AugmentConfig",
    "strategy": "trainer.devices.config:StrategyConfig",
    "tune": "trainer.tuner.config:SearchConfig",
    "launch": "configs.launch.config:LaunchCommandConfig",
    "local_launch": "configs.launch.config:LocalLaunchConfig",
    "dataflow_launch": "configs.launch.config:DataflowLaunchConfig",
    "vertex_launch": "configs.launch.config:VertexLaunchConfig",
    "vertex_serve_launch": "configs.launch.serving.config:VertexServeConfig",
    "cloudrun_launch": "configs.launch.serving.config:CloudRunConfig",
    "kubernetes_launch": "configs.launch.kubernetes.config:KubernetesLaunchConfig",
    "slurm_launch": "configs.launch.slurm.config:SlurmLaunchConfig",
}

# The schema of a model is the settings of its module, e.g. cnn2d_model.
_MODEL_ENDING, _MODEL_PACKAGE = "_model", "trainer.models.architectures"

SCHEMA_GROUP = "schema"


@cache
def register_schema(name: str) -> None:
    """Registers a dataclass with Hydra, once. Each takes milliseconds: a command registers those that it needs.

    Args:
        name: The name by which YAML files refer to it.
    """
    ConfigStore.instance().store(group=SCHEMA_GROUP, name=name, node=_writable(_schema(name)))


def _schema(name: str) -> type[Any]:
    """Returns the dataclass of a schema."""
    if name not in _SCHEMAS and name.endswith(_MODEL_ENDING):
        module = importlib.import_module(f"{_MODEL_PACKAGE}.{name.removesuffix(_MODEL_ENDING)}")
        return config_class_of(module)
    module_name, _, class_name = _SCHEMAS[name].partition(":")
    schema: type[Any] = getattr(importlib.import_module(module_name), class_name)
    return schema


def _writable(schema: type[Any]) -> DictConfig:
    """Returns the structured config of a frozen dataclass without its read-only flags.

    OmegaConf marks the nodes of frozen dataclasses as read-only, but Hydra has to merge files into them. The final
    objects are frozen all the same.
    """
    node: DictConfig = OmegaConf.structured(schema)
    _clear_read_only(node)
    return node


def _clear_read_only(node: DictConfig) -> None:
    OmegaConf.set_readonly(node, None)
    # A dict of dataclasses would create read-only entries again; the schemas of the entries define their types.
    if is_dataclass(node._metadata.element_type):
        node._metadata.element_type = Any
    # Children are read as nodes, not values: a node whose value is missing still has the flag of its class.
    children = [] if node._is_missing() else [node._get_node(key) for key in node]
    for child in children:
        if isinstance(child, DictConfig):
            _clear_read_only(child)
