"""Settings from files: `--config FILE` and `overrides=FILE`."""

from dataclasses import asdict, replace
from pathlib import Path

import pytest
import yaml

from beam_pipelines.common.errors import UserError
from configs.cli import main
from configs.compose import compose, to_dataclass
from configs.override_file import expand_override_files, read_overrides
from trainer.training.config import TrainConfig


def _shown(capsys: pytest.CaptureFixture[str], *words: str) -> dict:
    assert main([*words, "--show-config"]) == 0
    return yaml.safe_load(capsys.readouterr().out)


def _file(folder: Path, text: str, name: str = "own.yaml") -> str:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text)
    return str(folder / name)


@pytest.fixture
def run_config(tmp_path: Path) -> str:
    """The config.yaml of a run of a crnn."""
    words = ["model=crnn", "model.dropout=0.25", "run_dir=runs/old", "epochs=7", "augment=default"]
    config = to_dataclass(compose("train", words))
    assert isinstance(config, TrainConfig)
    (tmp_path / "run" / "dataset").mkdir(parents=True)
    text = yaml.safe_dump(asdict(replace(config, data_dir="a ${b}")))
    return _file(tmp_path / "run", text, "config.yaml")


def test_a_mapping_gives_options_of_groups_and_values(tmp_path, capsys):
    path = _file(tmp_path, "model: {name: crnn, dropout: 0.25}\noptimizer.learning_rate: 1e-3\ndata_dir: it's a, b\\\n")
    for words in (["--config", path], [f"overrides={path}"]):
        shown = _shown(capsys, "train", *words)
        assert (shown["model"]["name"], shown["model"]["dropout"]) == ("crnn", 0.25)
        assert (shown["optimizer"]["learning_rate"], shown["data_dir"]) == (0.001, "it's a, b\\")


def test_groups_with_several_options_take_a_mapping_of_them(tmp_path, capsys):
    path = _file(tmp_path, "features: {mfcc: {}, log_mel: {n_mels: 64}}\ndataset: gtzan\ndataset.root: '007'\n")
    shown = _shown(capsys, "prepare", "--config", path)
    assert list(shown["features"]) == ["mfcc", "log_mel"]
    assert (shown["features"]["log_mel"]["n_mels"], shown["dataset"]["root"]) == (64, "007")


def test_later_files_replace_earlier_ones_and_the_command_line_all(tmp_path, capsys):
    first = _file(tmp_path, "epochs: 3\nseed: 3\nmodel: {name: crnn, dropout: 0.25}\n", "first.yaml")
    second = _file(tmp_path, "- epochs=4\n- seed=4\n- model=cnn2d\n", "second.yaml")
    shown = _shown(capsys, "train", "seed=5", "--config", first, "--config", second)
    assert (shown["epochs"], shown["seed"], shown["model"]["name"]) == (4, 5, "cnn2d")
    assert shown["model"]["dropout"] == compose("train", []).model.dropout
    shown = _shown(capsys, "train", "model=cnn1d", f"overrides={first}")
    assert (shown["model"]["name"], shown["epochs"]) == ("cnn1d", 3)


def test_the_config_of_a_run_is_taken_without_its_run_dir(run_config, capsys):
    assert main(["train", "--config", run_config, "--show-config"]) == 0
    printed = capsys.readouterr()
    shown = yaml.safe_load(printed.out)
    folder = run_config.removesuffix("/config.yaml")
    assert printed.err == f"note: the settings of the run {folder} are taken without run_dir\n"
    saved = yaml.safe_load(Path(run_config).read_text())
    assert {**shown, "run_dir": None} == {**saved, "run_dir": None}
    assert shown["run_dir"] != "runs/old"
    assert _shown(capsys, "train", "--config", run_config, "run_dir=new")["run_dir"] == "new"


def test_the_config_of_a_run_is_taken_without_what_another_command_does_not_have(run_config, capsys):
    assert main(["crossval", "--config", run_config, "--show-config"]) == 0
    printed = capsys.readouterr()
    assert printed.err.endswith("are taken without run_dir, seed\n")
    assert yaml.safe_load(printed.out)["model"]["dropout"] == 0.25


def test_a_launch_takes_settings_of_both_commands(tmp_path):
    path = _file(tmp_path, "launch: {project: my-project}\nmodel: {name: crnn}\n")
    assert expand_override_files(["launch", "train"], ["vertex", "train", f"overrides={path}"]) == [
        "model='crnn'",
        "launch.project='my-project'",
        "model.name='crnn'",
        "vertex",
        "train",
    ]


def test_references_to_other_settings_are_resolved(tmp_path, capsys):
    path = _file(tmp_path, "run_dir: runs/${model.name}\nmodel: crnn\n")
    assert _shown(capsys, "train", "--config", path)["run_dir"] == "runs/crnn"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected a YAML mapping"),
        ("- 1", "expected a YAML mapping"),
        ("- model", "expected a YAML mapping"),
        ("- [a=b]", "expected a YAML mapping"),
        ("[", "cannot be read"),
        ("\x00", "cannot be read"),
        ("epochs: 1\nepochs: 2", "duplicate key"),
        ("model: {dropout: 1, dropout: 2}", "duplicate key"),
        ("epochs: !!python/object/apply:os.system [ls]", "cannot be read"),
        ("epochs: !!python/name:os.system", "cannot be read"),
        ("a: &a [1, 1]\nb: [*a, *a]", "aliases"),
        ("epochs: " + "[" * 5000, "cannot be read"),
        ("#" * 70_000, "larger than 65536 bytes"),
        ("run_dir: ${oc.env:HOME}", "expected \\$\\{…\\} with another setting"),
        ("run_dir: ${now:%Y}", "expected \\$\\{…\\} with another setting"),
        ("run_dir: ${", "expected"),
        ("data_dir: !!binary aGk=", "expected a number, a text"),
        ("data_dir: [{a: 1}]", "expected a number, a text"),
        ("epoch: 3", "epoch: train has no such setting; beamtune train --show-config lists them"),
    ],
)
def test_hostile_and_wrong_files_are_one_line(tmp_path: Path, text: str, message: str) -> None:
    path = _file(tmp_path, text)
    with pytest.raises(UserError, match=message) as raised:
        read_overrides(path, ["train"])
    assert str(raised.value).startswith(path)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < len(path) + 500


def test_files_that_cannot_be_read_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    for path in (str(tmp_path / "none.yaml"), str(tmp_path), str(tmp_path / "binary.yaml")):
        with pytest.raises(UserError, match="cannot be read"):
            read_overrides(path, ["train"])
    with pytest.raises(UserError, match="larger than"):
        read_overrides("/dev/zero", ["train"])


def test_a_path_behind_config_is_no_slip(tmp_path, capsys):
    path = _file(tmp_path, "epochs: 3\n")
    assert _shown(capsys, "train", "--config", path)["epochs"] == 3
