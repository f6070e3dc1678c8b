"""The requirements of beamtune, as its metadata state them."""

from importlib import metadata

import pytest

from beam_pipelines.common.package_builds import version_of
from configs.doctor.requirements import (
    accepts,
    install_text,
    parse_requirements,
    read_requirements,
    with_extras,
)

LINES = [
    "numpy<2,>=1.26",
    "tomli>=2; python_version < '3'",
    "apache-beam[gcp]==2.72.0; extra == 'beam'",
    "numpy<2,>=1.26; extra == 'beam'",
    "tensorflow==2.17.1; extra == 'train'",
    "pytest>=8; extra == 'dev'",
    "mkdocs; extra == 'docs'",
]
PARSED = parse_requirements(python=">=3.10,<3.13", lines=LINES, extras=["beam", "dev", "docs", "m4a", "train"])


def test_the_core_and_the_extras_of_users_are_told_apart():
    assert [one.name for one in PARSED.core] == ["numpy"]
    assert {extra: [one.name for one in found] for extra, found in PARSED.extras.items()} == {
        "beam": ["apache-beam", "numpy"],
        "m4a": [],
        "train": ["tensorflow"],
    }
    assert "3.12.1" in PARSED.python
    assert "3.13" not in PARSED.python


def test_requirements_of_a_package_come_from_the_core_and_from_extras():
    assert [str(one.specifier) for one in PARSED.of("numpy")] == ["<2,>=1.26", "<2,>=1.26"]
    assert PARSED.of("requests") == []


def test_ranges_without_extras_of_the_package_come_first():
    lines = [
        "tensorflow[and-cuda]<3,>=2; extra == 'gpu'",
        "tensorflow==2.17.1; extra == 'io'",
        "tensorflow<3,>=2; extra == 'train'",
    ]
    parsed = parse_requirements(python="", lines=lines, extras=["gpu", "io", "train"])
    assert [install_text(one) for one in parsed.of("tensorflow")] == [
        "'tensorflow<3,>=2'",
        "'tensorflow==2.17.1'",
        "'tensorflow[and-cuda]<3,>=2'",
    ]


@pytest.mark.parametrize(("version", "expected"), [("1.26.4", True), ("1.27.0rc1", True), ("2.1.0", False)])
def test_versions_in_a_range(version, expected):
    assert accepts(PARSED.core[0], version) is expected


def test_a_requirement_is_typed_without_its_marker():
    assert install_text(PARSED.extras["beam"][0]) == "'apache-beam[gcp]==2.72.0'"
    assert install_text(PARSED.core[0]) == "'numpy<2,>=1.26'"


def test_the_extra_of_a_package_stands_for_further_packages(monkeypatch):
    requires = {
        "tensorflow": ["keras>=3; extra == 'and-cuda'", "keras>=3", "nvidia-cudnn; extra == 'and-cuda'"],
        "nvidia-cudnn": None,
    }
    monkeypatch.setattr(metadata, "version", lambda name: "1")
    monkeypatch.setattr(metadata, "requires", requires.__getitem__)
    [requirement] = parse_requirements(
        python="", lines=["tensorflow[and-cuda]==2.17.1; extra == 'gpu'"], extras=["gpu"]
    ).extras["gpu"]
    assert [one.name for one in with_extras(requirement)] == ["tensorflow", "keras", "nvidia-cudnn"]


def test_the_requirements_are_those_of_the_installed_package():
    requirements = read_requirements()
    assert {"beam", "gcp", "train", "tune", "explore", "io", "all", "gpu", "cloud"} <= set(requirements.extras)
    assert not {"dev", "docs"} & set(requirements.extras)
    assert requirements.of("tensorflow") and requirements.of("numpy")
    assert version_of("beamtune") == metadata.version("beamtune")
    assert version_of("no-such-package") is None
