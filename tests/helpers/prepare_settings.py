"""The settings of a preparation, as if they were read from a prepare.yaml."""

from collections.abc import Mapping

from beam_pipelines.audio.config import AudioConfig, SegmentConfig
from beam_pipelines.features.config import FeatureConfig
from beam_pipelines.prepare.config import ShardConfig
from beam_pipelines.prepare.prepare_yaml import PrepareYaml
from beam_pipelines.splits.config import DuplicatesConfig


def prepare_settings(
    features: Mapping[str, FeatureConfig],
    *,
    audio: AudioConfig,
    segment: SegmentConfig,
    sources: Mapping[str, Mapping[str, str]] | None = None,
) -> PrepareYaml:
    """Returns settings with defaults for what is not given."""
    return PrepareYaml(
        text="",
        cache_key="",
        versions={},
        sources=sources or {},
        audio=audio,
        segment=segment,
        duplicates=DuplicatesConfig(),
        shards=ShardConfig(),
        features=features,
    )
