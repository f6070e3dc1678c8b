"""What commands import, as scripts/benchmarks/subjects/start.py reports it for `scripts/bench start`, on tiny data."""

import ast
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from forked_command import run_forked
from python_script import script_command

REPOSITORY = Path(__file__).resolve().parents[2]
SUBJECT_FILE = REPOSITORY / "scripts/benchmarks/subjects/start.py"
BEAM = {"apache_beam", "google.auth", "grpc", "pyarrow"}
KERAS = {"tensorflow", "keras", "h5py"}
# What is imported does not depend on the size of the model.
MODEL = ("model.filters=[4]", "model.time_pools=[4]", "model.band_pools=[4]", "model.hidden_units=4")
# Modules of settings that one command or a few read.
OF_ONE_COMMAND = (
    *("beam_pipelines.convert.config", "beam_pipelines.download.config", "beam_pipelines.sync.config"),
    *("configs.launch.config", "configs.launch.kubernetes.config", "trainer.compare.config", "trainer.listing.config"),
    *("trainer.models.architectures.cnn2d", "trainer.models.architectures.crnn", "trainer.quick.config"),
    *("trainer.training.config", "trainer.tuner.config"),
)
SEARCHES = ("trainer.training.config", "trainer.tuner.config")
NO_PICTURES = ("board.confusion_matrix=false", "board.num_spectrograms=0")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(
    tmp_path_factory: pytest.TempPathFactory,
    make_collection: Callable[..., Path],
    write_audio: Callable[..., Path],
) -> Path:
    """A folder with music, a song, prepared data, an evaluated run and a search."""
    folder = tmp_path_factory.mktemp("start-up")
    make_collection(folder / "music", tracks=1)
    for name in ("song.wav", "song.mp3"):
        write_audio(folder / name)
    for words in (
        ["prepare", "dataset=folder", "dataset.root=music", "output_dir=data"],
        ["train", "data_dir=data", "run_dir=run", "epochs=1", *MODEL, *NO_PICTURES],
        ["evaluate", "run_dir=run"],
        [
            *("tune", "data_dir=data", "search_dir=search", "tuner=random", "budget.max_trials=1"),
            *("budget.max_epochs=1", *NO_PICTURES),
        ],
    ):
        done = run_forked(words, cwd=folder)
        assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize(
    ("words", "allowed"),
    [
        ("--help", set()),
        ("prepare dataset=folder dataset.root=music output_dir=new/data", BEAM),
        ("convert source=music output_dir=new/wav", BEAM),
        ("explore data output_dir=new/page", {*KERAS, "jinja2", "matplotlib", "scipy.stats", "sklearn", "tensorboard"}),
        # To the first step.
        (f"train data_dir=data run_dir=new/run steps_per_call=1 {' '.join(MODEL)}", {*KERAS, "tensorboard"}),
        # It draws the confusion matrix for TensorBoard.
        ("evaluate run_dir=run", {*KERAS, "matplotlib", "scipy.stats", "tensorboard"}),
        ("predict run song.wav", KERAS),
        ("predict run song.mp3", KERAS),
        (
            "baselines data_dir=data output_dir=new/baselines learners=[naive_bayes] feature=log_mel",
            {*KERAS, "scipy.stats", "sklearn"},
        ),
        ("export run output_dir=new/export", {*KERAS, "scipy.stats"}),
        ("compare run", set()),
        ("runs", set()),
        ("launch local train data_dir=data --dry-run", set()),
        ("report run output_dir=new/report", {"jinja2", "matplotlib"}),
        ("tune data_dir=data search_dir=new/search --dry-run", set()),
        ("tune status search", set()),
        ("tensorboard run port=0", {"grpc", "tensorboard"}),
    ],
)
def test_a_command_imports_no_large_library_that_it_does_not_use(words: str, allowed: set[str], folder: Path) -> None:
    result_path = folder / "result.json"
    result_path.unlink(missing_ok=True)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(SUBJECT_FILE), str(result_path), *words.split()],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert set(json.loads(result_path.read_text())["heavy"]) <= allowed


