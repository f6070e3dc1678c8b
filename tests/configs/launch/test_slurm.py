"""Launches on Slurm: the batch script, and what is asked of sbatch and squeue."""

import io
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fake_programs import FakePrograms
from slurm_job import SlurmJob

from beam_pipelines.common.errors import UserError
from configs.cli import main
from configs.launch.slurm.config import SlurmLaunchConfig
from configs.launch.slurm.launch import make_slurm_plan
from trainer.devices.strategy import check_cluster
from trainer.tuner.service.cluster_role import role_from_environment

TRAIN = ("train", "data_dir=/data/prepared", "run_dir=gs://bucket/run", "epochs=3")
TUNE = ("tune", "data_dir=/data/prepared", "search_dir=/data/search")

Render = Callable[..., str]


@pytest.fixture
def render(capsys: pytest.CaptureFixture[str]) -> Render:
    """Returns the script of a launch."""

    def run(*words: str) -> str:
        capsys.readouterr()
        assert main(["launch", "slurm", *words, "--dry-run"]) == 0, capsys.readouterr()
        return capsys.readouterr().out

    return run


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakePrograms:
    """A Slurm without jobs, whose next one is 17."""
    programs = FakePrograms(tmp_path / "bin")
    programs.install("sbatch", {"": ("17;cluster\n", "", 0)})
    programs.install("squeue", {"": ("", "", 0)})
    monkeypatch.setenv("PATH", str(programs.folder))
    return programs


def launch(*words: str) -> int:
    return main(["launch", "slurm", *words])


def steps_of(
    script: str, folder: Path, *, codes: dict[str, int] | None = None, restarts: int = 0
) -> tuple[int, list[dict[str, Any]], str]:
    """Runs a script with tasks that do nothing; returns its exit code, its steps, and what was asked of scontrol.

    Args:
        script: The script; the command is replaced by one that ends at once.
        folder: A new folder.
        codes: How tasks end, by "TYPE INDEX" of TF_CONFIG, or by "" without it; the others end with 0.
        restarts: How often Slurm has queued the job again.
    """
    task = folder.parent / "task"
    task.write_text(
        f"#!{sys.executable}\nimport json, os, sys\n"
        "task = json.loads(os.environ.get('TF_CONFIG', 'null'))\n"
        "key = '' if task is None else f\"{task['task']['type']} {task['task']['index']}\"\n"
        f"code = {codes or {}}.get(key, 0)\n"
        "os.kill(os.getpid(), code - 128) if code > 128 else sys.exit(code)\n"
    )
    task.chmod(0o755)
    lines = [line.replace(" beamtune ", f" {shlex.quote(str(task))} ") for line in script.splitlines()]
    environment = {"SLURM_RESTART_COUNT": str(restarts), "TF_CONFIG": "{}", "KERASTUNER_TUNER_ID": "chief"}
    job = SlurmJob("\n".join(lines), folder, hosts=["node1", "node2"], environment=environment)
    code, _ = job.finish(60)
    steps = [json.loads(line) for line in job.srun_log.read_text().splitlines()]
    return code, steps, job.requests.read_text() if job.requests.exists() else ""


def test_the_options_of_a_job(render: Render) -> None:
    script = render(
        *(*TRAIN, "launch.partition='gpu,long'", "launch.account=music", "launch.qos=high", "launch.nodes=2"),
        *(
            "launch.constraint='a100&nvlink'",
            "launch.gpus_per_node=4",
            "launch.gpu_type=a100",
            "launch.cpus_per_task=16",
        ),
        *("launch.memory=64G", "launch.exclusive=true", "launch.time_limit_s=93784", "launch.signal_before_s=300"),
        *("launch.work_dir=/work/me", "launch.log_dir=/work/me/logs/", "launch.modules=[cuda/12.4, gcc]"),
        *("launch.prologue=[source, '/opt/my env.sh']", "launch.environment={NCCL_DEBUG: 'a b'}"),
        "launch.venv=/work/venv",
    )
    lines = script.splitlines()
    name = lines[1].partition("=")[2]
    assert lines[:21] == [
        *("#!/usr/bin/env bash", f"#SBATCH --job-name={name}", "#SBATCH --partition=gpu,long"),
        *("#SBATCH --account=music", "#SBATCH --qos=high", "#SBATCH --constraint=a100&nvlink", "#SBATCH --nodes=2"),
        *("#SBATCH --ntasks-per-node=1", "#SBATCH --cpus-per-task=16", "#SBATCH --mem=64G"),
        *("#SBATCH --gres=gpu:a100:4", "#SBATCH --time=1-02:03:04", "#SBATCH --signal=TERM@300"),
        *("#SBATCH --chdir=/work/me", f"#SBATCH --output=/work/me/logs/{name}-%j.log", "#SBATCH --open-mode=append"),
        *("#SBATCH --exclusive", "#SBATCH --requeue", "trap : TERM"),
        "unset TF_CONFIG CLUSTER_SPEC KERASTUNER_TUNER_ID KERASTUNER_ORACLE_IP KERASTUNER_ORACLE_PORT",
        "module load cuda/12.4 gcc || exit",
    ]
    assert lines[21:24] == ["source '/opt/my env.sh' || exit", "export NCCL_DEBUG='a b'", "set -uo pipefail"]
    command = " /work/venv/bin/beamtune train data_dir=/data/prepared run_dir=gs://bucket/run epochs=3 "
    assert sum(f"{command}strategy=multi_worker" in line for line in lines) == 1


