"""scripts/audit: licences of made-up and of installed packages, and pip-audit against a service on this machine."""

import hashlib
import json
import os
import re
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
RULES: dict[str, Any] = tomllib.loads((REPOSITORY / "requirements" / "audit.toml").read_text(encoding="utf-8"))
TOOLS = REPOSITORY / ".infra-tools"


def add_package(environment: Path, name: str, *fields: str) -> None:
    """Puts the metadata of a package of version 1.0 into an environment."""
    folder = environment / "lib" / "python3.11" / "site-packages" / f"{name.replace('-', '_')}-1.0.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text("\n".join(["Metadata-Version: 2.4", f"Name: {name}", "Version: 1.0", *fields, ""]))


def check_licences(*words: object) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, str(REPOSITORY / "scripts" / "licences.py"), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


CLASSIFIER = "Classifier: License :: OSI Approved :: "


@pytest.mark.parametrize(
    "fields",
    [
        ["License-Expression: MIT"],
        ["License-Expression: MIT AND (Apache-2.0 OR BSD-3-Clause)"],
        ["License-Expression: GPL-3.0-only OR MIT"],
        ["License-Expression: Apache-2.0 WITH LLVM-exception"],
        ["License: MIT License", "License-Expression: MIT"],
        [CLASSIFIER + "Apache Software License"],
        [CLASSIFIER + "MIT License", CLASSIFIER + "BSD License"],
        ["License: Apache 2.0"],
    ],
)
def test_a_licence_in_the_list_is_allowed(tmp_path: Path, fields: list[str]) -> None:
    add_package(tmp_path, "some-package", *fields)
    done = check_licences(tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("1 packages, of which 0 have no licence that is allowed\n")


@pytest.mark.parametrize(
    ("fields", "stated"),
    [
        ([], "states no licence"),
        (["License: UNKNOWN"], "UNKNOWN"),
        (["License: " + "Permission is hereby granted " * 4], "states no licence"),
        (["License-Expression: AGPL-3.0-only"], "AGPL-3.0-only"),
        (["License-Expression: MIT AND GPL-3.0-only"], "MIT AND GPL-3.0-only"),
        (["License-Expression: MIT AND (GPL-3.0-only OR Apache-2.0)"], "MIT AND (GPL-3.0-only OR Apache-2.0)"),
        (["License-Expression: GPL-3.0-only", "License: MIT"], "GPL-3.0-only"),
        ([CLASSIFIER + "MIT License", CLASSIFIER + "GNU General Public License (GPL)"], "MIT AND GNU General Public"),
        (["Classifier: License :: Other/Proprietary License"], "Other/Proprietary License"),
    ],
)
def test_another_licence_or_none_is_named(tmp_path: Path, fields: list[str], stated: str) -> None:
    add_package(tmp_path, "some-package", *fields)
    done = check_licences(tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith(f"some-package 1.0: {stated}")
    assert done.stderr.endswith(": requirements/audit.toml does not allow it\n")


def test_a_package_with_a_reason_is_allowed_whatever_its_name_looks_like(tmp_path: Path) -> None:
    add_package(tmp_path, "Junit.XML", "License-Expression: GPL-3.0-only")
    assert check_licences(tmp_path).returncode == 0


def test_the_table_groups_the_packages_of_a_lock(tmp_path: Path) -> None:
    add_package(tmp_path, "b-package", "License-Expression: MIT")
    add_package(tmp_path, "A_package", CLASSIFIER + "MIT License")
    add_package(tmp_path, "soxr", "License-Expression: LGPL-2.1-or-later")
    add_package(tmp_path, "not-locked", "License-Expression: MIT")
    lock = tmp_path / "lock.txt"
    lock.write_text(
        "a-package==1.0 \\\n    --hash=sha256:00\nb-package==1.0 ; python_version < '3'\nsoxr==1.0\n# not-locked\n"
    )
    assert check_licences("--table", lock, tmp_path).stdout == (
        "| licence | packages |\n|---|---|\n| MIT | a-package, b-package |\n| LGPL-2.1-or-later | soxr |\n"
    )


def test_all_that_is_installed_here_is_allowed() -> None:
    environments = [path for path in (Path(sys.prefix), TOOLS) if (path / "lib").is_dir()]
    done = check_licences(*environments)
    assert (done.returncode, done.stderr) == (0, "")
    assert int(done.stdout.split()[0]) > 50


def test_each_exception_is_of_a_package_in_a_lock_and_has_a_reason() -> None:
    locks = "\n".join(path.read_text(encoding="utf-8") for path in (REPOSITORY / "requirements").glob("*.txt"))
    assert {name for name in RULES["packages"] if not re.search(rf"^{re.escape(name)}==", locks, re.MULTILINE)} == set()
    for exception in RULES["packages"].values():
        assert set(exception) == {"licence", "reason"}
        assert len(exception["reason"].split()) >= 5
    assert all(len(reason.split()) >= 5 for reason in RULES["vulnerabilities"].values())


class Service(HTTPServer):
    """The API of OSV on 127.0.0.1, with one vulnerability of one package."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        super().__init__(("127.0.0.1", 0), Answer)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1/query"


class Answer(BaseHTTPRequestHandler):
    server: Service

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append(asked)
        found = [VULNERABILITY] if asked["package"]["name"] == "bad-package" else []
        body = json.dumps({"vulns": found} if found else {}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_request(self, code: object = "-", size: object = "-") -> None:
        pass


# https://google.github.io/osv.dev/post-v1-query
VULNERABILITY = {
    "id": "PYSEC-2026-1",
    "summary": "A mistake",
    "details": "A mistake",
    "aliases": ["CVE-2026-1"],
    "modified": "2026-01-02T00:00:00Z",
    "published": "2026-01-01T00:00:00Z",
    "affected": [
        {
            "package": {"name": "bad-package", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "1.1"}]}],
        }
    ],
}


@pytest.fixture
def service() -> Iterator[Service]:
    with Service() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def installed_mark(folder: Path) -> str:
    """Returns what scripts/infra-tools leaves where it has installed the lock of a folder."""
    names = ("requirements/infra.txt", "scripts/infra-tools")
    sums = "".join(f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n" for name in names)
    return hashlib.sha256(sums.encode()).hexdigest() + "\n"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with the script, its tools, and two locks of one package each."""
    if not (TOOLS / "bin" / "pip-audit").exists():
        pytest.skip("pip-audit is not installed: scripts/infra-tools installs it")
    folder = tmp_path / "checkout"
    (folder / "requirements").mkdir(parents=True)
    (folder / "scripts").symlink_to(REPOSITORY / "scripts")
    for lock, package in (("infra", "bad-package"), ("other", "good-package")):
        path = folder / "requirements" / f"{lock}.txt"
        path.write_text(f"{package}==1.0 ; sys_platform == 'linux' \\\n    --hash=sha256:{'0' * 64}\n")
    (folder / ".infra-tools").mkdir()
    (folder / ".infra-tools" / "bin").symlink_to(TOOLS / "bin")
    (folder / ".infra-tools" / "installed").write_text(installed_mark(folder))
    (folder / "requirements" / "audit.toml").write_text("[vulnerabilities]\n")
    return folder


def audit(checkout: Path, url: str) -> "subprocess.CompletedProcess[str]":
    """Runs the part for vulnerabilities against a service."""
    words = ["vulnerabilities", "--vulnerability-service", "osv", "--osv-url", url]
    return subprocess.run(
        [str(checkout / "scripts" / "audit"), *words, "--cache-dir", str(checkout / "cache")],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHON": sys.executable},
        timeout=300,
        check=False,
    )


@pytest.mark.slow
def test_a_vulnerability_of_one_lock_fails_the_audit_and_the_others_are_audited(
    checkout: Path, service: Service
) -> None:
    done = audit(checkout, service.url)
    assert done.returncode == 1
    assert re.search(r"^bad-package +1\.0 +PYSEC-2026-1 +1\.1", done.stdout, re.MULTILINE)
    locks = [line for line in done.stdout.splitlines() if line.startswith("requirements/")]
    assert locks == ["requirements/infra.txt", "requirements/other.txt"]
    asked = [(one["package"]["name"], one["version"]) for one in service.asked]
    assert asked == [("bad-package", "1.0"), ("good-package", "1.0")]


@pytest.mark.slow
def test_a_vulnerability_with_a_reason_is_left_out(checkout: Path, service: Service) -> None:
    (checkout / "requirements" / "other.txt").unlink()
    rules = checkout / "requirements" / "audit.toml"
    rules.write_text('[vulnerabilities]\nCVE-2026-1 = "It is only there for this test."\n')
    done = audit(checkout, service.url)
    assert (done.returncode, "PYSEC-2026-1" in done.stdout) == (0, False)


@pytest.mark.slow
def test_a_service_that_is_away_fails_the_audit(checkout: Path) -> None:
    (checkout / "requirements" / "other.txt").unlink()
    done = audit(checkout, "http://127.0.0.1:1/v1/query")
    assert done.returncode == 1
    assert "No known vulnerabilities found" not in done.stdout + done.stderr
