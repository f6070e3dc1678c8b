"""Launches up to the service, which is a recording stand-in on this machine."""

import io
import json
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from google.cloud import aiplatform_v1 as v1
from recording_server import as_documented
from vertex_server import VertexServer

from configs.cli import main
from configs.command import Invocation
from configs.commands import COMMANDS
from configs.launch.history import LaunchedJob, find_job, remember

IMAGE = "us-central1-docker.pkg.dev/my-project/images/beamtune:0.1.0"
PLACE = ("launch.project=my-project", f"launch.image={IMAGE}")
TRAIN = ("vertex", "train", "data_dir=gs://bucket/data", "run_dir=gs://bucket/run", *PLACE)
FIRST = "projects/my-project/locations/us-central1/customJobs/1000"

Launch = Callable[..., int]


class Terminal(io.StringIO):
    """A terminal on which somebody types."""

    def isatty(self) -> bool:
        return True


def test_a_job_is_created_and_remembered(
    launch: Launch, vertex: VertexServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert launch(*TRAIN, "launch.machine=l4", "--yes") == 0
    captured = capsys.readouterr()
    assert captured.out == f"{FIRST} (PENDING)\n"
    assert "machines: 1 g2-standard-8 with 1 NVIDIA_L4, in us-central1" in captured.err.splitlines()
    assert captured.err.splitlines()[-2] == (
        "https://console.cloud.google.com/vertex-ai/locations/us-central1/training/1000?project=my-project"
    )
    assert [kind for kind, _ in vertex.requests] == ["list", "create"]
    assert find_job("last", project=None, region=None).name == FIRST
    # Nothing but the name of the library and of its version, and no credentials, is sent to http://.
    assert not any("authorization" in map(str.lower, headers) for headers in vertex.headers)


def test_a_program_reads_the_job_and_whether_it_is_new(
    launch: Launch, vertex: VertexServer, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "cloud.yaml").write_text(yaml.safe_dump([*PLACE, "launch.machine=l4", "epochs=3"]))
    for is_new in (True, False):
        assert launch(*TRAIN[:4], f"overrides={tmp_path}/cloud.yaml", "--yes", "--json") == 0
        job = json.loads(capsys.readouterr().out)
        assert (job["name"], job["machines"], job["is_new"]) == (FIRST, "1 g2-standard-8", is_new)
    [content] = vertex.of_kind("create")
    assert content["jobSpec"]["workerPoolSpecs"][0]["containerSpec"]["args"] == ["train", "epochs=3", *TRAIN[2:4]]


@pytest.mark.parametrize("change", ["epochs=3", "run_dir=gs://bucket/other", "launch.again=true"])
def test_another_job_is_started(launch: Launch, vertex: VertexServer, change: str) -> None:
    assert launch(*TRAIN, "--yes") == 0
    assert launch(*[word for word in TRAIN if word.partition("=")[0] != change.partition("=")[0]], change, "--yes") == 0
    assert len(vertex.of_kind("create")) == 2


def test_without_a_terminal_and_yes_nothing_is_started(
    launch: Launch, vertex: VertexServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    assert launch(*TRAIN) == 2
    assert capsys.readouterr().err.splitlines()[-1].endswith("add --yes")
    assert not vertex.of_kind("create")


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("YES\n", 0), ("n\n", 2), ("\n", 2), ("", 2)])
def test_a_terminal_is_asked(
    launch: Launch,
    vertex: VertexServer,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    answer: str,
    code: int,
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    assert launch(*TRAIN) == code
    assert len(vertex.of_kind("create")) == (1 if code == 0 else 0)
    assert "cost: about 0.45 USD an hour, and at most about 11 USD in the 24 h" in capsys.readouterr().err


def test_a_dry_run_needs_no_network_and_no_large_library() -> None:
    script = (
        "import socket, sys\n"
        "def refuse(*_): raise AssertionError('the network was used')\n"
        "socket.socket.connect = socket.getaddrinfo = refuse\n"
        "from configs.cli import main\n"
        f"code = main(['launch', *{TRAIN!r}, 'launch.replicas=2', '--dry-run', '--json'])\n"
        "heavy = [one for one in ('apache_beam', 'keras', 'tensorflow', 'google.auth', 'google.cloud.aiplatform_v1')"
        " if one in sys.modules]\n"
        "sys.exit(f'{code} {heavy}')\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300, check=False)
    assert done.stderr.splitlines()[-1] == "0 []"
    request = json.loads(done.stdout)
    assert request["parent"] == "projects/my-project/locations/us-central1"
    assert request["customJob"]["jobSpec"]["workerPoolSpecs"][1]["replicaCount"] == "1"


def test_a_dry_run_shows_what_is_sent(
    launch: Launch, vertex: VertexServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("configs.launch.data_checks.check_data", lambda launched: None)
    words = (*TRAIN, "launch.machine=h100", "launch.accelerators=8", "launch.scheduling=flex_start")
    assert launch(*words, "--dry-run", "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert vertex.requests == []
    assert launch(*words, "--yes") == 0
    assert vertex.of_kind("create") == [as_documented(shown["customJob"], v1.CustomJob)]


def test_jobs_are_listed_shown_and_cancelled(
    launch: Launch, vertex: VertexServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert launch(*TRAIN, "--yes") == 0
    assert launch(*TRAIN, "epochs=3", "--yes") == 0
    capsys.readouterr()
    assert launch("list", "launch.project=my-project") == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[2:]]
    assert [(row[0], row[2]) for row in rows] == [("1001", "PENDING"), ("1000", "PENDING")]
    assert vertex.of_kind("list")[-1] == 'display_name:"beamtune-*"'
    assert launch("status", "1000", "--json") == 0
    job = json.loads(capsys.readouterr().out)
    assert (job["name"], job["state"], job["machines"]) == (FIRST, "PENDING", "1 n2-standard-8")
    assert launch("cancel", "last") == 0
    assert {job["state"] for job in vertex.jobs.values()} == {"JOB_STATE_PENDING", "JOB_STATE_CANCELLING"}
    vertex.set_state("FAILED", error="The replica workerpool0-0 exited with a non-zero status of 1.")
    assert launch("status", "last") == 1
    assert "exited with a non-zero status of 1." in capsys.readouterr().out
    assert launch("cancel", "last") == 2
    assert capsys.readouterr().err == f"beamtune launch: {FIRST[:-1]}1 has ended: it is FAILED\n"


def test_the_log_is_read_by_commands_of_gcloud(launch: Launch, capsys: pytest.CaptureFixture[str]) -> None:
    remember(LaunchedJob(f"{FIRST[:-4]}77", "my-project", "us-central1"))
    assert launch("logs", "last") == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if not line.startswith("#")]
    assert lines == [
        "gcloud ai custom-jobs stream-logs 77 --project=my-project --region=us-central1",
        'gcloud logging read \'resource.type="ml_job" AND resource.labels.job_id="77"\' '
        "--project=my-project --order=asc --freshness=30d --format='value(timestamp,jsonPayload.message,textPayload)'",
    ]


def test_a_job_that_does_not_exist_is_one_line(
    launch: Launch, vertex: VertexServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert launch("status", "5", "launch.project=my-project") == 2
    name = f"{FIRST[:-4]}5"
    assert capsys.readouterr().err == (
        f"beamtune launch: the job {name}: it does not exist, or something that it names does not: {name} is not "
        "found.\n"
    )


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ([], "launch: expected beamtune launch vertex|dataflow|cloudrun|kubernetes|slurm|local COMMAND …"),
        (["moon", "train"], "launch moon: expected beamtune launch vertex|dataflow|cloudrun|kubernetes|slurm|local "),
        (["vertex"], "launch vertex needs a command, such as train: "),
        (["vertex", "trian", *PLACE], "COMMAND=trian: expected one of prepare, convert, train, "),
        (["vertex", "tensorboard", *PLACE], "COMMAND=tensorboard: expected one of prepare, "),
        (["status"], "launch status takes one job or server: its number or name, or last: got none"),
        (["list", "last"], "launch list takes no job: got last"),
        (["list"], "launch.project is not set: give launch.project=…"),
        (["cloudrun", "train", *PLACE], "COMMAND=train: expected serve"),
        (["vertex", "serve", *PLACE], "launch … serve takes one path, that of a run or an export: got none"),
        (
            ["remove", "12", *PLACE],
            "projects/my-project/locations/us-central1/customJobs/12 is a job: beamtune launch ",
        ),
        (["status", "last"], "last: no job or server was launched from this machine"),
        (["status", "x"], "'x' is no job: expected last, or the number of a job"),
        (["status", "12"], "the job 12 was not launched from this machine: add launch.project=… and launch.region=…"),
        (
            ["vertex", "train", "data_dir=gs://bkt/d", "run_dir=gs://bkt/r"],
            "launch.image is not set: give launch.image=…",
        ),
        (["vertex", "train", *PLACE, "epochs=0"], "epochs=0: expected a whole number from 1 to 100000"),
        (["vertex", "train", *PLACE, "epoch=1"], "epoch: there is no such setting; did you mean epochs?"),
        (["vertex", "train", *PLACE, "launch.machin=l4"], "launch.machin: there is no such setting; did you mean "),
        (
            ["vertex", "train", *PLACE],
            "data_dir=prepared/synthetic: expected a path that begins with gs://, because the job does not reach the "
            "files of this machine: copy it with beamtune sync prepared/synthetic gs://BUCKET/…",
        ),
        (
            ["vertex", "train", *PLACE, "data_dir=gs://b/d"],
            "data_dir=gs://b/d: expected the name of a bucket after gs://, which has 3 to 222 ",
        ),
        (["vertex", "train", *PLACE, "a/b"], "launch … train takes no paths, only settings: got a/b"),
        (
            ["vertex", "export", *PLACE, "output_dir=gs://bkt/e"],
            "launch … export takes one path, that of a run: got none",
        ),
        (
            ["vertex", "predict", *PLACE, "gs://bkt/run", "~/Music"],
            "~/Music is on this machine, which the job does not ",
        ),
        (
            ["vertex", "predict", *PLACE, "gs://bkt/run", "gs://bkt/music"],
            "output=null: expected a table gs://…: a job has no terminal",
        ),
        (
            ["dataflow", "train", *PLACE],
            "launch dataflow train: expected prepare, convert or predict, which Beam can run",
        ),
        (["dataflow", "prepare", *PLACE, "runner=direct"], "runner=direct: expected dataflow"),
    ],
)
def test_a_mistake_is_one_line(
    launch: Launch, vertex: VertexServer, capsys: pytest.CaptureFixture[str], words: list[str], line: str
) -> None:
    assert launch(*words, "--yes") == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(f"beamtune launch: {line}")
    assert captured.err.count("\n") == 1
    assert vertex.requests == []


def test_all_settings_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("dataset=folder", "dataset.root=gs://bucket/music", "runner.max_workers=9", "launch.machine=cpu-16")
    assert main(["launch", "dataflow", "prepare", *words, "--show-config"]) == 0
    shown = yaml.safe_load(capsys.readouterr().out)
    assert (shown["launch"]["machine"], shown["runner"]["max_workers"]) == ("cpu-16", 9)
    assert main(["launch", "--show-config"]) == 0
    assert set(yaml.safe_load(capsys.readouterr().out)) == {"launch"}
    assert main(["launch", "cloudrun", "serve", "gs://bucket/run", "max_waiting=3", "--show-config"]) == 0
    shown = yaml.safe_load(capsys.readouterr().out)
    assert (shown["launch"]["service"], shown["max_waiting"]) == ("beamtune", 3)


def test_here_the_command_runs_as_it_is(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(["launch", "local", "train", "data_dir=d", "run_dir=r", "--dry-run"]) == 0
    assert capsys.readouterr().out == "beamtune train data_dir=d run_dir=r\n"
    ran = []
    command = replace(COMMANDS["predict"], run=lambda invocation: ran.append(invocation) or 3)
    monkeypatch.setitem(COMMANDS, "predict", command)
    assert main(["launch", "local", "predict", "run", "x/a=b.mp3", "top_k=1", "launch/x.mp3"]) == 3
    assert ran == [Invocation(overrides=["top_k=1"], paths=["run", "x/a=b.mp3", "launch/x.mp3"])]
    assert main(["launch", "local", "tensorboard"]) == 2
    assert "COMMAND=tensorboard: expected one of prepare, convert, train, " in capsys.readouterr().err


def test_without_credentials_a_line_says_how_to_log_in(
    vertex: VertexServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    for name in ("GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_CLOUD_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    monkeypatch.setenv("NO_GCE_CHECK", "true")

    def refuse(*_: object) -> None:
        raise OSError("no network in this test")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    assert main(["launch", *TRAIN, "launch.retry_deadline_s=0", "--yes"]) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert "there are no credentials for Google Cloud: gcloud auth application-default login" in line
