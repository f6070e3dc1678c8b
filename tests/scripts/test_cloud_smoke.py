"""scripts/cloud-smoke, with stand-ins for the programs that reach Google Cloud, and its requests by beamtune itself."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
SCRIPT = str(REPOSITORY / "scripts" / "cloud-smoke")
IMAGE = "europe-west4-docker.pkg.dev/my-project/images/{}@sha256:" + "0" * 64
ACCOUNT = "beamtune-{}@my-project.iam.gserviceaccount.com"
PREPARE_SETTINGS = [
    "runner=dataflow",
    "runner.temp_location=gs://my-bucket/temp",
    f"runner.service_account_email={ACCOUNT.format('dataflow-worker')}",
]
# Prints the lines of the file states, one at each call of `launch status`, and for a launch a job, whose number is the
# number of launches so far.
BEAMTUNE = """#!/usr/bin/env bash
echo "beamtune $*" >>calls
case "$1 $2" in
  "launch status")
    head -n 1 states | sed 's/.*/{"state": "&"}/'
    sed -i 1d states
    ;;
  "launch cancel") exit 2 ;;
  "launch dataflow" | "launch vertex")
    [[ ! -e refused ]] || exit 2
    echo "{\\"name\\": \\"projects/1/locations/r/customJobs/$(grep -c 'launch [dv]' calls)\\"}"
    ;;
