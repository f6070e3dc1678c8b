"""`beamtune tensorboard`: one folder for all runs, a local address, and errors of one line."""

import json
import os
import re
import signal
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest

from beam_pipelines.common.errors import UserError
from beam_pipelines.common.python_process import python_command
from trainer.board.config import BoardConfig, TensorboardConfig
from trainer.board.tensorboard_server import one_folder, serve, start
from trainer.common.event_files import EventFile

WAIT_S = 300  # on a busy machine


def links(folder: str) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): os.readlink(path)
        for path in sorted(Path(folder).rglob("*"))
        if path.is_symlink()
    }


@pytest.fixture
def make_runs(tmp_path):
    """Writes runs that have a scalar; returns their paths."""

    def make(*names):
        for index, name in enumerate(names):
            with EventFile(str(tmp_path / name / "train")) as events:
                events.scalar("loss", index, step=1)
        return [str(tmp_path / name) for name in names]

    return make


def test_one_folder_is_served_directly(make_runs):
    [run] = make_runs("run")
    with one_folder([run]) as folder:
        assert folder == run


def test_a_folder_with_events_of_its_own_has_its_name(make_runs):
    [run] = make_runs("run")
    with EventFile(run) as events:
        events.scalar("loss", 1.0, step=1)
    with one_folder([run + "/"]) as folder:
        assert links(folder) == {"run": run}


def test_several_are_linked_under_different_names(make_runs, tmp_path):
    first, second, third = make_runs("a/run", "b/run", "b/other")
    with one_folder([second, first, third, first + "/"]) as folder:
        assert links(folder) == {"a/run": first, "b/run": second, "b/other": third}
    assert not os.path.exists(folder)
    assert os.path.exists(first)
    # A folder inside another one has no link of its own.
    with one_folder([first, str(tmp_path / "a"), second]) as folder:
        assert links(folder) == {"a": str(tmp_path / "a"), "b/run": second}
    with one_folder([first, str(tmp_path / "a")]) as folder:
        assert links(folder) == {"a": str(tmp_path / "a")}


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        (["/absent"], "RUNS=/absent: expected a folder that exists"),
        (["{run}", "/absent"], "RUNS=/absent: expected a folder that exists"),
    ],
)
def test_a_missing_folder_is_an_error(make_runs, paths, message):
    [run] = make_runs("run")
    with pytest.raises(UserError, match=re.escape(message)), one_folder([path.format(run=run) for path in paths]):
        pass


def test_several_must_be_local(make_runs, monkeypatch):
    monkeypatch.setattr("trainer.board.tensorboard_server.files.exists", lambda _: True)
    [run] = make_runs("run")
    message = "RUNS=gs://bucket/run: expected local folders when there are several"
    with pytest.raises(UserError, match=re.escape(message)), one_folder([run, "gs://bucket/run"]):
        pass


def test_a_port_in_use_is_an_error_of_one_line(make_runs):
    [run] = make_runs("run")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UserError) as caught:
            start(run, config=TensorboardConfig(port=port))
    assert str(caught.value).startswith(f"host=127.0.0.1 port={port}: TensorBoard could not bind to port {port}")
    assert "\n" not in str(caught.value)


def test_an_address_of_another_machine_is_an_error_of_one_line(make_runs):
    [run] = make_runs("run")
    for host, reason in (
        ("192.0.2.1", "Cannot assign requested address"),
        ("no such host", "Name or service not known"),
    ):
        with pytest.raises(UserError, match=f"host={host} port=0: {reason}: choose others"):
            start(run, config=TensorboardConfig(host=host, port=0))


def test_other_hosts_print_a_warning(make_runs, monkeypatch, capsys):
    def interrupted(_folder, *, config):
        return f"http://{config.host}/"

    monkeypatch.setattr("trainer.board.tensorboard_server.start", interrupted)
    monkeypatch.setattr("threading.Event.wait", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    [run] = make_runs("run")
    for host, warns in (("192.0.2.1", True), ("::", True), ("127.0.0.1", False), ("localhost", False), ("::1", False)):
        serve([run], config=TensorboardConfig(host=host))
        captured = capsys.readouterr()
        assert captured.out == f"TensorBoard shows {run} at http://{host}/ (Ctrl-C stops it)\nstopped\n"
        assert captured.err.startswith(f"warning: host={host}: anyone who can connect to this machine") == warns


@pytest.mark.slow
def test_the_command_serves_several_runs_on_a_local_address_until_ctrl_c(make_runs):
    first, second = make_runs("first", "second")
    process = subprocess.Popen(
        python_command("configs.cli:run", "tensorboard", first, second, "port=0"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
    )
    try:
        line = process.stdout.readline()
        address = re.fullmatch(
            rf"TensorBoard shows {first}, {second} at (http://127\.0\.0\.1:\d+/) \(Ctrl-C stops it\)\n", line
        ).group(1)
        deadline_s = time.monotonic() + WAIT_S
        runs = []
        while len(runs) < 2 and time.monotonic() < deadline_s:
            with urllib.request.urlopen(f"{address}data/runs") as response:  # noqa: S310
                runs = json.load(response)
            time.sleep(0.2)
        assert sorted(runs) == ["first/train", "second/train"]
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=WAIT_S) == ("stopped\n", "")
        assert process.returncode == 0
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TensorboardConfig(port=65_536), "port=65536: expected a port from 0 to 65535"),
        (lambda: TensorboardConfig(port=-1), "port=-1: expected a port from 0 to 65535"),
        (lambda: TensorboardConfig(host=" "), "host= : expected an address"),
        (lambda: BoardConfig(num_mistakes=-1), "board.num_mistakes=-1: expected a whole number from 0 to 100"),
        (lambda: BoardConfig(num_spectrograms=17), "board.num_spectrograms=17: expected a whole number from 0 to 16"),
        (lambda: BoardConfig(num_embeddings=10**9), "board.num_embeddings=1000000000: expected a whole number from 0"),
        (lambda: BoardConfig(profile_steps=[3]), "board.profile_steps=[3]: expected the first and the last step"),
        (lambda: BoardConfig(profile_steps=[5, 4]), "board.profile_steps=[5, 4]: expected the first and the last"),
        (lambda: BoardConfig(profile_steps=[0, 4]), "board.profile_steps=[0, 4]: expected the first and the last"),
    ],
)
def test_invalid_settings_are_errors(make, message):
    with pytest.raises(UserError, match=re.escape(message)):
        make()
