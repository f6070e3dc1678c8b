"""infra/docker: the linter, what the Dockerfile copies, its defaults, the locks, and the programs in the images."""

import importlib.util
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from types import ModuleType

import pytest
from locks import locked
from packaging.requirements import Requirement
from terraform_runs import tool

REPOSITORY = Path(__file__).resolve().parents[2]
DOCKER = REPOSITORY / "infra" / "docker"
IMAGES = ("worker", "trainer", "serve")
LOCKS = ("worker", "trainer", "trainer-gpu", "serve")


def instructions() -> list[tuple[str, str]]:
    """Returns the name and the words of each instruction of the Dockerfile."""
    text = (DOCKER / "Dockerfile").read_text(encoding="utf-8")
    lines = "\n".join(line for line in text.splitlines() if not line.startswith("#")).replace("\\\n", " ")
    return [(name, words) for name, _, words in (line.partition(" ") for line in lines.splitlines() if line)]


def extras_of(names: Iterable[str]) -> list[Requirement]:
    """Returns what the project requires with some extras."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = [*project["dependencies"]]
    for name in names:
        lines += project["optional-dependencies"][name]
    return [Requirement(line) for line in lines]


def module_of(name: str) -> ModuleType:
    """Imports a program of the images, without running it."""
    spec = importlib.util.spec_from_file_location(name, DOCKER / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_hadolint_finds_nothing() -> None:
    result = subprocess.run(
        [tool("hadolint"), "--no-color", str(DOCKER / "Dockerfile")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_what_the_dockerfile_copies_exists_and_is_in_the_context() -> None:
    rules = (REPOSITORY / ".dockerignore").read_text(encoding="utf-8").splitlines()
    kept = [rule.removeprefix("!") for rule in rules if rule.startswith("!")]
    assert "*" in rules
    sources = [
        source.replace("${TRAINER_LOCK}", lock)
        for name, words in instructions()
        if name == "COPY" and "--from=" not in words
        for source in words.split()[:-1]
        for lock in ("trainer", "trainer-gpu")
    ]
    assert len(set(sources)) > 10
    assert [source for source in sources if not (REPOSITORY / source).exists()] == []
    assert [source for source in sources if not any(Path(source).match(rule) for rule in kept)] == []


def test_stages_that_are_copied_from_exist() -> None:
    stages = [words.split()[-1] for name, words in instructions() if name == "FROM"]
    assert set(IMAGES) <= set(stages)
    copied = {stage for name, words in instructions() if name == "COPY" for stage in re.findall(r"--from=(\S+)", words)}
    assert copied <= set(stages)


def test_each_image_has_a_user_without_rights_and_starts_without_a_shell() -> None:
    """What each stage from which an image is made says last."""
    stage, found = "", {}
    for name, words in instructions():
        stage = words.split()[-1] if name == "FROM" else stage
        found[stage, name] = words
    for image in IMAGES:
        assert found[image, "USER"] == "10001:10001"
        assert found[image, "ENTRYPOINT"].startswith('["')
        assert (image, "CMD") not in found
    assert found["worker", "ENTRYPOINT"] == '["/opt/apache/beam/boot"]'
    assert found["serve", "ENTRYPOINT"] == '["beamtune", "serve"]'
    assert shutil.which("beamtune", path=str(Path(sys.executable).parent)) is not None


def test_the_boot_program_is_that_of_the_locked_beam() -> None:
    arguments = dict(words.partition("=")[::2] for name, words in instructions() if name == "ARG" and "=" in words)
    assert arguments["BEAM_VERSION"] == locked("worker")["apache-beam"]
    assert arguments["PYTHON_IMAGE"] == "docker.io/library/python:${PYTHON_VERSION}-slim-bookworm"
    assert arguments["BEAM_IMAGE"] == "docker.io/apache/beam_python${PYTHON_VERSION}_sdk:${BEAM_VERSION}"


def test_all_locks_have_the_same_versions() -> None:
    """The launcher of a pipeline, its workers, the trainer and the tests: what one writes, the others read."""
    launcher = locked("dev")
    assert {"apache-beam", "numpy", "keras", "librosa", "protobuf", "tensorflow-cpu"} <= launcher.keys()
    for name in LOCKS:
        lock = locked(name)
        shared = lock.keys() & launcher.keys()
        assert {"numpy", "librosa", "soundfile", "soxr", "av", "scipy"} <= shared
        assert {one: lock[one] for one in shared} == {one: launcher[one] for one in shared}
    assert locked("trainer-gpu")["tensorflow"] == launcher["tensorflow-cpu"]
    assert locked("worker").items() <= locked("trainer").items()


@pytest.mark.parametrize(
    ("name", "extras", "packages"),
    [
        ("worker", ["gcp"], {"apache-beam", "pip"}),
        ("trainer", ["gcp", "train-base", "tune", "explore", "mlflow"], {"tensorflow-cpu", "pip"}),
        ("trainer-gpu", ["gcp", "train-base", "gpu", "tune", "explore", "mlflow"], {"tensorflow", "nvidia-cudnn-cu12"}),
        ("serve", ["train-base", "serve", "cloud"], {"tensorflow-cpu", "uvicorn"}),
    ],
)
def test_a_lock_has_what_the_project_requires(name: str, extras: list[str], packages: set[str]) -> None:
    lock = locked(name)
    assert packages <= lock.keys()
    outside = [str(one) for one in extras_of(extras) if not one.specifier.contains(lock.get(one.name.lower(), "0"))]
    assert outside == []


@pytest.mark.parametrize("name", [*LOCKS, "images"])
def test_a_lock_has_hashes_and_no_address(name: str) -> None:
    text = (REPOSITORY / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
    pinned = [line for line in text.splitlines() if "==" in line and not line.lstrip().startswith("#")]
    assert all(line.endswith("\\") for line in pinned)  # hashes follow
    assert "://" not in text


def test_an_image_without_tensorflow_has_none_and_the_service_has_no_beam() -> None:
    assert not {"tensorflow", "tensorflow-cpu", "keras"} & locked("worker").keys()
    assert not {"apache-beam", "pip"} & locked("serve").keys()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (
            ["--id=sdk-0-0", "--provision_endpoint=localhost:1", "--logging_endpoint=localhost:2"],
            "/opt/apache/beam/boot",
        ),
        (["-id=1"], "/opt/apache/beam/boot"),
        (["--worker_pool"], "/opt/apache/beam/boot"),
        ([], "beamtune"),
        (["--version"], "beamtune"),
        (["train", "data_dir=gs://b/data", "run_dir=gs://b/id=1"], "beamtune"),
        (["launch", "status", "--json"], "beamtune"),
    ],
)
def test_the_trainer_is_a_worker_where_beam_starts_it(words: list[str], expected: str) -> None:
    assert module_of("entrypoint").program(words) == expected


@pytest.mark.parametrize(
    ("python", "beam", "error"),
    [
        (None, None, ""),
        ("3.9", None, "PYTHON_VERSION=3.9: expected {python}, which the image has\n"),
        (None, "2.1.0", "BEAM_VERSION=2.1.0: expected {beam}, which the image has\n"),
    ],
)
def test_a_build_ends_with_another_python_or_beam(python: str | None, beam: str | None, error: str) -> None:
    found = {"python": f"3.{sys.version_info.minor}", "beam": version("apache-beam")}
    result = subprocess.run(
        [sys.executable, str(DOCKER / "check.py"), python or found["python"], beam or found["beam"]],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (result.returncode, result.stderr) == (int(error != ""), error.format(**found))
