"""Buildah and Podman with a storage of their own, for tests that build and run the images of infra/docker.

No registry of images is asked. A root of Debian with its own Python stands for the image of Python, under its name, and
a script for the boot program of Beam's image, which is in no package. Podman 4.3 waits 20 s too long for each container
that it runs in the foreground: containers run in the background here, and their state is asked for.
"""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from locks import locked

REPOSITORY = Path(__file__).resolve().parents[2]
PYTHON = "3.11"  # Debian 12 has no other
PROGRAMS = ("buildah", "mmdebstrap", "podman", "runc")
_CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
_BOOT = """#!/bin/sh
# Asks what Beam's boot program asks, and says what it was started with.
set -eu
test "$RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT" = 1
python -m pip show apache-beam | head -n 2
echo "boot: $*"
"""
# runc, as crun refuses machines with cgroups of both versions; limits, as Podman asks for more files than it may have.
_CONTAINERS_CONF = """[containers]
default_ulimits = ["nofile=4096:4096", "nproc=8192:8192"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"
[network]
network_backend = "netavark"
"""


@dataclass(frozen=True)
class Ended:
    """A container that has ended.

    Attributes:
        returncode: Its exit code.
        stdout: What it printed.
        stderr: What it printed to the standard error.
    """

    returncode: int
    stdout: str
    stderr: str


class Container:
    """A container."""

    def __init__(self, engine: "Engine", identifier: str) -> None:
        self._engine = engine
        self.identifier = identifier

    def logs(self) -> tuple[str, str]:
        """Returns what it has printed, and what to the standard error."""
        done = self._engine.podman("logs", self.identifier)
        return done.stdout, done.stderr

    def is_running(self) -> bool:
        """Returns whether it has not ended."""
        return self._engine.podman("ps", "-q", "--filter", f"id={self.identifier}").stdout != ""

    def wait_for(self, text: str, *, timeout_s: float = 600) -> None:
        """Waits until it has printed a text."""
        deadline_s = time.monotonic() + timeout_s
        while not any(text in one for one in self.logs()):
            assert self.is_running() and time.monotonic() < deadline_s, self.logs()
            time.sleep(0.5)

    def wait(self, *, timeout_s: float = 1800) -> Ended:
        """Waits for its end."""
        deadline_s = time.monotonic() + timeout_s
        while self.is_running():
            assert time.monotonic() < deadline_s, self.logs()
            time.sleep(0.5)
        code = self._engine.podman("inspect", "--format", "{{.State.ExitCode}}", self.identifier).stdout
        return Ended(int(code), *self.logs())

    def execute(self, *words: str) -> str:
        """Returns what a program prints that is run in it."""
        return self._engine.podman("exec", self.identifier, *words).stdout

    def stop(self) -> Ended:
        """Sends SIGTERM and waits for the end; after a minute it is killed."""
        self._engine.podman("stop", "--time", "60", self.identifier)
        return self.wait()


