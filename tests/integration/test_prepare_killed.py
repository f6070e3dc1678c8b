"""`beamtune prepare` killed at random moments, and run again: nothing is lost, nothing is done twice."""

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from python_script import script_command

from beam_pipelines.common.lease import LEASE_FILE

REPOSITORY = Path(__file__).resolve().parents[2]
# With fewer, the undisturbed run that the moments are fractions of was slower than the killed ones.
MIN_SHARE_KILLED_ON_THE_WAY = 0.5

# Imports what takes seconds once, and then runs each command in a fork of its own, before Beam has any threads. For a
# line of JSON that says what to run, and how long after the work has begun to kill it, it answers with another.
SERVER = """
import json, os, signal, sys, time

import beam_pipelines.prepare.pipeline, configs.cli, configs.compose, configs.hydra_schemas

def run(words, build_dir, kill_after_s):
    pid = os.fork()
    if pid == 0:
        os.setsid()
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os._exit(configs.cli.main(words))
    ended, begun_s = 0, None  # it never begins where all is done already
    while not ended:
        now_s = time.monotonic()
        if begun_s is None and os.path.exists(build_dir):
            begun_s = now_s
        if kill_after_s is not None and begun_s is not None and now_s - begun_s >= kill_after_s:
            os.killpg(pid, signal.SIGKILL)
            ended, status = os.waitpid(pid, 0)
        else:
            time.sleep(0.0005)
            ended, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status), 0.0 if begun_s is None else time.monotonic() - begun_s

for line in sys.stdin:
    code, worked_s = run(**json.loads(line))
    print(json.dumps({"code": code, "worked_s": worked_s}), flush=True)
"""

Prepare = Callable[..., tuple[int, float]]


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
    """Runs `prepare` in a process group of its own; returns the exit code and how long the work took, in seconds."""

    def run(output_dir: Path, *, kill_after_s: float | None = None) -> tuple[int, float]:
        words = [
            *("prepare", "dataset=folder", f"dataset.root={tmp_path / 'music'}", f"output_dir={output_dir}"),
            *("features=[log_mel,mfcc]", "segment.duration_s=1", "segment.hop_s=0.5", "split.test_fraction=0.3"),
            *("shards.min_shards=4", "duplicates.min_overlap_s=3", "runner.num_workers=2"),
        ]
        request = {"words": words, "build_dir": str(output_dir / ".build"), "kill_after_s": kill_after_s}
        print(json.dumps(request), file=server.stdin, flush=True)
        answer = json.loads(server.stdout.readline())
        return answer["code"], answer["worked_s"]

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
@pytest.mark.parametrize(("num_kills", "has_copies"), [(5, False), (3, True)], ids=["no copies", "copies"])
def test_a_run_killed_at_any_moment_resumes_to_the_same_bytes(
    make_collection, prepare_in_fork, tmp_path, num_kills, has_copies
):
    """With copies of recordings in different splits, shards are built, compared, and some of them built again."""
    music = make_collection(tmp_path / "music", artists=6, tracks=2)
    if has_copies:
        for artist in range(1, 4):
            shutil.copy(music / "genre0" / "artist00" / "0.wav", music / "genre0" / f"artist0{artist}" / "copy.wav")
    whole_runs = [prepare_in_fork(tmp_path / f"undisturbed{index}") for index in range(2)]
    assert [code for code, _ in whole_runs] == [0, 0]
    undisturbed = contents(tmp_path / "undisturbed0")
    assert len([name for name in undisturbed if ".tfrecord-" in name]) == 12
    assert (b'"' in undisturbed["duplicates.jsonl"]) == has_copies
    worked_s = min(seconds for _, seconds in whole_runs)

    num_killed_on_the_way = num_reported = 0
    # One moment in each of as many equal parts of the run.
    fractions = (np.arange(num_kills) + np.random.default_rng(int(has_copies)).uniform(0, 1, num_kills)) / num_kills
    for index, fraction in enumerate(fractions.tolist()):
        output_dir = tmp_path / f"killed{index}"
        _, seconds = prepare_in_fork(output_dir, kill_after_s=fraction * worked_s)
        is_finished = (output_dir / "_SUCCESS").exists()
        num_killed_on_the_way += not is_finished
        if is_finished:
            assert contents(output_dir) == undisturbed
            worked_s = min(worked_s, seconds)  # the machine has less to do than it had before
        reported = reported_shards(output_dir)
        num_reported += len(reported)
        if not has_copies:
            assert all(data == undisturbed[name] for name, (data, _) in reported.items())

        code, _ = prepare_in_fork(output_dir)

        assert code == 0
        assert contents(output_dir) == undisturbed, f"killed after {fraction:.3f} of {worked_s:.2f} s"
        assert not (output_dir / ".build").exists() and not (output_dir / LEASE_FILE).exists()
        rewritten = [
            name
            for name, (data, written_ns) in reported.items()
            if data == undisturbed[name] and (output_dir / name).stat().st_mtime_ns != written_ns
        ]
        assert rewritten == [], f"killed after {fraction:.3f} of {worked_s:.2f} s"
        shutil.rmtree(output_dir)
    assert num_killed_on_the_way >= MIN_SHARE_KILLED_ON_THE_WAY * num_kills
    assert num_reported > 0, "no run was killed between two shards"
