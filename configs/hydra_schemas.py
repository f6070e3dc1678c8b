"""The dataclasses behind the YAML files, registered with Hydra so that every key has a type."""

from dataclasses import is_dataclass
from functools import cache
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf

from beam_pipelines.convert.config import ConvertConfig
from beam_pipelines.datasets import config as dataset_config
from beam_pipelines.download.config import DownloadConfig
from beam_pipelines.features import config as feature_config
from beam_pipelines.prepare.config import PrepareConfig
from beam_pipelines.runners import config as runner_config
from beam_pipelines.runners.dataflow_config import DataflowRunnerConfig
from beam_pipelines.splits.config import SplitConfig
from beam_pipelines.sync.config import SyncConfig
from configs.doctor.config import DoctorConfig
from configs.launch import config as launch_config
from configs.launch.kubernetes.config import KubernetesLaunchConfig
from configs.launch.serving import config as serving_config
from configs.launch.slurm.config import SlurmLaunchConfig
from trainer.baselines.config import BaselinesConfig
from trainer.board.config import TensorboardConfig
from trainer.compare.config import CompareConfig
from trainer.crossval.config import CrossvalConfig
from trainer.data.config import AugmentConfig
from trainer.devices.config import StrategyConfig
from trainer.evaluation.config import EvaluateConfig, PredictConfig
from trainer.explore.config import ExploreConfig
from trainer.export.config import ExportConfig
from trainer.listing.config import RunsConfig
from trainer.models.config import ZooConfig
from trainer.models.registry import MODELS
from trainer.quick.config import QuickConfig
from trainer.report.config import ReportConfig
from trainer.review.config import ReviewConfig
from trainer.serve.config import ServeConfig
from trainer.tag.config import TagConfig
from trainer.training.config import TrainConfig
from trainer.tuner.config import SearchConfig

# A YAML file names one of these in its defaults, e.g. `defaults: [/schema/folder_dataset@_here_, _self_]`.
_SCHEMAS: dict[str, type[Any]] = {
    "prepare": PrepareConfig,
    "quick": QuickConfig,
    "convert": ConvertConfig,
    "synthesize": dataset_config.SynthesizeConfig,
    "download": DownloadConfig,
    "sync": SyncConfig,
    "folder_dataset": dataset_config.FolderDatasetConfig,
    "csv_dataset": dataset_config.CsvDatasetConfig,
    "synthetic_dataset": dataset_config.SyntheticDatasetConfig,
    "gtzan_dataset": dataset_config.GtzanDatasetConfig,
    "fma_dataset": dataset_config.FmaDatasetConfig,
    "split": SplitConfig,
    "log_mel_feature": feature_config.LogMelConfig,
    "mfcc_feature": feature_config.MfccConfig,
    "yamnet_log_mel_feature": feature_config.YamnetLogMelConfig,
    "yamnet_feature": feature_config.YamnetConfig,
    "musicnn_log_mel_feature": feature_config.MusicnnLogMelConfig,
    "musicnn_feature": feature_config.MusicnnConfig,
    "embedding_feature": feature_config.EmbeddingConfig,
    "waveform_feature": feature_config.WaveformConfig,
    "spectral_stats_feature": feature_config.SpectralStatsConfig,
    "direct_runner": runner_config.DirectRunnerConfig,
    "dask_runner": runner_config.DaskRunnerConfig,
    "dataflow_runner": DataflowRunnerConfig,
    "portable_runner": runner_config.PortableRunnerConfig,
    "explore": ExploreConfig,
    "models": ZooConfig,
    "train": TrainConfig,
    "evaluate": EvaluateConfig,
    "baselines": BaselinesConfig,
    "crossval": CrossvalConfig,
    "predict": PredictConfig,
    "tag": TagConfig,
    "export": ExportConfig,
    "report": ReportConfig,
    "review": ReviewConfig,
    "serve": ServeConfig,
    "tensorboard": TensorboardConfig,
    "compare": CompareConfig,
    "runs": RunsConfig,
    "doctor": DoctorConfig,
    "augment": AugmentConfig,
    **{f"{name}_model": entry.config_class for name, entry in MODELS.items()},
    "strategy": StrategyConfig,
    "tune": SearchConfig,
    "launch": launch_config.LaunchCommandConfig,
    "local_launch": launch_config.LocalLaunchConfig,
    "dataflow_launch": launch_config.DataflowLaunchConfig,
    "vertex_launch": launch_config.VertexLaunchConfig,
    "vertex_serve_launch": serving_config.VertexServeConfig,
    "cloudrun_launch": serving_config.CloudRunConfig,
    "kubernetes_launch": KubernetesLaunchConfig,
    "slurm_launch": SlurmLaunchConfig,
}

SCHEMA_GROUP = "schema"


@cache
def register_schema(name: str) -> None:
    """Registers a dataclass with Hydra, once. Each takes milliseconds: a command registers those that it needs.

    Args:
        name: The name by which YAML files refer to it.
    """
    ConfigStore.instance().store(group=SCHEMA_GROUP, name=name, node=_writable(_SCHEMAS[name]))


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
