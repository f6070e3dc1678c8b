"""Packages that bring the same modules."""

from importlib import metadata

import pytest

from beam_pipelines.common.package_builds import beamtune_version, installed_builds, version_of
from beam_pipelines.features.config import YamnetConfig
from beam_pipelines.features.library_versions import library_versions, require_same_versions


def test_versions_are_those_of_the_metadata():
    assert version_of("numpy") == metadata.version("numpy")
    assert version_of("no-such-package") is None


@pytest.mark.parametrize("package", ["tensorflow", "tensorflow-cpu"])
@pytest.mark.parametrize(
    "installed",
    [
        {"tensorflow": "2.21.0"},
        {"tensorflow-cpu": "2.20.0"},
        {"tensorflow": "2.21.0", "tensorflow-cpu": "2.20.0"},
        {"intel-tensorflow": "2.17.1"},
        {},
    ],
)
def test_any_build_of_tensorflow_is_found(package, installed):
    others = {"keras": "3.15.1", "tensorflow-io": "0.37.1"}
    assert installed_builds(package, version_of={**others, **installed}.get) == installed


def test_other_packages_are_built_once():
    assert installed_builds("keras", version_of={"keras": "3.15.1", "tensorflow": "2.21.0"}.get) == {"keras": "3.15.1"}
    assert installed_builds("no-such-package") == {}


def test_the_versions_in_a_prepared_data_set_are_the_same_with_each_build_of_tensorflow(monkeypatch):
    installed = metadata.version
    features = {"yamnet": YamnetConfig(weights_path="yamnet.h5")}

    def version(name, *, build):
        if name.startswith("tensorflow"):
            if name != build:
                raise metadata.PackageNotFoundError(name)
            return "2.21.0"
        return installed(name)

    found = []
    for build in ("tensorflow", "tensorflow-cpu"):
        monkeypatch.setattr(metadata, "version", lambda name, build=build: version(name, build=build))
        found.append(library_versions(features))
        require_same_versions(found[0])
    assert found[0] == found[1]
    assert found[0]["tensorflow"] == "2.21.0"
    monkeypatch.setattr(metadata, "version", lambda name: version(name, build="none"))
    with pytest.raises(metadata.PackageNotFoundError):
        library_versions(features)


def test_the_version_is_unknown_where_only_the_source_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    assert beamtune_version() == metadata.version("beamtune")

    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    assert beamtune_version() == "unknown"
