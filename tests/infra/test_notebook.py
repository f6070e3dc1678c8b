"""infra/colab/beamtune.ipynb runs from top to bottom, changes no package of the runtime, and resumes."""

import ast
import html
import importlib.metadata
import json
import re
import shutil
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import nbformat
import pytest
from IPython.core.inputtransformer2 import TransformerManager
from nbclient.exceptions import CellExecutionError
from notebook_runs import NOTEBOOK, Executed, Runtime, make_runtime
from wheels import MODEL, MUSIC, REPOSITORY, SEGMENTS, build_wheel

import beamtune
from configs.commands import COMMANDS

RESULTS = "My results $HOME 'x'/first"  # a name that a shell would change if it were not quoted
BEFORE_INSTALL = ("settings", "runtime", "places")


def cells(kind: str) -> list[nbformat.NotebookNode]:
    return [cell for cell in nbformat.read(NOTEBOOK, as_version=4).cells if cell.cell_type == kind]


def test_the_file_is_valid_and_holds_no_outputs():
    notebook = nbformat.read(NOTEBOOK, as_version=nbformat.NO_CONVERT)
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    assert [cell.id for cell in cells("code") if cell.outputs or cell.execution_count is not None] == []
    assert NOTEBOOK.read_text(encoding="utf-8") == nbformat.writes(notebook) + "\n"


def test_each_cell_has_an_id_of_its_own_that_says_what_it_does():
    assert [cell.id for cell in cells("code")] == [
        *("settings", "runtime", "places", "install", "music", "prepare", "explore", "train", "evaluate", "tune"),
        *("tensorboard", "report", "export", "download"),
    ]
    ids = [cell.id for kind in ("code", "markdown") for cell in cells(kind)]
    assert len(set(ids)) == len(ids)


def test_the_metadata_choose_a_machine_with_a_gpu():
    metadata = nbformat.read(NOTEBOOK, as_version=4).metadata
    assert (metadata.accelerator, metadata.colab.gpuType, metadata.kernelspec.name) == ("GPU", "T4", "python3")
    kaggle = json.loads((NOTEBOOK.parent / "kernel-metadata.json").read_text(encoding="utf-8"))
    assert (kaggle["code_file"], kaggle["enable_gpu"], kaggle["enable_internet"]) == (NOTEBOOK.name, True, True)


def test_each_cell_is_python_and_stops_where_a_command_fails():
    manager = TransformerManager()
    for cell in cells("code"):
        ast.parse(manager.transform_cell(cell.source))
        lines = [line.strip() for line in cell.source.splitlines()]
        for line, next_line in zip(lines, [*lines[1:], ""], strict=True):
            if line.startswith("!"):
                assert next_line == "assert _exit_code == 0, failed", (cell.id, line)


def test_the_notebook_calls_commands_that_exist():
    called = [name for cell in cells("code") for name in re.findall(r"^ *!beamtune (\w+)", cell.source, re.MULTILINE)]
    steps = ["synthesize", "prepare", "explore", "train", "evaluate", "tune", "report", "export", "sync"]
    assert called == steps
    assert set(steps) <= set(COMMANDS)


def test_each_setting_has_a_field_and_a_description():
    [form] = [cell for cell in cells("code") if cell.id == "settings"]
    [description] = [cell for cell in cells("markdown") if cell.id == "settings-text"]
    names = re.findall(r"^(\w+) = .*  # @param [\[{].*[\]}]$", form.source, re.MULTILINE)
    assert len(names) == len(form.source.splitlines()) - 1  # all but the title
    assert [name for name in names if f"`{name}`" not in description.source] == []


def test_the_pages_link_to_the_notebook():
    pages = [REPOSITORY / "README.md", REPOSITORY / "docs" / "notebook.md"]
    links = {
        link
        for page in pages
        for link in re.findall(r"\((https://colab\.research\.google\.com/github/[^)]+)\)", page.read_text("utf-8"))
    }
    assert {link.split("/blob/main/")[1] for link in links} == {str(NOTEBOOK.relative_to(REPOSITORY))}
    assert len(links) == 1


@dataclass(frozen=True)
class Run:
    runtime: Runtime
    parameters: dict[str, str]
    executed: Executed
    packages: str

    @property
    def results(self) -> Path:
        return self.runtime.folder / "drive" / "MyDrive" / RESULTS

    def command(self) -> Path:
        return Path(self.runtime.environment["TMPDIR"], "beamtune-environment", "command")


