import importlib
import os
import shutil
import signal
import subprocess
import sys

import pytest
from python_script import script_command

from beam_pipelines.common import bucket_client, storage
from beam_pipelines.common.python_process import python_command
from configs import cli, data_commands
from configs.cli import main
from configs.command import Command, Invocation
from configs.commands import COMMANDS
from configs.launch.serving.options import launch_option

HEAVY = (
    *("apache_beam", "tensorflow", "keras", "librosa", "numpy", "scipy", "hydra", "omegaconf", "rich", "soundfile"),
    *("matplotlib", "sklearn", "jinja2", "requests"),
)


@pytest.fixture
def fake_command(monkeypatch):
    """Makes `beamtune fake` call a function of the test's."""

    def install(run, **fields):
        command = Command(name="fake", summary="s", description="d", examples=("e",), run=run, **fields)
        monkeypatch.setitem(COMMANDS, "fake", command)

    return install


def test_help_imports_nothing_heavy():
    script = (
        "import sys\n"
        "from configs.cli import main\n"
        "from configs.commands import COMMANDS\n"
        "for words in ([], *([name] for name in COMMANDS)):\n"
        "    try:\n"
        "        main([*words, '--help'])\n"
        "    except SystemExit as end:\n"
        "        assert end.code == 0\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)\n"
    )
    done = subprocess.run(script_command(script), capture_output=True, text=True, check=True, timeout=300)
    assert done.stderr == "[]\n"
    assert done.stdout.count("usage: beamtune ") == 1 + len(COMMANDS)
    assert done.stdout.count("\nexamples:\n  beamtune ") == 1 + len(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_examples_name_settings_that_exist(name):
    from configs.compose import compose

    for example in COMMANDS[name].examples:
        words = example.split(" > ")[0].replace("'", "").split()[2:]
        settings = [word for word in words if "=" in word and not word.startswith("overrides=")]
        if name == "launch":
            own = [word for word in settings if word.startswith("launch.")]
            target = [f"launch={launch_option(*words[:2])}"] if words[0] in COMMANDS[name].launches else []
            compose(name, [*target, *own])
            settings = [word for word in settings if word not in own]
            launched = words[1] if settings else "train"
            compose(launched, [f"runner={words[0]}", *settings] if words[0] == "dataflow" else settings)
            continue
        compose(name, settings)


def test_without_arguments_the_overview_is_printed(capsys):
    assert main([]) == 0
    out = capsys.readouterr().out
    assert all(f"  {name} " in out for name in COMMANDS)


def test_the_version_is_that_of_the_package(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == "beamtune 0.1.0\n"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["prepar"], "beamtune: there is no command 'prepar'; did you mean prepare?"),
        (
            ["xyz"],
            "beamtune: there is no command 'xyz': expected one of synthesize, download, sync, prepare, convert, ",
        ),
        (["prepare", "datset=x"], "beamtune prepare: datset: there is no such setting; did you mean dataset?"),
        (["predict", "runs/x"], "beamtune predict: predict needs a run directory and at least one audio file"),
        (
            ["predict", "runs/x", "a.mp3", "output=a.csv", "--json"],
            "beamtune predict: --json prints, and output=a.csv writes a table in its place: leave one out",
        ),
        (
            ["predict", __file__, "runs/x"],
            f"beamtune predict: {__file__} is no folder: expected that of a run or an ",
        ),
        (["tag", __file__, "runs/x"], f"beamtune tag: {__file__} is no folder: expected that of a run or"),
        (["serve", __file__], f"beamtune serve: {__file__} is no folder: expected the folder of a run or an export"),
        (["serve", "absent"], "beamtune serve: absent is no folder: expected the folder of a run or an export"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(capsys, words, line):
    assert main(words) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(line)
    assert captured.err.count("\n") == 1
    assert captured.out == ""


def test_an_unknown_option_is_one_line_and_exit_code_2(capsys):
    with pytest.raises(SystemExit) as end:
        main(["prepare", "--fast"])
    assert end.value.code == 2
    assert capsys.readouterr().err == "beamtune prepare: unrecognized arguments: --fast\n"


def test_a_failed_run_is_one_line_and_exit_code_1_and_debug_shows_the_traceback(fake_command, capsys):
    def run(_):
        raise ZeroDivisionError("one\ntwo")

    fake_command(run)
    assert main(["fake"]) == 1
    assert (
        capsys.readouterr().err
        == "beamtune fake: the run failed: ZeroDivisionError: one (--debug shows the traceback)\n"
    )
    assert main(["fake", "--debug"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_an_interrupted_run_prints_one_line(fake_command, capsys):
    def run(_):
        raise KeyboardInterrupt

    fake_command(run)
    assert main(["fake"]) == 130
    assert capsys.readouterr().err == "beamtune fake: stopped by Ctrl-C\n"


def test_sigterm_ends_a_command_in_one_line(fake_command, capsys):
    before = signal.getsignal(signal.SIGTERM)

    def run(_):
        os.kill(os.getpid(), signal.SIGTERM)
        pytest.fail("the command goes on")

    fake_command(run)
    assert main(["fake"]) == 75
    assert capsys.readouterr().err == "beamtune fake: stopped by SIGTERM\n"
    assert signal.getsignal(signal.SIGTERM) == before


def test_an_error_of_a_graph_is_named_by_its_cause(fake_command, capsys):
    def run(_):
        # As TensorFlow writes it.
        raise RuntimeError(
            "Graph execution error:\n\nDetected at node while/MatMul defined at (most recent call last):\n"
            '  File "loop.py", line 90, in run_steps\n\nBlas xGEMM launch failed\n\t [[{{node while/MatMul}}]]'
        )

    fake_command(run)
    assert main(["fake"]) == 1
    line = "beamtune fake: the run failed: RuntimeError: Blas xGEMM launch failed (--debug shows the traceback)\n"
    assert capsys.readouterr().err == line


@pytest.mark.parametrize(
    ("lines", "named"),
    [
        (
            ["    RuntimeError: merge_call called while defining a tf.function.", "    Second line."],
            "merge_call called while defining a tf.function.",
        ),
        (["    ValueError: no shape"], "ValueError: no shape"),
        ([], "return compute(batch)"),
    ],
)
def test_an_error_of_a_function_that_is_traced_is_named_by_its_cause(fake_command, capsys, lines, named):
    def run(_):
        # As TensorFlow writes it.
        trace = [
            "in user code:",
            "",
            '    File "loop.py", line 90, in run_steps  *',
            "        return compute(batch)",
            "",
        ]
        raise RuntimeError("\n".join([*trace, *lines, ""]))

    fake_command(run)
    assert main(["fake"]) == 1
    line = f"beamtune fake: the run failed: RuntimeError: {named} (--debug shows the traceback)\n"
    assert capsys.readouterr().err == line


@pytest.mark.parametrize(
    ("module", "extra"),
    [("apache_beam.io", "beam"), ("keras_tuner", "tune"), ("tensorflow_io", "io"), ("mutagen.id3", "tag")],
)
def test_a_missing_package_names_its_extra(fake_command, capsys, module, extra):
    def run(_):
        raise ModuleNotFoundError(f"No module named {module!r}", name=module)

    fake_command(run)
    assert main(["fake"]) == 2
    assert capsys.readouterr().err == (
        f"beamtune fake: this needs {module}, which is not installed: pip install 'beamtune[{extra}]' "
        "(beamtune doctor shows what is missing or broken)\n"
    )


@pytest.mark.parametrize("use", [storage.require_file_system, storage.exists])
def test_a_bucket_names_the_extra_that_reads_it(fake_command, capsys, monkeypatch, use):
    monkeypatch.setitem(sys.modules, "google.cloud.storage", None)
    bucket_client.client.cache_clear()
    fake_command(lambda _: use("gs://bucket/file"))
    assert main(["fake"]) == 2
    assert capsys.readouterr().err == (
        "beamtune fake: this needs google.cloud.storage, which is not installed: pip install 'beamtune[cloud]' "
        "(beamtune doctor shows what is missing or broken)\n"
    )


def test_a_broken_package_is_one_line_and_names_the_doctor(fake_command, capsys, tmp_path, monkeypatch):
    (tmp_path / "fake_broken.py").write_text("raise RuntimeError('built for another numpy')")
    monkeypatch.syspath_prepend(tmp_path)
    fake_command(lambda _: importlib.import_module("fake_broken"))
    assert main(["fake"]) == 2
    assert capsys.readouterr().err == (
        "beamtune fake: fake_broken cannot be imported: RuntimeError: built for another numpy: "
        "beamtune doctor shows what is missing or broken\n"
    )


def test_an_unsupported_version_is_noted_before_the_command_runs(fake_command, capsys, monkeypatch):
    seen = []
    monkeypatch.setattr(cli, "check_start", lambda extras: seen.append(extras) or ["tensorflow 2.99 is not supported"])
    fake_command(lambda _: print("ran") or 0, extras=("train",))
    assert main(["fake"]) == 0
    assert seen == [("train",)]
    assert capsys.readouterr() == ("ran\n", "note: tensorflow 2.99 is not supported\n")


def test_a_command_without_extras_is_not_checked(fake_command, capsys, monkeypatch):
    monkeypatch.setattr(cli, "check_start", lambda _: pytest.fail("it was checked"))
    fake_command(lambda _: 0)
    assert main(["fake"]) == 0


def test_output_formats_need_no_positional_words(fake_command):
    seen = []
    fake_command(lambda invocation: seen.append(invocation) or 0, output_formats=("json", "csv"))
    assert main(["fake", "--json", "timeout_s=3"]) == 0
    assert seen == [Invocation(overrides=["timeout_s=3"], paths=[], output_format="json")]


def test_files_with_an_equals_sign_are_files_where_they_exist(fake_command, tmp_path, monkeypatch):
    seen = []
    fake_command(
        lambda invocation: seen.append(invocation) or 0, paths_usage="RUN FILE…", output_formats=("json", "csv")
    )
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a=b.mp3").write_text("x")
    assert main(["fake", "run", "a=b.mp3", "--json", "c.mp3", "top_k=2"]) == 0
    assert seen == [Invocation(overrides=["top_k=2"], paths=["run", "a=b.mp3", "c.mp3"], output_format="json")]


def test_addresses_are_paths_whatever_else_is_in_them(fake_command):
    seen = []
    fake_command(lambda invocation: seen.append(invocation) or 0, paths_usage="RUN FILE…")
    assert main(["fake", "gs://b/lr=1", "gs://b/a=b/x=1.mp3", "csv=gs://b/t.csv"]) == 0
    [invocation] = seen
    assert invocation.paths == ["gs://b/lr=1", "gs://b/a=b/x=1.mp3"]
    assert invocation.overrides == ["csv=gs://b/t.csv"]


@pytest.mark.parametrize("path", ["gs://b/split=1", "p=1", "p [1]", "[1]"])
def test_a_path_in_place_of_a_setting_may_hold_an_equals_sign(fake_command, tmp_path, monkeypatch, path):
    seen = []
    fake_command(lambda invocation: seen.append(invocation) or 0, positional_key="data_dir")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "p=1").mkdir()
    assert main(["fake", path, "seed=1"]) == 0
    assert seen == [Invocation(overrides=[f"data_dir={path}", "seed=1"])]


def test_show_config_prints_settings_and_runs_nothing(capsys, monkeypatch):
    monkeypatch.setattr(data_commands, "load_config", lambda *_: pytest.fail("the command ran"))
    assert main(["prepare", "--show-config", "seed=9"]) == 0
    assert "seed: 9" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("words", [["--help"], ["train", "--help"], ["train", "--show-config"]], ids=" ".join)
def test_a_closed_pipe_causes_no_message(words, unbuffered):
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        python_command("configs.cli:run", *words),
        stdout=writer,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
        timeout=300,
        check=False,
    )
    os.close(writer)
    assert done.stderr == b""
    assert done.returncode == 0


def test_the_command_is_installed():
    executable = shutil.which("beamtune", path=str(sys.prefix) + "/bin")
    assert executable is not None
    done = subprocess.run([executable, "--version"], capture_output=True, text=True, check=True, timeout=300)
    assert done.stdout.startswith("beamtune ")


@pytest.mark.slow
def test_a_missing_folder_is_named_by_the_real_command(beamtune, tmp_path):
    done = beamtune("prepare", "dataset=folder", "dataset.root=/absent/music", f"output_dir={tmp_path}/out")
    assert done.returncode == 2
    assert done.stderr == "beamtune prepare: dataset.root=/absent/music: there is no such folder\n"
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_folder_that_is_no_run_is_named_by_the_real_command(beamtune, tmp_path):
    done = beamtune("predict", tmp_path, tmp_path / "x.mp3", "--json")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"beamtune predict: {tmp_path} holds no training run")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("name", ["null", "${x}", "'live'", " live", "[live]", "a,b", "007"])
def test_quick_takes_any_name_of_a_folder(tmp_path, monkeypatch, name):
    """Hydra reads the first as nothing, the second as a reference, and the next two without quotes and spaces."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).mkdir()
    found = []
    monkeypatch.setattr("configs.quick_steps.run_quick", lambda config, *, stream: found.append(config.dataset.root))
    assert main(["quick", f"./{name}", "output_dir=out"]) == 0
    assert main(["quick", name, "output_dir=out"]) == 0
    assert found == [f"./{name}", name]