@pytest.mark.parametrize(
    ("words", "allowed"),
    [
        ("--help", set()),
        # Each of them imports the settings of one command: all of them take as long as Hydra itself.
        ("compare run", {"trainer.compare.config", *SEARCHES}),
        ("runs", {"trainer.listing.config", *SEARCHES}),
        ("download fma_small --show-config", {"beam_pipelines.download.config"}),
        ("launch local train --dry-run", {"configs.launch.config", "configs.launch.kubernetes.config"}),
        ("train --show-config", {"trainer.models.architectures.cnn2d", "trainer.training.config"}),
        ("tune search_dir=new/search --dry-run", {"trainer.models.architectures.cnn2d", *SEARCHES}),
    ],
)
def test_commands_that_read_text_import_neither_numpy_nor_the_settings_of_others(
    words: str, allowed: set[str], folder: Path
) -> None:
    script = (
        f"from configs.cli import main\nassert main({words.split()!r}) == 0\n"
        "names = {'numpy', 'scipy', 'soundfile', 'jinja2', 'keras_tuner'} & set(sys.modules)\n"
        f"names |= set({OF_ONE_COMMAND!r}) & set(sys.modules)\n"
        "print(sorted(names), file=sys.stderr)\n"
    )
    done = subprocess.run(script_command(script), cwd=folder, capture_output=True, text=True, check=True, timeout=300)
    *_, imported = done.stderr.splitlines()
    assert set(ast.literal_eval(imported)) <= allowed


def test_mistakes_are_found_before_a_large_library_is_imported(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    mistakes = (
        ["train", "epoch=3"],
        ["train", "data_dir=nothing", "run_dir=run"],
        ["evaluate", "run_dir=nothing"],
        ["predict", "nothing", "song.mp3"],
        ["predict", "empty", "song.mp3"],
        ["export", "empty", "output_dir=out"],
        ["serve", "empty"],
        ["tag", "empty", "song.mp3"],
        ["crossval", "data_dir=nothing", "output_dir=out"],
        ["tune", "data_dir=nothing", "search_dir=out"],
        ["baselines", "data_dir=nothing", "output_dir=out"],
        ["explore", "nothing"],
        ["report", "nothing"],
        ["quick", "nothing", "output_dir=out"],
        ["prepare", "dataset=folder", "dataset.root=nothing", "output_dir=out"],
        ["convert", "source=nothing", "output_dir=out"],
    )
    script = (
        f"from configs.cli import main\ncodes = [main(words) for words in {mistakes!r}]\n"
        "print(codes, {'tensorflow', 'apache_beam', 'sklearn', 'matplotlib', 'numpy', 'jinja2'} & set(sys.modules))\n"
    )
    done = subprocess.run(script_command(script), cwd=tmp_path, capture_output=True, text=True, check=True, timeout=300)
    assert done.stdout == f"{[2] * len(mistakes)} set()\n", done.stderr


@pytest.mark.parametrize(
    ("install", "expected"), [("", ["matplotlib", "pandas", "sklearn"]), ("lean_keras.install()", [])]
)
def test_keras_leaves_out_what_it_does_not_need_and_others_import_it_later(
    install: str, expected: list[str], tmp_path: Path
) -> None:
    names = ("matplotlib", "pandas", "sklearn")
    # In the place of the real one, which beamtune does not install.
    (tmp_path / "pandas.py").write_text("class Series: pass\nclass DataFrame: pass\n")
    script = (
        f"sys.path.insert(0, {str(tmp_path)!r})\n"
        f"from configs import lean_keras\n{install}\n"
        f"import keras\nfound = [name for name in {names!r} if name in sys.modules]\n"
        "import matplotlib, pandas, sklearn.base, sklearn.decomposition\n"
        "print(found)\n"
    )
    done = subprocess.run(script_command(script), capture_output=True, text=True, check=True, timeout=300)
    assert done.stdout == f"{expected}\n"
