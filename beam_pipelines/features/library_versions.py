"""Versions of the libraries that decode audio and compute features: the bytes of shards depend on them."""

from collections.abc import Mapping
from importlib import metadata

import soundfile

from beam_pipelines.features.config import FeatureConfig

_LIBRARIES = ("av", "beamtune", "librosa", "numpy", "protobuf", "scipy", "soundfile", "soxr")


def library_versions(features: Mapping[str, FeatureConfig]) -> dict[str, str]:
    """Returns the versions of the libraries that decode audio and compute these features."""
    names = {*_LIBRARIES, *(library for config in features.values() for library in config.libraries())}
    versions = {name: metadata.version(name) for name in sorted(names)}
    return {**versions, "libsndfile": soundfile.__libsndfile_version__}