@pytest.mark.parametrize(
    ("words", "command"),
    [
        (
            ("launch.container=apptainer", "launch.image=/images/a.sif", "launch.mounts=[/data, '/a:/b:ro']"),
            "srun --ntasks=1 --cpus-per-task=4 apptainer exec --nv --bind /data:/data --bind /a:/b:ro /images/a.sif "
            "beamtune ",
        ),
        (
            ("launch.container=pyxis", "'launch.image=nvcr.io#a/b:1'".strip("'"), "launch.mounts=['/data:ro']"),
            "srun --ntasks=1 --cpus-per-task=4 '--container-image=nvcr.io#a/b:1' --container-mounts=/data:/data:ro "
            "beamtune ",
        ),
    ],
)
def test_containers(render: Render, words: tuple[str, ...], command: str) -> None:
    assert f"\n  {command}train " in render(*TRAIN, *words, "launch.gpus_per_node=1")


def test_one_process_is_one_step(render: Render, tmp_path: Path) -> None:
    script = render(*TRAIN)
    for number, (code, restarts, request) in enumerate(
        [(0, 0, False), (75, 0, True), (75, 19, True), (75, 20, False), (2, 0, False), (137, 0, False)]
    ):
        found = steps_of(script, tmp_path / str(number), codes={"": code}, restarts=restarts)
        assert found[0] == code
        [step] = found[1]
        assert step["TF_CONFIG"] is None
        assert step["words"][1:] == list(TRAIN)
        assert found[2] == (f"requeue {os.getpid()}\n" if request else "")


def test_a_prologue_may_read_variables_that_are_not_set(render: Render, tmp_path: Path) -> None:
    environment = tmp_path / "it's an env.sh"
    environment.write_text('export TF_FOUND="$NOT_SET_ANYWHERE/found"\n')
    script = render(*TRAIN, "launch.prologue=" + json.dumps(["source", str(environment)]))
    code, steps, _ = steps_of(script, tmp_path / "job")
    assert (code, len(steps)) == (0, 1)


def test_without_requeue_an_interrupted_job_ends(render: Render, tmp_path: Path) -> None:
    script = render(*TRAIN, "launch.requeue=false")
    assert "#SBATCH --no-requeue\n" in script
    assert steps_of(script, tmp_path / "job", codes={"": 75})[::2] == (75, "")


def test_workers_that_train_together_know_each_other(render: Render, tmp_path: Path) -> None:
    script = render(*TRAIN, "launch.nodes=2")
    code, steps, _ = steps_of(script, tmp_path / "job")
    assert code == 0
    port = 20_000 + os.getpid() * 131 % 10_000
    workers = [f"node1:{port + 1}", f"node2:{port + 2}"]
    for index, step in enumerate(sorted(steps, key=lambda one: str(one["host"]))):
        assert (step["host"], step["options"][0]) == (f"node{index + 1}", "--nodes=1")
        assert json.loads(step["TF_CONFIG"]) == {
            "cluster": {"worker": workers},
            "task": {"type": "worker", "index": index},
        }
        check_cluster(step["TF_CONFIG"])


@pytest.mark.parametrize(
    ("codes", "expected", "is_queued"),
    [
        ((75, 75), 75, True),
        ((75, 134), 75, True),
        ((137, 75), 75, True),
        ((1, 75), 1, False),
        ((75, 1), 1, False),
        ((2, 2), 2, False),
    ],
)
def test_workers_that_train_together_end_together(
    render: Render, tmp_path: Path, codes: tuple[int, int], expected: int, is_queued: bool
) -> None:
    script = render(*TRAIN, "launch.nodes=2")
    by_task = {f"worker {index}": code for index, code in enumerate(codes)}
    code, _, requests = steps_of(script, tmp_path / "job", codes=by_task)
    assert (code, requests != "") == (expected, is_queued)


