"""scripts/release, in a copy of the files that it reads, and the archives of this checkout."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGES = ("beam_pipelines", "trainer", "configs", "beamtune")
CHANGELOG = """# Changelog

## [Unreleased]

- Later.

## [1.2.3] - 2026-01-31

### Added

- One thing.

### Fixed

- Another `thing`.

## [1.2.2] - 2026-01-30

- Earlier.
"""
NOTES = "### Added\n\n- One thing.\n\n### Fixed\n\n- Another `thing`.\n\n"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with the script, and the files of version 1.2.3."""
    (tmp_path / "scripts").symlink_to(REPOSITORY / "scripts")
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "beamtune"\nversion = "1.2.3"\n')
    (tmp_path / "CHANGELOG.md").write_text(CHANGELOG)
    (tmp_path / "CITATION.cff").write_text('version: 1.2.3\ndate-released: "2026-01-31"\n')
    return tmp_path


def release(checkout: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    command = [str(checkout / "scripts" / "release"), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_the_tag_of_the_version_passes(checkout: Path) -> None:
    done = release(checkout, "check", "v1.2.3")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("tag", "message"),
    [
        ("v1.2.2", 'the tag v1.2.2 is not the version in pyproject.toml, which has: version = "1.2.3"'),
        ("v1x2.3", "'v1x2.3' is not the tag of a release: expected v1.2.3"),
        ("1.2.3", "'1.2.3' is not the tag of a release: expected v1.2.3"),
        ("v1.2.3; exit", "'v1.2.3; exit' is not the tag of a release: expected v1.2.3"),
        ("v1.2.3\nv1.2.3", "'v1.2.3\nv1.2.3' is not the tag of a release: expected v1.2.3"),
        ("", "'' is not the tag of a release: expected v1.2.3"),
    ],
)
def test_another_tag_is_refused(checkout: Path, tag: str, message: str) -> None:
    done = release(checkout, "check", tag)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"{checkout}/scripts/release: {message}\n"


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("pyproject.toml", "1.2.3", "1.2.31", "pyproject.toml"),
        ("CITATION.cff", "1.2.3", "1.2.2", "CITATION.cff has another version than 1.2.3: version: 1.2.2"),
        (
            "CITATION.cff",
            "01-31",
            "01-30",
            'CITATION.cff has another date than CHANGELOG.md, 2026-01-31: date-released: "',
        ),
        ("CHANGELOG.md", "[1.2.3]", "[1x2.3]", "CHANGELOG.md has no section of 1.2.3"),
        ("CHANGELOG.md", " - 2026-01-31", "", "CHANGELOG.md has no section of 1.2.3"),
    ],
)
def test_a_file_of_another_version_is_named(checkout: Path, name: str, old: str, new: str, message: str) -> None:
    path = checkout / name
    path.write_text(path.read_text().replace(old, new))
    done = release(checkout, "check", "v1.2.3")
    assert (done.returncode, done.stdout) == (1, "")
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_this_checkout_has_one_version() -> None:
    [line] = [one for one in (REPOSITORY / "pyproject.toml").read_text().splitlines() if one.startswith("version = ")]
    done = release(REPOSITORY, "check", "v" + line.split('"')[1])
    assert (done.returncode, done.stderr) == (0, "")


def test_the_notes_are_the_section_of_the_version(checkout: Path) -> None:
    assert release(checkout, "notes", "1.2.3").stdout == NOTES
    assert release(checkout, "notes", "1.2.2").stdout == "- Earlier.\n"


@pytest.mark.parametrize("version", ["1.2", "1.2.4", ".*", "", "Unreleased"])
def test_notes_of_another_version_are_refused(checkout: Path, version: str) -> None:
    done = release(checkout, "notes", version)
    assert (done.returncode, done.stdout) == (1, "")
    assert "CHANGELOG.md has no section of" in done.stderr


@pytest.mark.parametrize("words", [[], ["publish"], ["check"], ["check", "v1.2.3", "v1.2.3"]])
def test_other_words_are_refused(checkout: Path, words: list[str]) -> None:
    done = release(checkout, *words)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"{checkout}/scripts/release: ")


def test_a_folder_with_files_is_not_built_into(checkout: Path, tmp_path: Path) -> None:
    done = release(checkout, "build", str(checkout / "scripts"))
    assert (done.returncode, done.stdout) == (1, "")
    assert "is not empty: expected a folder without files" in done.stderr


def build(source: Path, folder: Path) -> dict[str, str]:
    """Builds both archives as scripts/release does; returns the checksum of each."""
    command = [sys.executable, "-m", "hatchling", "build", "--directory", str(folder)]
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "1770000000"}
    subprocess.run(command, cwd=source, env=environment, check=True, capture_output=True, timeout=300)
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


@pytest.mark.slow
def test_two_builds_of_the_same_files_are_the_same_bytes(tmp_path: Path) -> None:
    sums = []
    for mode, time_s in ((0o644, 1_700_000_000), (0o600, 1_600_000_000)):
        source = tmp_path / f"source-{mode:o}"
        for name in PACKAGES:
            shutil.copytree(REPOSITORY / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md"):
            shutil.copy(REPOSITORY / name, source)
        for path in filter(Path.is_file, source.rglob("*")):
            path.chmod(mode)
            os.utime(path, (time_s, time_s))
        sums.append(build(source, tmp_path / f"built-{mode:o}"))
    assert sums[0] == sums[1]
    assert sorted(Path(name).suffix for name in sums[0]) == [".gz", ".whl"]


def test_changes_that_are_not_committed_are_not_built(checkout: Path, tmp_path: Path) -> None:
    subprocess.run(["git", "init", "--quiet", str(checkout)], check=True)  # noqa: S607
    done = release(checkout, "build", str(tmp_path / "empty"))
    assert (done.returncode, done.stdout) == (1, "")
    assert "the checkout has changes that are not committed" in done.stderr
