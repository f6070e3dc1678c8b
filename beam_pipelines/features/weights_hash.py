"""Hashes of the files that features are computed with, such as weights."""

from collections.abc import Mapping

from beam_pipelines.common.errors import UserError
from beam_pipelines.common.file_hash import file_sha256
from beam_pipelines.features.config import EmbeddingConfig, FeatureConfig, MusicnnConfig
from beam_pipelines.features.embedding_files import NETWORKS_VARIABLE, locate, network_hash
from beam_pipelines.features.musicnn_checkpoint import weights_sha256


def source_hashes(features: Mapping[str, FeatureConfig]) -> dict[str, dict[str, str]]:
    """Returns the SHA-256 of each file that features depend on, e.g. {"yamnet": {"weights": "36c2…"}}.

    Features without files are not in it. Building the features downloads the files.

    Raises:
        UserError: A file cannot be read.
    """
    return {name: _hashes(name, config) for name, config in features.items() if config.sources()}


def require_same_sources(features: Mapping[str, FeatureConfig], *, recorded: Mapping[str, Mapping[str, str]]) -> None:
    """Checks that features are computed with the same files as the prepared data.

    Args:
        features: The features to compute, by name.
        recorded: The result of `source_hashes` when the data were prepared.

    Raises:
        UserError: A file differs, or cannot be read.
    """
    for name, hashes in source_hashes(features).items():
        for source, sha256 in hashes.items():
            expected = recorded.get(name, {}).get(source)
            if sha256 != expected:
                path, hint = features[name].sources()[source], ""
                if isinstance(config := features[name], EmbeddingConfig):
                    path = locate(name, config)
                    hint = f", or set {NETWORKS_VARIABLE} to the folder that holds {config.filename}"
                raise UserError(
                    f"features.{name}: {path} has the SHA-256 {sha256}, and the data were prepared with {source} of "
                    f"SHA-256 {expected}: replace the file by that one{hint}"
                )


def _hashes(name: str, config: FeatureConfig) -> dict[str, str]:
    if isinstance(config, EmbeddingConfig):
        return {"network": network_hash(name, config)}
    if isinstance(config, MusicnnConfig):
        # A wheel and a folder hold the same weights.
        return {"weights": weights_sha256(config)}
    return {source: file_sha256(path, key=f"features.{name}") for source, path in config.sources().items()}
