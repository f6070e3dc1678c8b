"""`prepare.yaml`: the settings that a data set was prepared with, as they are written and read. Without Beam."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, TypeVar

import yaml

from beam_pipelines.audio.config import AudioConfig, SegmentConfig
from beam_pipelines.common.errors import UserError
from beam_pipelines.features.config import FEATURE_CONFIGS, FeatureConfig
from beam_pipelines.features.library_versions import library_versions
from beam_pipelines.features.weights_hash import source_hashes
from beam_pipelines.prepare.config import PrepareConfig, ShardConfig
from beam_pipelines.records.schema import SCHEMA_VERSION
from beam_pipelines.splits.config import DuplicatesConfig

if TYPE_CHECKING:
    from beam_pipelines.features.frontend import FrontEnd

_Config = TypeVar("_Config")
_CACHE_KEY = "fingerprint"
_PATHS = "paths"
_FIELDS_OF_ALL_FEATURES = {field.name for field in fields(FeatureConfig)}


class PrepareYamlError(ValueError):
    """The text is not a `prepare.yaml`. The message names the entry."""


@dataclass(frozen=True)
class PrepareYaml:
    """The content of `prepare.yaml`.

    Attributes:
        text: The whole file.
        cache_key: Changes whenever the content of the data set does; `_SUCCESS` holds the same.
        versions: Versions of the libraries that decoded the audio and computed the features, by name.
        sources: SHA-256 of the files, such as weights, that features were computed with, by feature and kind of file.
        audio: How audio was decoded.
        segment: How tracks were cut into segments.
        duplicates: How tracks that hold the same recording were handled.
        shards: How examples were divided into files.
        features: The settings of each feature by its name in the examples. A kind that this version of beamtune does
            not know is a plain `FeatureConfig`.
    """

    text: str
    cache_key: str
    versions: Mapping[str, str]
    sources: Mapping[str, Mapping[str, str]]
    audio: AudioConfig
    segment: SegmentConfig
    duplicates: DuplicatesConfig
    shards: ShardConfig
    features: Mapping[str, FeatureConfig]

    @property
    def dataset(self) -> Mapping[str, object]:
        """The settings of the data set that the audio came from; empty if they are not recorded."""
        dataset = yaml.safe_load(self.text)["config"].get("dataset")
        return dataset if isinstance(dataset, Mapping) else {}

    def front_end(self, names: Collection[str] | None = None) -> "FrontEnd":
        """Returns the front end that prepared the data, for some of its features or for all.

        Args:
            names: The features to compute; None for all. Files of other features, such as weights, need not be there.

        Raises:
            UserError: A file that features are computed with, such as weights, differs from the one in `sources`.
        """
        # Imports the decoders and scipy, which reading the settings does not need.
        from beam_pipelines.features.frontend import FrontEnd

        features = {name: config for name, config in self.features.items() if names is None or name in names}
        return FrontEnd(audio=self.audio, segment=self.segment, features=features, recorded_sources=self.sources)


def prepare_yaml_text(config: PrepareConfig, *, cache_key: str) -> str:
    """Returns the text of the `prepare.yaml` of a data set.

    Raises:
        UserError: A file that features are computed with cannot be read.
    """
    return _to_yaml(
        {
            "schema_version": SCHEMA_VERSION,
            _CACHE_KEY: cache_key,
            "versions": library_versions(config.features),
            "sources": source_hashes(config.features),
            **_paths(config.features),
            "config": config.result_settings(),
        }
    )


def fold_yaml_text(source: PrepareYaml, *, cache_key: str, fold: Mapping[str, object]) -> str:
    """Returns the text of the `prepare.yaml` of a fold: that of its source, with the fold's own cache key.

    Args:
        source: The data set that is divided into folds.
        cache_key: That of the fold.
        fold: How the fold was made.
    """
    return _to_yaml({**yaml.safe_load(source.text), _CACHE_KEY: cache_key, "fold": dict(fold)})


def parse_prepare_yaml(text: str) -> PrepareYaml:
    """Reads the text of a `prepare.yaml`, of this version of beamtune or of an earlier one.

    Raises:
        PrepareYamlError: It is damaged.
    """
    try:
        content = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise PrepareYamlError(f"not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, Mapping):
        raise PrepareYamlError("expected a mapping with the entry config")
    settings = _section(content, "config")
    paths = _section(content, _PATHS) if _PATHS in content else {}
    return PrepareYaml(
        text=text,
        cache_key=str(content.get(_CACHE_KEY, "")),
        versions=content.get("versions", {}),
        sources=content.get("sources", {}),
        audio=_config(AudioConfig, _section(settings, "audio"), key="config.audio"),
        segment=_config(SegmentConfig, _section(settings, "segment"), key="config.segment"),
        duplicates=_config(DuplicatesConfig, settings.get("duplicates", {}), key="config.duplicates"),
        shards=_config(ShardConfig, settings.get("shards", {}), key="config.shards"),
        features={
            name: _feature(name, values, paths=paths.get(name))
            for name, values in _section(settings, "features").items()
        },
    )


def _section(parent: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    section = parent.get(key)
    if not isinstance(section, Mapping):
        raise PrepareYamlError(f"{key} is missing or not a mapping")
    return section


def _config(config_class: type[_Config], values: Any, *, key: str) -> _Config:
    try:
        return config_class(**values)
    except (TypeError, ValueError, UserError) as error:
        raise PrepareYamlError(f"{key}: {error}") from error


def _paths(features: Mapping[str, FeatureConfig]) -> dict[str, object]:
    """Returns the section with the paths of files that are needed again, which the cache key does not depend on."""
    paths = {name: config.recorded_paths() for name, config in features.items() if config.recorded_paths()}
    return {_PATHS: paths} if paths else {}


def _feature(name: str, values: Any, *, paths: Any = None) -> FeatureConfig:
    key = f"config.features.{name}"
    if not isinstance(values, Mapping) or not isinstance(values.get("kind"), str):
        raise PrepareYamlError(f"{key} has no kind")
    config_class = FEATURE_CONFIGS.get(values["kind"])
    if config_class is not None:
        recorded = paths if isinstance(paths, Mapping) else {}
        found = {path: recorded[path] for path in config_class.path_settings if path in recorded}
        return _config(config_class, {**values, **found}, key=key)
    return _config(FeatureConfig, {k: v for k, v in values.items() if k in _FIELDS_OF_ALL_FEATURES}, key=key)


def _to_yaml(content: Mapping[str, object]) -> str:
    return yaml.safe_dump(dict(content), sort_keys=False, allow_unicode=True)
