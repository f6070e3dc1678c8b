"""Versions of the libraries that decode audio and compute features: the bytes of shards depend on them."""

from collections.abc import Mapping
from importlib import metadata

from beam_pipelines.common.errors import RunFailedError
from beam_pipelines.common.package_builds import installed_builds
from beam_pipelines.features.config import FeatureConfig

_LIBRARIES = ("av", "beamtune", "librosa", "numpy", "protobuf", "scipy", "soundfile", "soxr")
_LIBSNDFILE = "libsndfile"


def library_versions(features: Mapping[str, FeatureConfig]) -> dict[str, str]:
    """Returns the versions of the libraries that decode audio and compute these features."""
    names = {*_LIBRARIES, *(library for config in features.values() for library in config.libraries())}
    return {name: _version(name) for name in [*sorted(names), _LIBSNDFILE]}


def require_same_versions(launcher: Mapping[str, str]) -> None:
    """Checks that this worker has the libraries of the process that started the pipeline.

    Args:
        launcher: The result of `library_versions` in that process.

    Raises:
        RunFailedError: A library has another version, or is missing; all of them are named.
    """
    different = []
    for name, expected in launcher.items():
        try:
            found = _version(name)
        except metadata.PackageNotFoundError:
            found = "none"
        if found != expected:
            different.append(f"{name} {found} instead of {expected}")
    if different:
        raise RunFailedError(
            f"a worker has other libraries than the command that started it, and the shards depend on them: "
            f"{', '.join(different)}; install the same versions on the workers, e.g. build their image again"
        )


def _version(name: str) -> str:
    if name == _LIBSNDFILE:
        import soundfile  # and numpy with it, which reading the versions of a data set does not need

        return str(soundfile.__libsndfile_version__)
    versions = installed_builds(name)
    if not versions:
        raise metadata.PackageNotFoundError(name)
    return next(iter(versions.values()))