def packages() -> str:
    """Returns the packages of the tests' environment, which is the runtime of the notebook, with their versions."""
    found = [f"{one.name}=={one.version}" for one in importlib.metadata.distributions()]
    return "\n".join(sorted(found))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Iterator[Run]:
    """The whole notebook in Colab, with results in Drive, and the wheel there, too."""
    runtime = make_runtime(tmp_path_factory.mktemp("colab"))
    drive = runtime.folder / "drive" / "MyDrive"
    drive.mkdir(parents=True)
    shutil.copy(wheel, drive)
    parameters = {
        "beamtune_from": f"drive/MyDrive/{wheel.name}",
        "results_in": "Drive",
        "results_path": RESULTS,
        "music_settings": " ".join(word for word in MUSIC if not word.startswith("dataset.root=")),
        "prepare_settings": " ".join(SEGMENTS),
        "train_settings": " ".join(f"'{word}'" for word in MODEL),
        "tune_settings": "epochs=1 budget.max_trials=1",
    }
    before = packages()
    yield Run(runtime, parameters, runtime.run(parameters), before)


@pytest.mark.slow
@pytest.mark.exhaustive  # the tests of the commands and of the wheel run what its cells call
class TestTheWholeNotebook:
    def test_the_runtime_keeps_its_packages_and_beamtune_has_its_own(self, run: Run):
        assert packages() == run.packages
        held = [f"{name} {importlib.metadata.version(name)}" for name in ("tensorflow-cpu", "numpy", "protobuf")]
        version = importlib.metadata.version("beamtune")
        lines = run.executed.text("install").splitlines()
        assert lines == [f"used as they are in the runtime: {', '.join(held)}", f"beamtune {version}"]
        own = list(Path(run.command().parent, "lib").glob("python3*/site-packages/*.dist-info"))
        assert [path.name for path in own] == [f"beamtune-{version}.dist-info"]

    def test_the_scores_that_are_printed_are_those_in_the_results(self, run: Run):
        scores = json.loads((run.results / "runs" / "first" / "metrics.json").read_text(encoding="utf-8"))["test"]
        rows = {}
        for line in run.executed.text("evaluate").splitlines():
            if match := re.match(r" (accuracy|balanced accuracy|macro-F1) +(\S+) \[.*?\]\*? +(\S+) \[", line):
                rows.setdefault(match[1], (match[2], match[3]))
        assert rows == {
            title: tuple(f"{scores[level][name]:.3f}" for level in ("segment", "track"))
            for title, name in (
                ("accuracy", "accuracy"),
                ("balanced accuracy", "balanced_accuracy"),
                ("macro-F1", "macro_f1"),
            )
        }

    def test_commands_print_lines_and_not_bars(self, run: Run):
        ids = ("music", "prepare", "explore", "train", "evaluate", "tune", "report", "export")
        assert [name for name in ids if "\x1b" in run.executed.text(name)] == []
        assert re.search(r"^epoch 1/1: loss \d", run.executed.text("train"), re.MULTILINE)
        assert "all of budget.max_trials=1 have ended" in run.executed.text("tune")

    def test_the_pages_are_shown(self, run: Run):
        for name in ("explore", "report"):
            page = (run.results / "pages" / name / "index.html").read_text(encoding="utf-8")
            [shown] = run.executed.displayed(name, "text/html")
            assert page in html.unescape(shown)

    def test_tensorboard_is_shown(self, run: Run):
        [script] = run.executed.displayed("tensorboard", "application/javascript")
        assert re.search(r"google\.colab\.kernel\.proxyPort\(\d+", script)  # TensorBoard's own way in Colab

    def test_the_export_that_is_downloaded_can_be_loaded(self, run: Run, tmp_path: Path):
        archive = run.runtime.folder / "beamtune-export.zip"
        assert f"downloads {archive}\n" in run.executed.text("download")
        assert (run.results / archive.name).read_bytes() == archive.read_bytes()
        with zipfile.ZipFile(archive) as opened:
            opened.extractall(tmp_path)
        song = next((run.runtime.folder / "composed-music").rglob("*.mp3"))
        found = beamtune.load(tmp_path).predict(song)
        expected = beamtune.load(run.results / "runs" / "first").predict(song)
        assert list(found.probabilities) == ["blues", "funk", "reggae", "techno", "waltz"]
        assert found.probabilities == pytest.approx(expected.probabilities, abs=0.001)

    def test_after_a_lost_runtime_prepare_and_train_do_nothing_again(self, run: Run):
        run_dir = run.results / "runs" / "first"
        before = {path: path.stat().st_mtime_ns for path in (run.results / "prepared").rglob("*.tfrecord*")}
        before |= {path: path.stat().st_mtime_ns for path in (run_dir / "checkpoints").iterdir()}
        environment = run.runtime.environment
        again = Runtime(run.runtime.folder, {**environment, "PATH": f"{run.command()}:{environment['PATH']}"})
        executed = again.run(run.parameters, only=(*BEFORE_INSTALL, "prepare", "train"))
        assert "epoch 1/1: loss" not in executed.text("train")
        assert {path: path.stat().st_mtime_ns for path in before} == before


