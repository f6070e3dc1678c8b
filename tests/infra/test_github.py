"""infra/github: workflows that are valid, with least rights, and call scripts that exist; steps of the release, run."""

import json
import os
import re
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from terraform_runs import tool
from terraform_schema import REPOSITORY

FOLDER = REPOSITORY / "infra" / "github"
FILES = sorted((FOLDER / "workflows").glob("*.yml"))
BASH = shutil.which("bash") or "bash"
DIGEST = "sha256:" + "0123456789abcdef" * 4
WORKFLOWS: dict[str, Any] = {path.stem: yaml.safe_load(path.read_text("utf-8")) for path in FILES}
ON = True  # how YAML 1.1 reads the key `on`
JOBS = {(name, job): content for name, workflow in WORKFLOWS.items() for job, content in workflow["jobs"].items()}
STEPS = [(*key, step) for key, job in JOBS.items() for step in job.get("steps", [])]
RUNS = [pytest.param(step["run"], id=f"{name}-{step['name']}") for name, _, step in STEPS if "run" in step]
RIGHTS_TO_WRITE = {
    ("release", "attest", "id-token"),
    ("release", "attest", "attestations"),
    ("release", "pypi", "id-token"),
    ("release", "images", "id-token"),
    ("release", "github", "contents"),
    ("smoke", "cloud", "id-token"),
}


def run_tool(name: str, *words: object) -> "subprocess.CompletedProcess[str]":
    command = [tool(name), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def audit(*files: Path) -> Any:
    """Returns what zizmor finds, without the network."""
    done = run_tool("zizmor", "--offline", "--no-config", "--persona", "pedantic", "--format", "json", *files)
    return json.loads(done.stdout)


def test_the_workflows_are_those_of_the_readme():
    table = (FOLDER / "README.md").read_text("utf-8")
    files = sorted(path.name for path in (*FILES, FOLDER / "dependabot.yml"))
    assert sorted(re.findall(r"^\| `([\w.]+)` \|", table, re.MULTILINE)) == files


@pytest.mark.parametrize(
    ("schema", "files"),
    [
        ("vendor.github-workflows", FILES),
        ("vendor.dependabot", [FOLDER / "dependabot.yml"]),
    ],
)
def test_the_files_fit_their_schema(schema: str, files: list[Path]):
    done = run_tool("check-jsonschema", "--builtin-schema", schema, *files)
    assert (done.returncode, done.stdout) == (0, "ok -- validation done\n")


def test_the_schema_refuses_a_wrong_name(tmp_path: Path):
    wrong = tmp_path / "ci.yml"
    wrong.write_text(FILES[1].read_text("utf-8").replace("timeout-minutes", "timeout-minute"))
    done = run_tool("check-jsonschema", "--builtin-schema", "vendor.github-workflows", wrong)
    assert done.returncode == 1


def test_zizmor_finds_nothing():
    assert audit(*FILES, FOLDER / "dependabot.yml") == []


def test_zizmor_finds_a_script_in_the_title_of_a_pull_request(tmp_path: Path):
    wrong = tmp_path / "ci.yml"
    wrong.write_text(
        (FOLDER / "workflows" / "ci.yml").read_text("utf-8").replace(".ci/run", "echo ${{ github.head_ref }}")
    )
    assert [one["ident"] for one in audit(wrong)] == ["template-injection"]


def test_each_action_is_named_by_a_commit_and_its_version():
    lines = [
        line for path in FILES for line in path.read_text("utf-8").splitlines() if re.match(r"\s+(- )?uses: ", line)
    ]
    pinned = [re.search(r"uses: ([-\w]+/[-\w]+)@([0-9a-f]{40}) # (v\d+\.\d+\.\d+)$", line) for line in lines]
    assert [line.strip() for line, match in zip(lines, pinned, strict=True) if match is None] == [
        "uses: ./.github/workflows/ci.yml # zizmor: ignore[self-repository] of the same commit either way"
    ]
    versions = {match.groups() for match in pinned if match is not None}
    assert len({action for action, _, _ in versions}) == len(versions) >= 8


def test_no_job_has_more_rights_than_it_needs():
    assert {name: workflow["permissions"] for name, workflow in WORKFLOWS.items() if workflow["permissions"]} == {}
    granted = {(*key, right): level for key, job in JOBS.items() for right, level in job["permissions"].items()}
    assert set(granted.values()) == {"read", "write"}
    assert {key for key, level in granted.items() if level == "write"} == RIGHTS_TO_WRITE
    assert {right for (*_, right), level in granted.items() if level == "read"} == {"contents"}


def test_no_workflow_runs_for_others_with_rights_or_has_secrets():
    events = {event for workflow in WORKFLOWS.values() for event in workflow[ON]}
    assert events == {"pull_request", "push", "schedule", "workflow_call", "workflow_dispatch"}
    assert [path.name for path in FILES if "secrets." in path.read_text("utf-8")] == []


def test_each_workflow_and_job_has_limits():
    assert [name for name, workflow in WORKFLOWS.items() if "group" not in workflow["concurrency"]] == []
    without = [key for key, job in JOBS.items() if "timeout-minutes" not in job and "uses" not in job]
    assert without == []


def test_no_checkout_keeps_credentials():
    checkouts = [step for *_, step in STEPS if step.get("uses", "").startswith("actions/checkout@")]
    assert len(checkouts) >= 6
    assert [step["with"] for step in checkouts] == [{"persist-credentials": False}] * len(checkouts)


def test_the_matrix_has_each_python_of_pyproject():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]
    classifier = "Programming Language :: Python :: "
    named = [line.removeprefix(classifier) for line in project["classifiers"] if line.startswith(classifier)]
    assert WORKFLOWS["ci"]["jobs"]["fast"]["strategy"]["matrix"]["python-version"] == named
    first, last = (int(version.split(".")[1]) for version in (named[0], named[-1]))
    assert project["requires-python"] == f">=3.{first},<3.{last + 1}"


