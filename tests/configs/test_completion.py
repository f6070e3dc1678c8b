"""Tab completion: the words that beamtune offers, and what bash and zsh make of them when Tab is pressed."""

import json
import os
import pty
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from beam_pipelines.download.catalog import ARCHIVES, GTZAN
from configs.cli import main
from configs.commands import COMMANDS
from configs.completion import QUERY_WORD, SHELLS

REPOSITORY = Path(__file__).resolve().parents[2]
HEAVY = ("numpy", "tensorflow", "keras", "apache_beam", "librosa", "scipy", "sklearn", "matplotlib")


@pytest.fixture
def complete(capsys):
    """Returns what beamtune offers in the place of the last word."""

    def complete(*words):
        assert main([QUERY_WORD, *words]) == 0
        return capsys.readouterr().out.splitlines()

    return complete


def test_commands_are_completed(complete):
    assert complete("t") == ["tag", "tensorboard", "train", "tune"]
    assert complete("") == sorted([*COMMANDS, "completion", "--help", "--version"])
    assert complete() == complete("")
    assert complete("completion", "") == ["bash", "zsh"]


def test_a_file_of_settings_is_left_to_the_shell(complete):
    assert complete("train", "--config", "") == []
    assert complete("train", "--config", "mod") == []


def test_options_are_those_of_the_command(complete):
    assert complete("prepare", "--d") == ["--debug", "--dry-run"]
    assert complete("predict", "runs/a", "--") == [
        "--config",
        "--csv",
        "--debug",
        "--help",
        "--json",
        "--jsonl",
        "--show-config",
    ]


def test_options_of_a_group_are_its_yaml_files(complete):
    names = sorted(path.stem for path in (REPOSITORY / "configs/dataset").glob("*.yaml"))
    assert complete("prepare", "dataset=") == [f"dataset={name}" for name in names]
    assert complete("train", "model=c") == ["model=cnn1d", "model=cnn2d", "model=crnn"]


def test_keys_are_completed_one_level_at_a_time(complete):
    assert complete("train", "mo") == ["model.", "model="]
    assert complete("train", "optimizer.l") == ["optimizer.learning_rate="]
    assert complete("prepare", "features.") == ["features.log_mel."]
    assert "features.log_mel.n_mels=" in complete("prepare", "features.log_mel.")


def test_keys_are_those_of_the_chosen_options(complete):
    assert complete("prepare", "dataset=csv", "dataset.pa") == ["dataset.path=", "dataset.path_column="]
    assert complete("prepare", "'features=[log_mel,mfcc]'", "features.") == ["features.log_mel.", "features.mfcc."]
    assert complete("prepare", "dataset=nonsense", "dataset.ro") == ["dataset.root="]


def test_values_are_true_and_false_or_the_default(complete):
    assert complete("train", "cache=") == ["cache=false", "cache=true"]
    assert complete("train", "model.filters=") == ["model.filters=[16,32,64,64]"]
    assert complete("evaluate", "split=") == ["split=test"]


@pytest.mark.parametrize(
    "words",
    [
        ["train", "run_dir="],
        ["train", "overrides="],
        ["train", "data_dir=prepared/m"],
        ["tune", "status", "se"],
        ["predict", ""],
        ["predict", "runs/first", ""],
        ["explore", "prep"],
        ["train", "no_such_setting="],
        ["no_such_command", "x"],
    ],
    ids=" ".join,
)
def test_nothing_is_offered_where_a_file_is_expected(complete, words):
    assert complete(*words) == []


def test_words_of_their_own_are_completed(complete):
    assert complete("download", "fma") == sorted(ARCHIVES)
    assert set(COMMANDS["download"].positional_words) == {*ARCHIVES, GTZAN}
    assert complete("tune", "sta") == ["status"]


def test_a_command_that_launches_others_offers_these_and_their_settings(complete):
    assert complete("launch", "v") == ["vertex"]
    assert complete("launch", "vertex", "t") == ["train", "tune"]
    assert complete("launch", "vertex", "train", "model=c") == ["model=cnn1d", "model=cnn2d", "model=crnn"]
    assert complete("launch", "vertex", "train", "la") == ["label_smoothing=", "launch."]
    assert complete("launch", "vertex", "train", "launch.machine") == ["launch.machine=", "launch.machine_type="]
    assert complete("launch", "dataflow", "prepare", "launch.machine") == ["launch.machine="]
    assert complete("launch", "vertex", "s") == ["serve"]
    assert complete("launch", "cloudrun", "") == ["serve"]
    assert complete("launch", "vertex", "serve", "launch.min") == ["launch.min_replicas="]
    assert complete("launch", "cloudrun", "serve", "launch.min") == ["launch.min_instances="]
    assert complete("launch", "kubernetes", "s") == ["serve"]
    assert complete("launch", "slurm", "train", "launch.node") == ["launch.nodes="]
    assert complete("launch", "status", "") == []