def stub(folder: Path, name: str, script: str) -> None:
    """Makes a command of a shell script; `folder` is on the PATH of a runtime of `stubbed`."""
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(0o755)


def stubbed(folder: Path, service: str | None = "Colab", **variables: str) -> tuple[Runtime, Path]:
    """Returns a runtime whose `beamtune` prints its words, each on a line, and the folder of its commands."""
    commands = folder / "commands"
    commands.mkdir()
    stub(commands, "beamtune", 'printf "%s\\n" "$@"')
    return make_runtime(folder, service, PATH=f"{commands}:/usr/bin:/bin", **variables), commands


def failure(runtime: Runtime, parameters: dict[str, str], *ids: str) -> str:
    with pytest.raises(CellExecutionError) as raised:
        runtime.run(parameters, only=ids)
    return str(raised.value.evalue)


@pytest.mark.slow
class TestOtherRuntimes:
    def test_kaggle_without_a_gpu_reads_its_input(self, tmp_path: Path):
        runtime, commands = stubbed(tmp_path, "Kaggle")
        stub(commands, "nvidia-smi", "echo NVIDIA-SMI has failed; exit 9")
        parameters = {"music_from": "Kaggle input", "music_path": "my music/genres", "prepare_settings": "seed=1"}
        executed = runtime.run(parameters, only=(*BEFORE_INSTALL, "music", "prepare"))
        first, second = executed.text("runtime").splitlines()
        assert first.startswith(f"Kaggle, Python {'.'.join(map(str, sys.version_info[:3]))}, tensorflow-cpu ")
        assert ", no GPU, " in first
        assert second.startswith(
            "beamtune uses this TensorFlow, and trains on the processor; a GPU, which is faster, is"
        )
        assert "Settings > Accelerator" in second
        assert executed.text("music") == ""
        data_dir = f"output_dir={runtime.folder}/beamtune/prepared"
        words = ["prepare", "dataset=folder", "dataset.root=/kaggle/input/my music/genres", data_dir, "seed=1"]
        assert executed.text("prepare").splitlines() == words

    def test_a_bucket_holds_music_and_results(self, tmp_path: Path):
        runtime, commands = stubbed(tmp_path)
        stub(commands, "nvidia-smi", "echo Tesla T4, 15360 MiB")
        (runtime.folder / "exported").mkdir()
        stub(commands, "beamtune", f'mkdir -p {runtime.folder}/exported; printf "%s\\n" "$@"')
        parameters = {
            "music_from": "gs://",
            "music_path": "gs://bucket/table.csv",
            "results_in": "gs://",
            "results_path": "bucket/r",
        }
        executed = runtime.run(parameters, only=(*BEFORE_INSTALL, "prepare", "export", "download"))
        assert executed.text("places").startswith("signed in\n")
        assert "GPU Tesla T4, 15360 MiB" in executed.text("runtime")
        assert "and trains on the GPU." in executed.text("runtime")
        words = ["prepare", "dataset=csv", "dataset.path=gs://bucket/table.csv", "output_dir=gs://bucket/r/prepared"]
        assert executed.text("prepare").splitlines() == words
        sync = ["sync", f"{runtime.folder}/exported", "gs://bucket/r/export"]
        assert executed.text("download").splitlines()[:3] == sync

    def test_a_zip_file_is_uploaded(self, tmp_path: Path):
        archive = tmp_path / "music.zip"
        with zipfile.ZipFile(archive, "w") as opened:
            opened.writestr("rock/Queen/one.mp3", b"1")
            opened.writestr("../../outside.mp3", b"2")
        runtime, _ = stubbed(tmp_path, UPLOADED_FILE=str(archive))
        executed = runtime.run({"music_from": "upload"}, only=(*BEFORE_INSTALL, "music", "prepare"))
        root = runtime.folder / "uploaded-music"
        found = sorted(str(path.relative_to(root)) for path in root.rglob("*.mp3"))
        assert found == ["outside.mp3", "rock/Queen/one.mp3"]
        assert executed.text("prepare").splitlines()[1:3] == ["dataset=folder", f"dataset.root={root}"]

    @pytest.mark.parametrize(
        ("service", "parameters", "message"),
        [
            ("Colab", {"music_from": "Drive"}, "music_path is empty: enter a path for music_from='Drive'"),
            ("Colab", {"results_path": "/"}, "results_path is empty: enter the name of a folder"),
            ("Kaggle", {"results_in": "Drive"}, "Drive is there in Colab only: choose another place"),
        ],
    )
    def test_a_setting_that_cannot_be_used_is_named(
        self, tmp_path: Path, service: str, parameters: dict[str, str], message: str
    ):
        assert failure(make_runtime(tmp_path, service), parameters, *BEFORE_INSTALL) == message

    def test_a_command_that_fails_stops_the_notebook(self, tmp_path: Path):
        runtime, commands = stubbed(tmp_path)
        stub(commands, "beamtune", "exit 2")
        message = failure(runtime, {}, *BEFORE_INSTALL, "prepare")
        assert message == "the command failed: its last line says what to do"