def test_a_search_has_a_chief_beside_the_workers(render: Render, tmp_path: Path) -> None:
    script = render(*TUNE, "launch.nodes=2", "launch.gpus_per_node=2", "launch.max_restarts=2")
    killed = {"worker 1": 128 + 9}
    code, steps, requests = steps_of(script, tmp_path / "job", codes=killed)
    assert (code, requests) == (0, "")
    roles = [role_from_environment({"TF_CONFIG": step["TF_CONFIG"]}) for step in steps]
    found = sorted((role.worker_name, step["host"]) for role, step in zip(roles, steps, strict=True) if role)
    # The worker that is killed is started two times again.
    assert found == [("chief", "node1"), ("tuner-worker-0", "node1"), *[("tuner-worker-1", "node2")] * 3]
    port = 20_000 + os.getpid() * 131 % 10_000
    assert {role.chief_address for role in roles if role and role.kind == "worker"} == {f"node1:{port}"}
    [chief] = [step for step, role in zip(steps, roles, strict=True) if role and role.kind == "chief"]
    assert {"--overlap", "--gres=none"} <= set(chief["options"])
    assert chief["words"][-1] == "strategy=mirrored"


@pytest.mark.parametrize(("chief", "is_queued"), [(75, True), (1, False)])
def test_the_chief_says_how_a_search_has_ended(render: Render, tmp_path: Path, chief: int, is_queued: bool) -> None:
    script = render(*TUNE, "launch.nodes=2")
    code, _, requests = steps_of(script, tmp_path / "job", codes={"chief 0": chief, "worker 0": 1})
    assert (code, requests != "") == (chief, is_queued)


WORDS = [
    "a'b",
    "$(touch hacked)",
    "`touch hacked`",
    '";touch hacked;"',
    "{command}{options}",
    "#SBATCH --x",
    "a b  c",
    "*",
]


def test_words_arrive_as_they_are(tmp_path: Path) -> None:
    words = [f"gs://bucket/{word}" for word in WORDS]
    output = f"output=gs://bucket/{WORDS[4]}.csv"
    config = SlurmLaunchConfig()
    plan = make_slurm_plan(config, "predict", ["gs://bucket/run", *words], [f'output="{output.partition("=")[2]}"'])
    _, [step], _ = steps_of(plan.script, tmp_path / "job")
    assert step["words"][1:] == ["predict", "gs://bucket/run", *words, f'output="{output.partition("=")[2]}"']
    assert not list(tmp_path.rglob("hacked"))


HOSTILE = [
    "a\nb",
    "a\n#SBATCH --x",
    "a b",
    "a;b",
    "a'",
    '"a"',
    "$(id)",
    "`id`",
    "%j",
    "a\\",
    "é",
    "-a",
    "",
    "a" * 2_000,
]


@pytest.mark.parametrize(
    "key",
    [
        *("partition", "account", "qos", "constraint", "reservation", "memory", "work_dir", "log_dir", "venv", "image"),
        "gpu_type",
    ],
)
def test_no_value_gets_into_a_script_unchecked(key: str) -> None:
    for value in HOSTILE:
        more: dict[str, Any] = {"image": {"container": "apptainer"}, "gpu_type": {"gpus_per_node": 1}}.get(key, {})
        with pytest.raises(UserError, match=f"^launch.{key}=(?s:.*): expected "):
            SlurmLaunchConfig(**{key: value, **more})