class Engine:
    """Builds and runs images."""

    def __init__(self, folder: Path) -> None:
        """Uses a folder, which may hold what an earlier engine has built there."""
        self._folder = folder
        (folder / "tmp").mkdir(parents=True, exist_ok=True)
        storage = folder / "storage.conf"
        roots = f'graphroot = "{folder}/storage"\nrunroot = "{folder}/run"\n'
        storage.write_text(f'[storage]\ndriver = "overlay"\n{roots}')
        configuration = folder / "containers.conf"
        configuration.write_text(_CONTAINERS_CONF)
        self._environment = {
            **os.environ,
            "CONTAINERS_CONF": str(configuration),
            "CONTAINERS_STORAGE_CONF": str(storage),
            "TMPDIR": str(folder / "tmp"),  # also of the cache of uv that builds share
        }

    def _run(self, *words: str, timeout_s: float = 300) -> "subprocess.CompletedProcess[str]":
        done = subprocess.run(
            words,
            cwd=REPOSITORY,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        assert done.returncode == 0, (words, done.stdout[-4000:], done.stderr[-4000:])
        return done

    def podman(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """Runs Podman to its end."""
        return self._run("podman", *words)

    def _has(self, image: str) -> bool:
        return self._run("buildah", "images", "--quiet", "--filter", f"reference={image}").stdout != ""

    def make_base_images(self) -> None:
        """Makes the images that infra/docker/Dockerfile begins with, if they are not there."""
        base = f"docker.io/library/python:{PYTHON}-slim-bookworm"
        sdk = f"docker.io/apache/beam_python{PYTHON}_sdk:{locked('worker')['apache-beam']}"
        context = self._folder / "base"
        context.mkdir(exist_ok=True)
        if not self._has(base):
            packages = "ca-certificates,python3,python3-venv,python-is-python3"
            root = str(context / "root.tar")
            self._run("mmdebstrap", "--variant=minbase", f"--include={packages}", "bookworm", root, timeout_s=1800)
            self._build(context, base, "FROM scratch\nADD root.tar /\n")
        if not self._has(sdk):
            (context / "boot").write_text(_BOOT)
            (context / "boot").chmod(0o755)
            self._build(context, sdk, f"FROM {base}\nCOPY boot /opt/apache/beam/boot\n")

    def _build(self, context: Path, image: str, text: str) -> None:
        (context / "Dockerfile").write_text(text)
        self._run("buildah", "build", "--quiet", "--pull-never", "--tag", image, str(context), timeout_s=600)

    def build(self, target: str) -> str:
        """Builds an image of infra/docker by scripts/images; returns its name."""
        more = ["--pull-never", "--network", "host"]
        if Path(_CERTIFICATES).exists():  # of a proxy between this machine and the packages
            more += ["--volume", f"{_CERTIFICATES}:{_CERTIFICATES}:ro"]
        words = ("--engine", "buildah", "--python", PYTHON, "--tag", "test", target, "--", *more)
        return f"localhost/{self._run('scripts/images', *words, timeout_s=3600).stdout.strip()}"

    def description(self, image: str) -> dict[str, Any]:
        """Returns what Podman says of an image."""
        [found] = json.loads(self.podman("image", "inspect", image).stdout)
        return dict(found)

    @contextmanager
    def running(
        self,
        image: str,
        *words: str,
        entrypoint: str | None = None,
        mounts: Mapping[Path, str] = {},
        environment: Mapping[str, str] = {},
        network: str = "none",
    ) -> Iterator[Container]:
        """Starts a container without rights, with a read-only root and no network but its own loopback.

        Args:
            image: The image.
            words: What follows the entry point.
            entrypoint: Another program than that of the image.
            mounts: Where folders of this machine are in it.
            environment: Its variables.
            network: "none", or "container:ID" for the loopback of another container.
        """
        options = ["--detach", "--network", network, "--read-only", "--tmpfs", "/tmp", "--no-healthcheck"]  # noqa: S108
        options += ["--cap-drop", "all", "--security-opt", "no-new-privileges"]
        options += [] if entrypoint is None else ["--entrypoint", entrypoint]
        options += [word for folder, path in mounts.items() for word in ("--volume", f"{folder}:{path}")]
        options += [word for name, value in environment.items() for word in ("--env", f"{name}={value}")]
        container = Container(self, self.podman("run", *options, image, *words).stdout.strip())
        try:
            yield container
        finally:
            self.podman("rm", "--force", container.identifier)

    def run(self, image: str, *words: str, **options: Any) -> Ended:
        """Runs a container to its end, as `running` starts it."""
        with self.running(image, *words, **options) as container:
            return container.wait()

    def remove_all(self) -> None:
        """Removes all containers and images, and the folder."""
        self.podman("rm", "--all", "--force")
        self._run("buildah", "rm", "--all")
        mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
        for mount in reversed([one for one in mounts if Path(one).is_relative_to(self._folder)]):
            self._run("umount", mount)
        shutil.rmtree(self._folder)


def missing_programs() -> list[str]:
    """Returns what has to be installed first."""
    return [name for name in PROGRAMS if shutil.which(name) is None]