# Takes the place of uv: it says what it is asked, and makes an environment whose beamtune prints a version.
UV = """
echo "$@" >>"$TMPDIR/uv.log"
[ "$1" = venv ] || exit 0
for environment; do :; done
mkdir -p "$environment/bin"
printf '#!/bin/sh\\necho beamtune 9.9 "$MPLBACKEND"\\n' >"$environment/bin/beamtune"
chmod +x "$environment/bin/beamtune"
"""
NO_TENSORFLOW = """
import importlib.metadata as metadata
_version = metadata.version
def version(name):
    if name.startswith("tensorflow"):
        raise metadata.PackageNotFoundError(name)
    return _version(name)
metadata.version = version
"""


@pytest.mark.slow
class TestAnEnvironmentApart:
    def installed(self, folder: Path, source: str, **variables: str) -> tuple[Executed, list[str]]:
        """Runs the cell that installs, with a stand-in for uv; returns the calls of uv, too."""
        runtime, commands = stubbed(folder, **variables)
        stub(commands, "uv", UV)
        executed = runtime.run({"beamtune_from": source}, only=(*BEFORE_INSTALL, "install"))
        temporary = runtime.environment["TMPDIR"]
        log = Path(temporary, "uv.log").read_text(encoding="utf-8").replace(f"{temporary}/beamtune-environment", "ENV")
        return executed, log.splitlines()

    def test_a_tensorflow_that_beamtune_does_not_know_is_left_alone(self, tmp_path: Path, wheel: Path):
        known = tmp_path / "modules" / "tensorflow-2.99.0.dist-info"
        known.mkdir(parents=True)
        (known / "METADATA").write_text("Metadata-Version: 2.1\nName: tensorflow\nVersion: 2.99.0\n", encoding="utf-8")
        executed, calls = self.installed(tmp_path, str(wheel))
        assert "tensorflow 2.99.0" in executed.text("runtime")
        assert "ResolutionImpossible" in executed.text("install")
        apart = "beamtune has its own Python 3.12 and TensorFlow; the runtime is as it was"
        assert executed.text("install").splitlines()[-2:] == [apart, "beamtune 9.9 "]
        extras = "[beam,cloud,explore,tune,train-cpu]"
        assert calls == [
            "venv --quiet --python 3.12 ENV",
            f"pip install --quiet --python ENV/bin/python beamtune{extras} @ {wheel.as_uri()}",
        ]

    def test_a_runtime_with_a_tpu_has_no_tensorflow(self, tmp_path: Path):
        modules = tmp_path / "modules"
        modules.mkdir()
        (modules / "sitecustomize.py").write_text(NO_TENSORFLOW, encoding="utf-8")
        executed, calls = self.installed(tmp_path, "beamtune==0.1.0", TPU_WORKER_ID="0")
        first, second = executed.text("runtime").splitlines()
        assert "no TensorFlow, a TPU," in first
        assert second.startswith("beamtune installs its own TensorFlow, and trains on the processor, because")
        requirement = "beamtune[beam,cloud,explore,tune,train-cpu]==0.1.0"
        assert calls[1] == f"pip install --quiet --python ENV/bin/python {requirement}"