@pytest.mark.parametrize("value", HOSTILE)
def test_nor_does_an_entry(value: str) -> None:
    with pytest.raises(UserError, match=r"^launch\.modules=(?s:.*): expected names of modules"):
        SlurmLaunchConfig(modules=[value])
    with pytest.raises(UserError, match=r"^launch\.mounts=(?s:.*): expected /PATH"):
        SlurmLaunchConfig(container="pyxis", image="a", mounts=[value])
    if not value.isprintable():
        with pytest.raises(UserError, match="expected printable text on one line"):
            SlurmLaunchConfig(prologue=["source", value])
        with pytest.raises(UserError, match=r"^launch\.environment\.TF_A: expected printable text on one line"):
            SlurmLaunchConfig(environment={"TF_A": value})


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["serve", "/data/export"], "COMMAND=serve: expected one of prepare, convert, train, "),
        (["train", "run_dir=/data/run"], "data_dir=prepared/synthetic: expected an absolute path of a disk that all "),
        (["train", "data_dir=gs://b/d", "run_dir=/r"], "data_dir=gs://b/d: expected the name of a bucket"),
        (
            ["evaluate", "run_dir=/data/run", "launch.nodes=2"],
            "launch.nodes=2: expected 1: evaluate runs on one machine",
        ),
        ([*TUNE, "refit=true", "launch.nodes=2"], "launch.nodes=2: expected 1: tune refit=true runs on one machine"),
        (["evaluate", "run_dir=/r", "launch.gpus_per_node=2"], "launch.gpus_per_node=2: expected 1: evaluate uses no "),
        ([*TRAIN, "strategy=multi_worker"], "strategy=multi_worker: expected none with launch.gpus_per_node=0 and "),
        ([*TRAIN, "launch.container=docker"], "launch.container=docker: expected one of none, apptainer, pyxis"),
        ([*TRAIN, "launch.container=pyxis"], "launch.image=null: expected an image with launch.container=pyxis"),
        ([*TRAIN, "launch.image=/a.sif"], "launch.image=/a.sif: expected launch.container with it"),
        ([*TRAIN, "launch.mounts=[/a]"], "launch.mounts=['/a']: expected launch.container with it"),
        (
            [*TRAIN, "launch.container=pyxis", "launch.image=a", "launch.venv=/v"],
            "launch.venv=/v: expected null with launch.container",
        ),
        ([*TRAIN, "launch.gpu_type=a100"], "launch.gpu_type=a100: expected launch.gpus_per_node with it, or null"),
        ([*TRAIN, "launch.nodes=0"], "launch.nodes=0: expected 1 to 128"),
        ([*TRAIN, "launch.time_limit_s=100"], "launch.signal_before_s=120: expected less than launch.time_limit_s=100"),
        ([*TRAIN, "launch.environment={SLURM_X: a}"], "launch.environment: SLURM_X is not passed on: expected "),
        ([*TRAIN, "launch.project=music"], "launch.project: there is no such setting"),
    ],
)
def test_a_mistake_is_one_line(capsys: pytest.CaptureFixture[str], words: list[str], line: str) -> None:
    assert launch(*words, "--dry-run") == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"beamtune launch: {line}")
    assert captured.err.count("\n") == 1


def test_a_job_is_submitted_once(slurm: FakePrograms, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = (*TRAIN, f"launch.log_dir={tmp_path}/logs/train")
    assert launch(*words, "--dry-run") == 0
    dry_run = capsys.readouterr()
    script = dry_run.out
    name = script.splitlines()[1].partition("=")[2]
    assert "in the default partition" in dry_run.err
    assert slurm.calls() == []
    assert launch(*words, "--yes") == 0
    captured = capsys.readouterr()
    assert captured.out == f"17 ({name})\n"
    assert captured.err.splitlines()[-3:] == [
        "squeue --jobs=17",
        f"tail -F {tmp_path}/logs/train/{name}-17.log",
        "scancel 17  # what is saved is kept, and the same launch resumes it",
    ]
    asked = ("squeue", ["--me", f"--name={name}", "--noheader", "--format=%i %T"], "")
    assert slurm.calls() == [asked, ("sbatch", ["--parsable"], script)]
    assert (tmp_path / "logs" / "train").is_dir()
    slurm.install("squeue", {"": ("17 PENDING\n", "", 0)})
    assert launch(*words, "--yes", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"job": "17", "name": name, "is_new": False}
    assert slurm.calls()[2:] == [asked]


def test_without_a_terminal_nothing_is_submitted(
    slurm: FakePrograms, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    assert launch(*TRAIN) == 2
    assert "there is no terminal to ask on whether to submit a job: add --yes" in capsys.readouterr().err
    assert [name for name, _, _ in slurm.calls()] == ["squeue"]


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        (("", "sbatch: error: Invalid account\n", 1), "sbatch --parsable has failed: sbatch: error: Invalid account"),
        (("", "", 3), "sbatch --parsable has failed: exit code 3"),
        (("Submitted\n", "", 0), "sbatch has printed no number of a job: 'Submitted'"),
    ],
)
def test_what_slurm_refuses_is_one_line(
    slurm: FakePrograms, capsys: pytest.CaptureFixture[str], answer: tuple[str, str, int], line: str
) -> None:
    slurm.install("sbatch", {"": answer})
    assert launch(*TRAIN, "--yes") == 2
    assert capsys.readouterr().err.splitlines()[-1] == f"beamtune launch: {line}"


def test_without_slurm_a_line_says_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert launch(*TRAIN, "--yes") == 2
    assert capsys.readouterr().err == (
        "beamtune launch: squeue is not on PATH: launch on a login node of the cluster, or submit what --dry-run "
        "prints there\n"
    )


@pytest.mark.parametrize("words", [TRAIN, (*TRAIN, "launch.nodes=2"), (*TUNE, "launch.nodes=2")])
def test_bash_reads_the_scripts(render: Render, tmp_path: Path, words: tuple[str, ...]) -> None:
    (tmp_path / "job.sh").write_text(render(*words))
    done = subprocess.run(["/bin/bash", "-n", tmp_path / "job.sh"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