@pytest.mark.parametrize("script", RUNS)
def test_a_step_is_bash_without_values_of_others_in_it(script: str):
    assert "${{" not in script
    done = subprocess.run([BASH, "-n"], input=script, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_each_workflow_uses_bash_with_pipefail():
    assert [workflow["defaults"] for workflow in WORKFLOWS.values()] == [{"run": {"shell": "bash"}}] * len(WORKFLOWS)


def calls() -> list[tuple[str, list[str]]]:
    """Returns each call of a script of this repository, and its words."""
    found = []
    for *_, step in STEPS:
        for line in step.get("run", "").replace("\\\n", " ").splitlines():
            match = re.search(r"(?:^|[\s\"])((?:scripts/|\.ci/)[-\w.]+)([^|>]*)", line)
            if match:
                found.append((match[1], shlex.split(match[2])))
    return found


@pytest.mark.parametrize(
    ("script", "words"), calls(), ids=lambda value: " ".join(value) if isinstance(value, list) else value
)
def test_a_script_and_its_options_exist(script: str, words: list[str]):
    path = REPOSITORY / script
    if script == "scripts/images" and not path.exists():
        pytest.skip("scripts/images is not there")
    assert path.is_file()
    assert script == "scripts/environment.sh" or os.access(path, os.X_OK)
    text = path.read_text("utf-8")
    assert [word for word in words if word.startswith("--") and word not in text] == []
    if words and not words[0].startswith(("-", "$")):
        assert re.search(rf"^#   {re.escape(script)} {re.escape(words[0])}\b", text, re.MULTILINE)


def step_named(workflow: str, name: str) -> dict[str, Any]:
    [step] = [step for found, _, step in STEPS if found == workflow and step.get("name") == name]
    return step


def execute(script: str, folder: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Runs a step as the runner does where the shell is bash."""
    path = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        [BASH, "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
        cwd=folder,
        env={**os.environ, **environment, "PATH": path},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def add_program(folder: Path, name: str, body: str) -> None:
    """Adds a program that writes down its words, and then runs the lines given."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'#!/usr/bin/env bash\nset -e\nprintf "%s\\n" "$(basename "$0") $*" >>"$CALLS"\n{body}\n')
    path.chmod(0o755)


@pytest.mark.parametrize(("tag", "code"), [("v{}", 0), ("v{}.1", 1), ("v9.9.9", 1), ("v{};true", 1)])
def test_only_the_tag_of_the_version_is_released(tag: str, code: int):
    version = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    script = step_named("release", "compare the tag with the version")["run"]
    assert execute(script, REPOSITORY, GITHUB_REF_NAME=tag.format(version)).returncode == code


def test_the_notes_are_those_of_the_tag(tmp_path: Path):
    (tmp_path / "scripts").symlink_to(REPOSITORY / "scripts")
    (tmp_path / "CHANGELOG.md").write_text(
        "# Changelog\n\n## [1.2.3] - 2026-01-31\n\n- One.\n\n## [1.2.2] - 2026-01-30\n"
    )
    done = execute(step_named("release", "notes of the release")["run"], tmp_path, GITHUB_REF_NAME="v1.2.3")
    assert (done.returncode, (tmp_path / "notes.md").read_text()) == (0, "- One.\n\n")
    assert (
        execute(step_named("release", "notes of the release")["run"], tmp_path, GITHUB_REF_NAME="v1.2.4").returncode
        == 1
    )


IMAGES = [
    f"europe-west4-docker.pkg.dev/my-project/images/{name}@{DIGEST}" for name in ("beamtune-trainer", "beamtune-worker")
]


def test_images_are_pushed_and_signed_by_their_digests(tmp_path: Path):
    repository = "europe-west4-docker.pkg.dev/my-project/images"
    environment = {
        "CALLS": str(tmp_path / "calls"),
        "REPOSITORY": repository,
        "TOKEN": "a token",
        "GITHUB_REPOSITORY": "o/n",
    }
    printed = "\n".join(f"echo 'pushed {image}'" for image in (*IMAGES, IMAGES[0]))
    add_program(tmp_path, "scripts/images", f"echo building\n{printed}")
    add_program(tmp_path, "bin/docker", "[[ $1 == login ]] && cat >token || echo '{}'")
    add_program(tmp_path, "bin/cosign", "")
    steps = (
        "log in to Artifact Registry",
        "build and push",
        "sign, and attach the list of packages that is in each image",
    )
    for name in steps:
        done = execute(step_named("release", name)["run"], tmp_path, **environment)
        assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "token").read_text() == "a token"
    expected = [
        "docker login --username oauth2accesstoken --password-stdin https://europe-west4-docker.pkg.dev",
        f"images --push {repository} --source https://github.com/o/n",
    ]
    for image in IMAGES:
        name = image.split("@")[0].split("/")[-1]
        expected += [
            f"docker run --rm --network none --entrypoint cat {image} /usr/share/beamtune/sbom.cdx.json",
            f"cosign sign --yes {image}",
            f"cosign attest --yes --type cyclonedx --predicate sboms/{name}.cdx.json {image}",
        ]
    assert (tmp_path / "calls").read_text().splitlines() == expected
    assert (tmp_path / "images.txt").read_text().splitlines() == IMAGES


@pytest.mark.parametrize("body", [f"echo {IMAGES[0]}; exit 1", "echo nothing was pushed"])
def test_images_that_are_not_pushed_end_the_job(tmp_path: Path, body: str):
    add_program(tmp_path, "scripts/images", body)
    calls_file = str(tmp_path / "calls")
    assert (
        execute(
            step_named("release", "build and push")["run"],
            tmp_path,
            CALLS=calls_file,
            REPOSITORY="r",
            GITHUB_REPOSITORY="o/n",
        ).returncode
        == 1
    )


@pytest.mark.parametrize("has_images", [True, False])
def test_the_release_has_the_notes_and_all_files(tmp_path: Path, has_images: bool):
    files = ["dist/beamtune-1.2.3.tar.gz", "dist/beamtune-1.2.3-py3-none-any.whl"]
    files += ["images/images.txt", "images/sboms/worker.cdx.json"] if has_images else []
    for name in (*files, "notes/notes.md", "demo/first/metrics.json"):
        (tmp_path / "artifacts" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "artifacts" / name).touch()
    add_program(tmp_path, "bin/gh", "")
    environment = {"CALLS": str(tmp_path / "calls"), "GITHUB_REF_NAME": "v1.2.3"}
    done = execute(step_named("release", "make the release")["run"], tmp_path, **environment)
    assert done.returncode == 0, done.stderr
    words = (tmp_path / "calls").read_text().split()
    start = "gh release create v1.2.3 --verify-tag --title v1.2.3 --notes-file artifacts/notes/notes.md"
    assert words[:9] == start.split()
    assert sorted(words[9:]) == sorted(f"artifacts/{name}" for name in files)


def test_the_readme_sets_each_variable_from_an_output_of_terraform():
    used = {name for path in FILES for name in re.findall(r"\bvars\.(\w+)", path.read_text("utf-8"))}
    readme = (FOLDER / "README.md").read_text("utf-8")
    assert set(re.findall(r"gh variable set (\w+)", readme)) == used
    outputs = set(re.findall(r'^output "(\w+)"', (REPOSITORY / "infra/terraform/outputs.tf").read_text("utf-8"), re.M))
    named = set(re.findall(r"terraform output -(?:raw|json) (\w+)", readme))
    assert named <= outputs
    assert named == {"ci_provider", "image_repository", "accounts", "bucket", "prepare_settings"}
