"""scripts/gcs-emulator, without its installation of packages."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PROGRAM = [sys.executable, str(REPOSITORY / "tests" / "helpers" / "gcs_emulator.py")]
WRITE_AND_READ = """
import sys
from google.cloud import storage
blob = storage.Client().bucket(sys.argv[1]).blob("a")
blob.upload_from_string(b"content")
print(blob.download_as_bytes().decode())
"""

WAIT = "import time; print('#', flush=True); time.sleep(600)"


def run(*words, **environment):
    return subprocess.run(
        [*PROGRAM, *map(str, words)],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        timeout=120,
        check=False,
    )


def test_help_names_every_option():
    done = subprocess.run(
        [REPOSITORY / "scripts" / "gcs-emulator", "--help"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("gs:// on this machine")
    options = {word.removesuffix("]") for word in run("--wrong").stderr.replace("[", "").split() if "--" in word}
    assert options - {"--wrong"} == {"--bucket", "--port", "--log", "--counts"}
    for option in options - {"--wrong"}:
        assert option in done.stdout


@pytest.mark.slow
def test_a_command_finds_its_buckets_whatever_proxies_are_set(tmp_path):
    log = tmp_path / "log.jsonl"
    proxies = dict.fromkeys(("https_proxy", "http_proxy", "ALL_PROXY", "STORAGE_EMULATOR_HOST"), "http://127.0.0.1:9")
    command = [sys.executable, "-c", WRITE_AND_READ, "runs"]
    done = run("--bucket", "music", "--bucket", "runs", "--counts", "--log", log, *command, **proxies)
    assert (done.returncode, done.stdout) == (0, "content\n"), done.stderr
    kinds = [json.loads(line)["kind"] for line in log.read_text().splitlines()]
    assert kinds.count("insert") == kinds.count("get") == 1
    assert "1 class A" in done.stderr
    assert run(*command).returncode != 0  # gs://demo is the only bucket


@pytest.mark.slow
def test_the_status_of_a_command_is_returned():
    assert run("sh", "-c", "exit 7").returncode == 7
    assert run("sh", "-c", "kill -KILL $$").returncode == 128 + signal.SIGKILL
    done = run("/no/such/command")
    assert (done.returncode, done.stderr) == (
        127,
        "scripts/gcs-emulator: /no/such/command: No such file or directory\n",
    )
    assert run("--port", "99999").stderr.count("\n") == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--bucket", "gs://demo"], "argument --bucket: gs://demo: expected the name of a bucket, such as demo"),
        (["--log", "/no/such/log"], "argument --log: /no/such/log: expected a file in a folder that exists"),
        (["--log", "/"], "argument --log: /: expected a file in a folder that exists"),
    ],
)
def test_wrong_options_are_refused_before_the_command(words, expected):
    done = run(*words, "echo", "ran")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.endswith(f"error: {expected}\n")


@pytest.mark.slow
@pytest.mark.parametrize(("number", "command"), [(signal.SIGTERM, [sys.executable, "-c", WAIT]), (signal.SIGHUP, [])])
def test_a_signal_ends_the_command_and_the_server_and_deletes_the_folder(tmp_path, number, command):
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    words = ["env", "--default-signal=HUP", *PROGRAM, *command]  # which nohup ignores
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment) as emulator:
        while not emulator.stdout.readline().startswith("#"):
            assert emulator.poll() is None
        children = _children(emulator.pid)
        assert len(children) == 1 + bool(command)  # the server, and the command
        emulator.send_signal(number)
        assert emulator.wait(timeout=60) == 128 + number
    assert [pid for pid in children if Path(f"/proc/{pid}").exists()] == []
    assert list(tmp_path.iterdir()) == []


def _children(pid):
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


@pytest.mark.slow
def test_another_shell_takes_the_printed_lines_until_ctrl_c():
    with subprocess.Popen(PROGRAM, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as emulator:
        lines = []
        while not lines or not lines[-1].startswith("#"):
            lines.append(emulator.stdout.readline())
            assert lines[-1], emulator.stderr.read()
        script = "".join(lines) + 'exec "$@"\n'
        command = ["bash", "-c", script, "bash", sys.executable, "-c", WRITE_AND_READ, "demo"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert done.stdout == "content\n", done.stderr
        emulator.send_signal(signal.SIGINT)
        assert emulator.communicate(timeout=60) == ("\n", "")
    assert emulator.returncode == 0