esac
"""
GCLOUD = """#!/usr/bin/env bash
echo "gcloud $*" >>calls
[[ "$1 $3" != "dataflow list" ]] || echo pipeline-1
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working folder with the stand-ins and the settings."""
    (tmp_path / "bin").mkdir()
    for name, text in (("beamtune", BEAMTUNE), ("gcloud", GCLOUD), ("sleep", "#!/bin/sh\nexec /bin/sleep 0\n")):
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    (tmp_path / "prepare.json").write_text(json.dumps(PREPARE_SETTINGS))
    return tmp_path


def words(*more: str) -> list[str]:
    given = {
        "--project": "my-project",
        "--bucket": "gs://my-bucket",
        "--region": "europe-west4",
        "--image": IMAGE.format("trainer"),
        "--worker-image": IMAGE.format("worker"),
        "--launcher": ACCOUNT.format("launcher"),
        "--trainer": ACCOUNT.format("trainer"),
        "--prepare-settings": "prepare.json",
    }
    return [SCRIPT, *(word for pair in given.items() for word in pair), *more]


def environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "PYTHON": sys.executable, "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"}


def smoke(folder: Path, states: list[str]) -> "subprocess.CompletedProcess[str]":
    (folder / "states").write_text("".join(f"{state}\n" for state in states))
    return subprocess.run(
        words(), cwd=folder, env=environment(folder), capture_output=True, text=True, timeout=60, check=False
    )


def calls(folder: Path) -> list[str]:
    """Returns each call without its settings and options."""
    lines = (folder / "calls").read_text().splitlines()
    return [" ".join(word for word in line.split() if not {"=", "/"} & set(word)) for line in lines]


PREPARED = ["beamtune synthesize", "beamtune sync", "beamtune launch dataflow prepare --yes --json"]
CLEANED_UP = ["gcloud dataflow jobs list", "gcloud dataflow jobs cancel pipeline-1", "gcloud storage rm --recursive"]


def test_both_jobs_are_waited_for_and_everything_is_removed(folder: Path) -> None:
    done = smoke(folder, ["PENDING", "RUNNING", "SUCCEEDED", "SUCCEEDED"])
    assert done.returncode == 0, done.stderr
    assert calls(folder) == [
        *PREPARED,
        *["beamtune launch status 1 --json"] * 3,
        "beamtune launch vertex train --yes --json",
        "beamtune launch status 2 --json",
        "beamtune launch cancel 1",
        "beamtune launch cancel 2",
        *CLEANED_UP,
    ]
    lines = (folder / "calls").read_text().splitlines()
    [written] = [word for word in lines[2].split() if word.startswith("output_dir=")]
    run = written.removeprefix("output_dir=gs://my-bucket/temp/").removesuffix("/prepared")
    place = "--project=my-project --region=europe-west4"
    assert lines[-3:] == [
        f"gcloud dataflow jobs list {place} --status=active --filter=labels.beamtune-smoke={run} --format=value(id)",
        f"gcloud dataflow jobs cancel pipeline-1 {place}",
        f"gcloud storage rm --recursive gs://my-bucket/temp/{run}",
    ]


@pytest.mark.parametrize("state", ["FAILED", "CANCELLED", "EXPIRED", "PAUSED", "ANOTHER"])
def test_a_job_that_does_not_succeed_ends_the_test_and_everything_is_removed(folder: Path, state: str) -> None:
    done = smoke(folder, ["RUNNING", state])
    assert done.returncode == 1
    assert f"{SCRIPT}: dataflow prepare: job 1 ended as {state}\n" in done.stderr
    assert calls(folder)[-5:] == ["beamtune launch status 1 --json", "beamtune launch cancel 1", *CLEANED_UP]


def test_a_launch_that_is_refused_ends_the_test_and_music_is_removed(folder: Path) -> None:
    (folder / "refused").touch()
    assert smoke(folder, []).returncode == 2
    assert calls(folder) == [*PREPARED, *CLEANED_UP]


def test_what_cannot_be_removed_fails_the_test(folder: Path) -> None:
    (folder / "bin" / "gcloud").write_text(GCLOUD + '[[ "$1" != storage ]]\n')
    assert smoke(folder, ["SUCCEEDED", "SUCCEEDED"]).returncode == 1


def test_a_signal_removes_everything(folder: Path) -> None:
    (folder / "bin" / "sleep").write_text("#!/bin/sh\necho sleep >>calls\nexec /bin/sleep 60\n")
    (folder / "states").write_text("RUNNING\n")
    started = subprocess.Popen(words(), cwd=folder, env=environment(folder), stdout=subprocess.DEVNULL)
    deadline_s = time.monotonic() + 60
    while "sleep" not in ((folder / "calls").read_text() if (folder / "calls").exists() else ""):
        assert time.monotonic() < deadline_s
        time.sleep(0.05)
    started.send_signal(signal.SIGTERM)
    assert started.wait(timeout=60) == 143
    assert calls(folder)[-4:] == ["beamtune launch cancel 1", *CLEANED_UP]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--bucket", "my-bucket"], "--bucket my-bucket: expected gs://NAME"),
        (["--bucket", "gs://my-bucket/folder"], "--bucket gs://my-bucket/folder: expected gs://NAME"),
        (["--prepare-settings", "missing.json"], "--prepare-settings missing.json: there is no such file"),
        (["--image"], "--image has no value: see --help"),
        (["--image", ""], "--image has no value: see --help"),
        (["train"], "'train' is not an option: see --help"),
    ],
)
def test_wrong_words_are_named_and_start_nothing(folder: Path, more: list[str], message: str) -> None:
    done = subprocess.run(
        words(*more), cwd=folder, env=environment(folder), capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (1, f"{SCRIPT}: {message}\n")
    assert not (folder / "calls").exists()


@pytest.mark.slow
def test_the_requests_have_limits_and_the_given_accounts_and_images(folder: Path) -> None:
    code = "import sys; from configs.cli import run; sys.exit(run())"
    (folder / "bin" / "beamtune").write_text(f"#!/bin/sh\nexec {sys.executable} -c '{code}' \"$@\"\n")
    done = subprocess.run(
        words("--dry-run"),
        cwd=folder,
        env={**environment(folder), "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    requests = list(yaml.safe_load_all(done.stdout.replace("parent: ", "---\nparent: ")))
    jobs = [request["customJob"]["jobSpec"] for request in requests]
    assert [job["serviceAccount"] for job in jobs] == [ACCOUNT.format("launcher"), ACCOUNT.format("trainer")]
    for job in jobs:
        assert job["scheduling"]["timeout"] == "3600s"
        [pool] = job["workerPoolSpecs"]
        assert (pool["machineSpec"], pool["replicaCount"]) == ({"machineType": "n2-standard-4"}, "1")
        assert pool["containerSpec"]["imageUri"] == IMAGE.format("trainer")
    prepare, train = (job["workerPoolSpecs"][0]["containerSpec"]["args"] for job in jobs)
    assert {*PREPARE_SETTINGS, "runner.max_workers=1", f"runner.worker_image={IMAGE.format('worker')}"} < set(prepare)
    assert 'runner.dataflow_service_options=["max_workflow_runtime_walltime_seconds=1800"]' in prepare
    [written] = [word.partition("=")[2] for word in prepare if word.startswith("output_dir=")]
    assert f"data_dir={written}" in train
