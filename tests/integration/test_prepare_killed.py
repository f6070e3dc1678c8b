"""`beamtune prepare` killed at moments of its work, and run again: nothing is lost, nothing is done twice."""

import json
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from interrupted_prepare import interrupt_prepare
from python_script import script_command

from beam_pipelines.common.lease import LEASE_FILE
from beam_pipelines.common.python_process import python_command

REPOSITORY = Path(__file__).resolve().parents[2]
# With fewer, the process that kills is too slow to see the reports.
MIN_SHARE_KILLED_ON_THE_WAY = 0.5
NUM_SHARDS = 12

# Imports what takes seconds once, and then runs each command in a fork of its own, before Beam has any threads. For a
# line of JSON that says what to run, and how long after how many reports of shards to kill it, it answers with another.
SERVER = """
import json, os, signal, sys, time

import beam_pipelines.prepare.pipeline, configs.cli, configs.compose, configs.hydra_schemas

def has_reports(build_dir, number):
    if not os.path.isdir(build_dir):
        return False
    try:
        return sum(name.endswith(".json") for name in os.listdir(f"{build_dir}/reports")) >= number
    except FileNotFoundError:
        return number == 0

def run(words, build_dir, num_reports, pause_s):
    pid = os.fork()
    if pid == 0:
        os.setsid()
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os._exit(configs.cli.main(words))
    ended = 0
    while not ended:
        if num_reports is not None and has_reports(build_dir, num_reports):
            time.sleep(pause_s)
            os.killpg(pid, signal.SIGKILL)
            ended, status = os.waitpid(pid, 0)
        else:
            time.sleep(0.0005)
            ended, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status)

for line in sys.stdin:
    print(run(**json.loads(line)), flush=True)
"""

Prepare = Callable[..., int]


@pytest.fixture(scope="module")
def server() -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen(
        script_command(SERVER),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
    )
    yield process
    process.stdin.close()
    assert process.wait(timeout=600) == 0


@pytest.fixture
def prepare_in_fork(server: "subprocess.Popen[str]", tmp_path: Path) -> Prepare:
    """Runs `prepare` in a process group of its own; returns the exit code."""

    def run(output_dir: Path, *, num_reports: int | None = None, pause_s: float = 0.0) -> int:
        words = [
            *("prepare", "dataset=folder", f"dataset.root={tmp_path / 'music'}", f"output_dir={output_dir}"),
            *("features=[log_mel,mfcc]", "segment.duration_s=1", "segment.hop_s=0.5", "split.test_fraction=0.3"),
            *("shards.min_shards=4", "duplicates.min_overlap_s=3", "runner.num_workers=2"),
        ]
        kill = {"build_dir": str(output_dir / ".build"), "num_reports": num_reports, "pause_s": pause_s}
        print(json.dumps({"words": words, **kill}), file=server.stdin, flush=True)
        return int(server.stdout.readline())

    return run


def contents(directory: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file() and ".build" not in path.parts and path.name != LEASE_FILE
    }


def reported_shards(output_dir: Path) -> dict[str, tuple[bytes, int]]:
    """Returns the contents and the time of writing of every shard that has a report."""
    reports = [path.name.removesuffix(".json") for path in (output_dir / ".build" / "reports").glob("*.json")]
    return {name: ((output_dir / name).read_bytes(), (output_dir / name).stat().st_mtime_ns) for name in reports}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("num_kills", "has_copies"),
    [
        pytest.param(5, False, id="no copies", marks=pytest.mark.exhaustive),
        pytest.param(3, True, id="copies"),
    ],
)
def test_a_run_killed_at_any_moment_resumes_to_the_same_bytes(
    make_collection, prepare_in_fork, tmp_path, num_kills, has_copies
):
    """With copies of recordings in different splits, shards are built, compared, and some of them built again."""
    music = make_collection(tmp_path / "music", artists=6, tracks=2)
    if has_copies:
        for artist in range(1, 4):
            shutil.copy(music / "genre0" / "artist00" / "0.wav", music / "genre0" / f"artist0{artist}" / "copy.wav")
    assert prepare_in_fork(tmp_path / "undisturbed") == 0
    undisturbed = contents(tmp_path / "undisturbed")
    assert len([name for name in undisturbed if ".tfrecord-" in name]) == NUM_SHARDS
    assert (b'"' in undisturbed["duplicates.jsonl"]) == has_copies
    num_killed_on_the_way = num_reported = 0
    # From before the first shard to after the last one, and shortly after each of these moments.
    moments = np.linspace(0, NUM_SHARDS, num_kills).round().astype(int).tolist()
    pauses_s = np.random.default_rng(int(has_copies)).uniform(0, 0.02, num_kills).tolist()
    for num_reports, pause_s in zip(moments, pauses_s, strict=True):
        output_dir = tmp_path / f"killed{num_reports}"
        prepare_in_fork(output_dir, num_reports=num_reports, pause_s=pause_s)
        is_finished = (output_dir / "_SUCCESS").exists()
        num_killed_on_the_way += not is_finished
        if is_finished:
            assert contents(output_dir) == undisturbed
        reported = reported_shards(output_dir)
        num_reported += len(reported)
        if not has_copies:
            assert all(data == undisturbed[name] for name, (data, _) in reported.items())

        assert prepare_in_fork(output_dir) == 0

        assert contents(output_dir) == undisturbed, f"killed after {num_reports} reports"
        assert not (output_dir / ".build").exists() and not (output_dir / LEASE_FILE).exists()
        rewritten = [
            name
            for name, (data, written_ns) in reported.items()
            if data == undisturbed[name] and (output_dir / name).stat().st_mtime_ns != written_ns
        ]
        assert rewritten == [], f"killed after {num_reports} reports"
        shutil.rmtree(output_dir)
    assert num_killed_on_the_way >= MIN_SHARE_KILLED_ON_THE_WAY * num_kills
    assert num_reported > 0, "no run was killed between two shards"


def _start(music: Path, output_dir: Path, *, stderr: int = subprocess.DEVNULL) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        python_command(
            "configs.cli:run",
            "prepare",
            "dataset=folder",
            "dataset.name=mine",
            f"dataset.root={music}",
            f"output_dir={output_dir}",
            "segment.duration_s=1",
            "segment.hop_s=0.2",  # much to do for little audio, so that there is time to disturb the run
            "features=[log_mel,mfcc]",
            "shards.min_shards=4",
            "runner.num_workers=2",
        ),
        stdout=subprocess.DEVNULL,
        stderr=stderr,
        start_new_session=True,
        # What a shell runs in the background ignores interrupts, and so would its children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


@pytest.mark.slow
def test_an_interrupted_run_prints_one_line(make_collection, tmp_path):
    music = make_collection(tmp_path / "music", artists=6, tracks=4, duration_s=20.0)
    process = _start(music, tmp_path / "out", stderr=subprocess.PIPE)
    interrupt_prepare(process, tmp_path / "out")
    assert not (tmp_path / "out" / "_SUCCESS").exists()
