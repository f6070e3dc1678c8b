"""scripts/images, with engines and a gcloud that write down what they are called with."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
VERSION = re.search(r'^version = "(.+)"$', (REPOSITORY / "pyproject.toml").read_text(), re.MULTILINE)[1]  # type: ignore[index]
LABEL = "org.opencontainers.image"
DIGEST = "sha256:" + "0123456789abcdef" * 4
REGISTRY = "europe-west4-docker.pkg.dev/my-project/beamtune-images"
# Writes its words, one call a line, with the words apart; then says what the real program would.
FAKE = """#!/bin/bash
printf '%s\\x1f' "$(basename "$0")" "$@" >>"$CALLS"
echo >>"$CALLS"
echo "words of $(basename "$0") for people"
[[ ! -e "$FAILS/$(basename "$0")-$1" ]] || exit 3
"""
FAKES = {
    "docker": """[[ "$1" != image ]] || cat "$FAILS/digests" """,
    "buildah": """[[ "$1" != push ]] || echo -n "$DIGEST" >"$3" """,
    "podman": """[[ "$1" != push ]] || echo -n "$DIGEST" >"$3" """,
    "gcloud": """
while (($#)); do
  [[ "$1" != --config ]] || cp "$2" "$FAILS/config.json"
  shift
done""",
}


class Programs:
    """A PATH with some of the fakes and without the engines of this machine.

    Attributes:
        folder: Where the fakes and their files are.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._calls = folder / "calls"
        for name in ("bash", "basename", "cat", "cp", "dirname", "git", "mktemp", "rm", "sed", "tail"):
            found = shutil.which(name)
            assert found is not None
            (folder / name).symlink_to(found)

    def add(self, name: str, *, says: str | None = None) -> None:
        """Adds a fake. gcloud and docker say things for people too, unless `says` is all of it."""
        body = FAKE.replace('echo "words of', '[[ "$1" == image || "$1" == artifacts ]] || echo "words of')
        (self.folder / name).write_text(body + (FAKES[name] if says is None else says))
        (self.folder / name).chmod(0o755)

    def run(
        self, *words: str, environment: Mapping[str, str] = {}, repository: Path = REPOSITORY
    ) -> "subprocess.CompletedProcess[str]":
        """Runs the script; `calls` returns what it has called."""
        self._calls.write_text("")
        variables = {"PATH": str(self.folder), "CALLS": str(self._calls), "FAILS": str(self.folder), "DIGEST": DIGEST}
        return subprocess.run(
            [str(repository / "scripts" / "images"), *words],
            env={**os.environ, **variables, **environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def calls(self) -> list[list[str]]:
        return [line.split("\x1f")[:-1] for line in self._calls.read_text().splitlines()]


@pytest.fixture
def programs(tmp_path: Path) -> Programs:
    return Programs(tmp_path)


def values(call: list[str], option: str) -> list[str]:
    """Returns the values of an option in a call."""
    return [value for name, value in pairwise(call) if name == option]


def test_all_images_are_built_by_the_first_engine_that_is_there(programs: Programs) -> None:
    programs.add("buildah")
    programs.add("podman")
    done = programs.run()
    assert (done.returncode, done.stdout.split()) == (
        0,
        [f"beamtune-{one}:{VERSION}" for one in ("worker", "trainer", "serve")],
    )
    calls = programs.calls()
    assert [call[:2] for call in calls] == [["podman", "build"]] * 3
    assert [values(call, "--target") for call in calls] == [["worker"], ["trainer"], ["serve"]]
    for call in calls:
        assert call[-1] == "."
        assert values(call, "--file") == ["infra/docker/Dockerfile"]
        assert values(call, "--platform") == ["linux/amd64"]
        assert values(call, "--format") == ["docker"]  # that of OCI has no health check
        arguments = dict(one.partition("=")[::2] for one in values(call, "--build-arg"))
        assert arguments == {"PYTHON_VERSION": "3.12", "TRAINER_LOCK": "trainer"}
        labels = dict(one.partition("=")[::2] for one in values(call, "--label"))
        assert re.fullmatch(r"[0-9a-f]{40}(-changed)?|", labels.pop(f"{LABEL}.revision", ""))
        assert labels == {f"{LABEL}.version": VERSION}


def test_the_revision_says_whether_what_is_copied_was_committed(programs: Programs, tmp_path: Path) -> None:
    repository = tmp_path / "it's a copy"
    (repository / "scripts").mkdir(parents=True)
    shutil.copy(REPOSITORY / "scripts" / "images", repository / "scripts" / "images")
    (repository / "pyproject.toml").write_text('version = "1.2.3"\n')
    programs.add("docker")

    def git(*words: str) -> str:
        names = ("-c", "user.name=a", "-c", "user.email=a@b.c")
        return subprocess.run(
            [str(tmp_path / "git"), *names, *words],
            cwd=repository,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout.strip()

    def revision() -> list[str]:
        done = programs.run("trainer", repository=repository)
        assert done.returncode == 0, done.stderr
        labels = values(programs.calls()[0], "--label")
        return [one.partition("=")[2] for one in labels if one.startswith(f"{LABEL}.revision=")]

    git("init", "--quiet")
    assert revision() == []
    git("add", ".")
    git("commit", "--quiet", "--message", "First")
    head = git("rev-parse", "HEAD")
    (repository / "notes.txt").write_text("not copied")
    assert revision() == [head]
    (repository / "trainer").mkdir()
    (repository / "trainer" / "new.py").write_text("")
    assert revision() == [f"{head}-changed"]
    git("add", ".")
    git("commit", "--quiet", "--message", "Second")
    assert revision() == [git("rev-parse", "HEAD")]
    (repository / "pyproject.toml").write_text('version = "1.2.4"\n')
    assert revision() == [git("rev-parse", "HEAD") + "-changed"]


@pytest.mark.parametrize("option", ["--push", "--tag", "--engine", "--source"])
def test_an_empty_value_is_refused(programs: Programs, option: str) -> None:
    """Such as that of --push "$REGISTRY" where the variable is not set, which would push nothing."""
    programs.add("docker")
    done = programs.run(option, "", "trainer")
    assert (done.returncode, done.stderr) == (2, f"scripts/images: {option} needs a value: see --help\n")
    assert programs.calls() == []


def test_digests_of_all_images_leave_no_file_behind(programs: Programs, tmp_path: Path) -> None:
    programs.add("podman")
    (tmp_path / "tmp").mkdir()
    done = programs.run("--push", REGISTRY, environment={"TMPDIR": str(tmp_path / "tmp")})
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == 3
    assert list((tmp_path / "tmp").iterdir()) == []


def test_every_option_reaches_the_engine(programs: Programs) -> None:
    programs.add("docker")
    python, beam = f"python:3.13-slim-bookworm@{DIGEST}", "localhost:5000/beam:1"
    words = ("--tag", "my_1.0-x", "--gpu", "--python", "3.13", "--python-image", python, "--beam-image", beam)
    more = ("--no-cache", "--label", "owner=$(id) `id` ;'\"")
    done = programs.run(*words, "--source", "https://git.example/beamtune", "trainer", "--", *more)
    assert (done.returncode, done.stdout) == (0, "beamtune-trainer-gpu:my_1.0-x\n")
    [call] = programs.calls()
    assert call[-4:] == [*more, "."]
    assert {
        "PYTHON_VERSION=3.13",
        f"PYTHON_IMAGE={python}",
        f"BEAM_IMAGE={beam}",
        "TRAINER_LOCK=trainer-gpu",
    } <= set(values(call, "--build-arg"))
    assert f"{LABEL}.source=https://git.example/beamtune" in values(call, "--label")


@pytest.mark.parametrize("engine", ["podman", "buildah"])
def test_a_pushed_image_is_named_by_its_digest(programs: Programs, engine: str) -> None:
    programs.add(engine)
    done = programs.run("--push", REGISTRY, "--tag", "1", "worker", "serve")
    assert (done.returncode, done.stdout.split()) == (
        0,
        [f"{REGISTRY}/beamtune-worker@{DIGEST}", f"{REGISTRY}/beamtune-serve@{DIGEST}"],
    )
    pushes = [call for call in programs.calls() if call[1] == "push"]
    assert [call[-1] for call in pushes] == [f"{REGISTRY}/beamtune-worker:1", f"{REGISTRY}/beamtune-serve:1"]


def test_docker_names_an_image_by_its_digest_in_that_registry(programs: Programs) -> None:
    programs.add("docker")
    other = "sha256:" + "f" * 64
    (programs.folder / "digests").write_text(
        f"registry.example:5000/a/beamtune-serve@{other}\n{REGISTRY}/beamtune-serve@{DIGEST}\n\n"
    )
    done = programs.run("--push", REGISTRY, "serve")
    assert (done.returncode, done.stdout) == (0, f"{REGISTRY}/beamtune-serve@{DIGEST}\n")
    assert [call[1] for call in programs.calls()] == ["build", "push", "image"]
    done = programs.run("--push", "registry.example:5000/b", "serve")
    assert (done.returncode, done.stdout) == (2, "")
    assert "beamtune-serve:" in done.stderr and "its digest was not found" in done.stderr


def test_cloud_build_builds_and_pushes_without_an_engine(programs: Programs) -> None:
    programs.add(
        "gcloud", says=FAKES["gcloud"] + '\n[[ ! "$(tail -n 1 "$CALLS")" == *artifacts* ]] || echo "$DIGEST"\n'
    )
    done = programs.run("--cloud-build", "--push", REGISTRY, "--gpu", "trainer", "serve")
    assert (done.returncode, done.stdout.split()) == (
        0,
        [f"{REGISTRY}/beamtune-trainer-gpu@{DIGEST}", f"{REGISTRY}/beamtune-serve@{DIGEST}"],
    )
    submit, *describes = programs.calls()
    assert submit[1:5] == ["builds", "submit", "--project", "my-project"]
    assert submit[-1] == "."
    assert not Path(values(submit, "--config")[0]).exists()
    assert [call[1:5] for call in describes] == [["artifacts", "docker", "images", "describe"]] * 2
    config: dict[str, Any] = json.loads((programs.folder / "config.json").read_text())
    names = [f"{REGISTRY}/beamtune-trainer-gpu:{VERSION}", f"{REGISTRY}/beamtune-serve:{VERSION}"]
    assert config["images"] == names
    for step, target, name in zip(config["steps"], ("trainer", "serve"), names, strict=True):
        assert step["args"][0] == "build" and step["args"][-1] == "."
        assert (values(step["args"], "--target"), values(step["args"], "--tag")) == ([target], [name])
        assert "TRAINER_LOCK=trainer-gpu" in values(step["args"], "--build-arg")
        assert step["env"] == ["DOCKER_BUILDKIT=1"]


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (
            ("predictor",),
            "predictor is neither an image nor an option: expected worker, trainer, serve, or one of --help",
        ),
        (("--fast",), "--fast is neither an image nor an option: expected worker, trainer, serve, or one of --help"),
        (("--push",), "--push needs a value: see --help"),
        (("--push", "https://x/y"), "--push https://x/y: expected a registry and a path, such as "),
        (("--push", "x/$(id)"), "--push x/$(id): expected a registry and a path, such as "),
        (("--push", "x/y:1"), "--push x/y:1: expected a registry and a path, such as "),
        (("--tag", "a b"), "--tag a b: expected letters, digits, "),
        (("--tag", "x" * 129), f"--tag {'x' * 129}: expected letters, digits, "),
        (("--python", "3.10"), "--python 3.10: expected 3.11, 3.12 or 3.13"),
        (("--python-image", 'x","y'), '--python-image x","y: expected NAME[:TAG][@sha256:DIGEST]'),
        (("--beam-image", "x@sha256:1"), "--beam-image x@sha256:1: expected NAME[:TAG][@sha256:DIGEST]"),
        (("--source", "https://user:word@git.example"), "--source https://user:word@git.example: expected an address "),
        (("--engine", "nerdctl"), "--engine nerdctl: expected docker, podman or buildah"),
        (("--engine", "buildah"), "buildah was not found on PATH"),
        (("--gpu", "serve"), "--gpu: expected the image trainer"),
        (("--cloud-build",), "--cloud-build: expected --push REPOSITORY, where the images go"),
        (
            ("--cloud-build", "--push", "a.b/c", "--engine", "docker"),
            "--engine docker: expected none with --cloud-build",
        ),
        (("--cloud-build", "--push", "a.b/c", "--", "--x"), "--x: expected no further words with --cloud-build"),
        (("--cloud-build", "--push", "a.b/c"), "gcloud was not found on PATH"),
    ],
)
def test_wrong_words_are_one_line_and_nothing_is_called(programs: Programs, words: tuple[str, ...], error: str) -> None:
    programs.add("docker")
    done = programs.run(*words)
    assert (done.returncode, done.stdout, programs.calls()) == (2, "", [])
    assert done.stderr.startswith(f"scripts/images: {error}") and done.stderr.count("\n") == 1


def test_without_an_engine_it_says_what_to_install(programs: Programs) -> None:
    done = programs.run()
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "scripts/images: no engine was found: install docker, podman or buildah, or use --cloud-build\n"
    )


@pytest.mark.parametrize("step", ["build", "push"])
def test_a_step_that_fails_ends_it(programs: Programs, step: str) -> None:
    programs.add("buildah")
    (programs.folder / f"buildah-{step}").touch()
    done = programs.run("--push", REGISTRY)
    assert (done.returncode, done.stdout) == (3, "")
    assert [call[1] for call in programs.calls()] == ["build", "push"][: 1 if step == "build" else 2]


def test_help_has_examples(programs: Programs) -> None:
    done = programs.run("--help")
    assert done.returncode == 0
    assert "  scripts/images serve  " in done.stdout
    assert done.stdout.rstrip().endswith("such as --no-cache")