def test_every_command_offers_settings_and_imports_nothing_heavy():
    """In one process: a command that imports a library is the first one after which the library is found."""
    script = (
        "import contextlib, io, json, sys\n"
        "from configs.cli import main\n"
        f"for name in {list(COMMANDS)!r}:\n"
        "    with contextlib.redirect_stdout(io.StringIO()) as out:\n"
        f"        main([{QUERY_WORD!r}, name, '.'])\n"
        f"        main([{QUERY_WORD!r}, name, 'o'])\n"
        f"    heavy = [library for library in {HEAVY!r} if library in sys.modules]\n"
        "    print(json.dumps([name, heavy, 'overrides=' in out.getvalue().splitlines()]))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert [json.loads(line) for line in done.stdout.splitlines()] == [[name, [], True] for name in COMMANDS]


def test_the_help_of_completion_has_examples_for_each_shell(capsys):
    with pytest.raises(SystemExit) as end:
        main(["completion", "--help"])
    assert end.value.code == 0
    out = capsys.readouterr().out
    assert all(f"beamtune completion {shell}" in out for shell in SHELLS)


def test_an_unknown_shell_is_one_line_and_exit_code_2(capsys):
    with pytest.raises(SystemExit) as end:
        main(["completion", "fish"])
    assert end.value.code == 2
    assert capsys.readouterr().err.startswith("beamtune completion: argument shell: invalid choice: 'fish'")


class Shell:
    """An interactive shell in a terminal, with beamtune on its path and its completion loaded."""

    def __init__(self, command, *, folder, setup):
        self._folder = folder
        binaries = folder / "bin"
        binaries.mkdir()
        beamtune = binaries / "beamtune"
        beamtune.write_text(f"#!{sys.executable}\nfrom configs.cli import run\nrun()\n")
        beamtune.chmod(0o755)
        (folder / "work/runs/first run").mkdir(parents=True)
        (folder / "work/prepared").mkdir()
        terminal, side_of_shell = pty.openpty()
        self._terminal = terminal
        environment = {
            **os.environ,
            "PATH": f"{binaries}:{os.environ['PATH']}",
            "PYTHONPATH": str(REPOSITORY),
            "TERM": "xterm",
            "HOME": str(folder),
        }
        self._process = subprocess.Popen(
            command,
            stdin=side_of_shell,
            stdout=side_of_shell,
            stderr=side_of_shell,
            cwd=folder / "work",
            env=environment,
            start_new_session=True,
        )
        os.close(side_of_shell)
        self._run(setup.encode())

    def press_tab(self, line):
        """Returns the words of a command line after Tab was pressed at its end, as the shell runs them."""
        # Ctrl-A and Ctrl-E are the start and the end of the line: printf gets what the line has become.
        self._run(line.encode() + b"\t\x01printf '%s\\n' \x05 > ../words")
        return (self._folder / "words").read_text().splitlines()

    def close(self):
        self._process.kill()
        self._process.wait()
        os.close(self._terminal)

    def _run(self, line):
        """Has the shell run a line, and waits for its end."""
        end = self._folder / "end"
        end.unlink(missing_ok=True)
        os.write(self._terminal, line + b"; : > ../end\n")
        deadline = time.monotonic() + 120
        shown = b""
        while not end.exists():
            assert time.monotonic() < deadline, shown
            if select.select([self._terminal], [], [], 0.05)[0]:
                shown += os.read(self._terminal, 65536)


SHELL_COMMANDS = {
    "bash": (["bash", "--norc", "--noprofile", "-i"], "source <(beamtune completion bash)"),
    "zsh": (["zsh", "-f", "-i"], "autoload -Uz compinit; compinit -u; source <(beamtune completion zsh)"),
}


def test_files_come_before_settings_of_the_same_beginning(complete, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert complete("predict", "ru") == ["runner="]
    (tmp_path / "runs").mkdir()
    assert complete("predict", "ru") == []
    assert complete("predict", "runner=di") == ["runner=direct"]


@pytest.mark.slow
@pytest.mark.parametrize("name", SHELLS)
def test_tab_completes_in_the_shell(name, tmp_path):
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed")
    command, setup = SHELL_COMMANDS[name]
    shell = Shell(command, folder=tmp_path, setup=setup)
    try:
        assert shell.press_tab("beamtune tra") == ["beamtune", "train"]
        assert shell.press_tab("beamtune train model=bi") == ["beamtune", "train", "model=bilstm"]
        assert shell.press_tab("beamtune train optimizer.lea") == ["beamtune", "train", "optimizer.learning_rate="]
        assert shell.press_tab("beamtune prepare dataset=csv dataset.pa") == [
            *("beamtune", "prepare", "dataset=csv", "dataset.path")
        ]
        assert shell.press_tab("beamtune prepare --dr") == ["beamtune", "prepare", "--dry-run"]
        # zsh takes the slash behind a folder away where a space follows.
        assert shell.press_tab("beamtune evaluate run_dir=runs/fi")[2].rstrip("/") == "run_dir=runs/first run"
        assert shell.press_tab("beamtune predict ru")[2].rstrip("/") == "runs"
    finally:
        shell.close()
