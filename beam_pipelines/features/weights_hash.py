"""Files that features are computed with, such as a network's weights, and the hashes that tell their versions apart."""

import hashlib
from collections.abc import Mapping

from beam_pipelines.common.errors import UserError
from beam_pipelines.features.config import FeatureConfig

_CHUNK_BYTES = 2**20


def source_hashes(features: Mapping[str, FeatureConfig]) -> dict[str, dict[str, str]]:
    """Returns the SHA-256 of each file that features depend on, e.g. {"yamnet": {"weights": "36c2…"}}.

    Features that depend on no file are not in it. The files are there once the features have been built.

    Raises:
        UserError: A file cannot be read.
    """
    return {
        name: {source: _sha256_of(path, key=f"features.{name}") for source, path in config.sources().items()}
        for name, config in features.items()
        if config.sources()
    }


def require_same_sources(features: Mapping[str, FeatureConfig], *, recorded: Mapping[str, Mapping[str, str]]) -> None:
    """Makes sure that features are computed with the same files as earlier.

    Args:
        features: What is to be computed, by name.
        recorded: What `source_hashes` returned then.

    Raises:
        UserError: A file is another one now, or cannot be read.
    """
    for name, hashes in source_hashes(features).items():
        for source, sha256 in hashes.items():
            expected = recorded.get(name, {}).get(source)
            if sha256 != expected:
                raise UserError(
                    f"features.{name}: {features[name].sources()[source]} has the SHA-256 {sha256}, and the data were "
                    f"prepared with {source} of {expected}: put that file there"
                )


def _sha256_of(path: str, *, key: str) -> str:
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
    except OSError as error:
        raise UserError(f"{key}: {path} cannot be read: {error.strerror}") from error
    return digest.hexdigest()
