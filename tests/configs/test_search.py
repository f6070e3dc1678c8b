"""Settings that come from files: saved runs and searches, search spaces, and overrides=FILE."""

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from beam_pipelines.common.errors import UserError
from beam_pipelines.common.python_process import python_command
from beam_pipelines.common.retries import StorageConfig, retry_deadline_s
from configs import resume
from configs.cli import main
from configs.compose import CONFIG_DIR, compose, to_dataclass
from configs.override_file import read_overrides
from configs.resume import with_saved_settings
from configs.search import load_search, read_space_text, train_overrides
from trainer.data.config import AugmentConfig
from trainer.devices.config import StrategyConfig
from trainer.models.architectures.crnn import CrnnConfig
from trainer.runs.run_dir import RunDir
from trainer.training.config import OptimizerConfig, TrainConfig
from trainer.tuner.config import SearchConfig
from trainer.tuner.search_dir import SearchDir


def search_config(*overrides: str) -> SearchConfig:
    made = to_dataclass(compose("tune", ["search_dir=s", *overrides]))
    assert isinstance(made, SearchConfig)
    return made


@pytest.mark.parametrize(
    "config",
    [
        TrainConfig(run_dir="r", data_dir="it's, a (dir)", model=CrnnConfig()),
        TrainConfig(
            run_dir="r",
            data_dir="d",
            seed=7,
            early_stopping_patience_epochs=None,
            ema_decay=0.99,
            augment=AugmentConfig(freq_masks=2, crop_min_share=0.5),
            model=CrnnConfig(filters=[8], time_pools=[1], band_pools=[4], dropout=0.1 + 0.2),
            strategy=StrategyConfig(kind="mirrored", num_devices=2),
            optimizer=OptimizerConfig(learning_rate=0.00691054862948428, gradient_clip_norm=None),
        ),
    ],
)
def test_settings_become_overrides_that_make_them_again(config):
    overrides = train_overrides(config)
    assert to_dataclass(compose("train", overrides)) == config
    assert len(train_overrides(replace(config, seed=8))) >= len(train_overrides(replace(config, seed=0)))


def test_default_values_need_no_override():
    config = to_dataclass(compose("train", ["run_dir=r"]))
    assert isinstance(config, TrainConfig)
    assert train_overrides(config) == ["model=cnn2d", "strategy=none", "run_dir='r'"]


def test_the_budget_follows_from_the_algorithm_unless_it_is_given():
    assert search_config().budget.max_trials == 20
    assert search_config("tuner=hyperband").budget.max_trials is None
    assert search_config("tuner=hyperband").pruning.median is False
    assert search_config("tuner=grid", "budget.max_trials=3").budget.max_trials == 3
    assert search_config("model=crnn", "model.dropout=0.5").run_dir == "s/refit"


@pytest.mark.parametrize(
    ("objective", "direction", "expected"),
    [
        ("validation/track/accuracy", None, "max"),
        ("validation/track/macro_f1", None, "max"),
        ("validation/segment/loss", None, "min"),
        ("validation/track/expected_calibration_error", None, "min"),
        ("validation/segment/loss", "max", "max"),
    ],
)
def test_the_direction_follows_from_the_name_unless_it_is_given(objective, direction, expected):
    overrides = [f"objective={objective}", *([] if direction is None else [f"direction={direction}"])]
    assert search_config(*overrides).best_is == expected


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["workers=0"], "workers=0: expected 1 to 256"),
        (["direction=up"], "direction=up: expected one of min, max"),
        (["trial_timeout_s=0"], "trial_timeout_s=0.0: expected seconds above 0"),
        (["strategy=multi_worker"], "strategy=multi_worker: expected none or mirrored"),
        (["tuner.factor=1"], "tuner.factor=1: expected 2 to 100"),
        (
            ["early_stopping_patience_epochs=null", "learn_from_validation=true"],
            "learn_from_validation=true: expected false",
        ),
        (["learn_from_validation=true"], "early_stopping_patience_epochs=8: expected null"),
        (["model.dropout=2"], "model.dropout=2.0: expected a share"),
    ],
)
def test_mistakes_are_named(overrides, message):
    with pytest.raises(UserError) as caught:
        search_config(*overrides)
    assert message in str(caught.value)


def test_the_space_is_that_of_the_model_or_a_file(tmp_path):
    assert read_space_text(search_config("model=crnn")) == (CONFIG_DIR / "tuner" / "space" / "crnn.yaml").read_text()
    (tmp_path / "my.yaml").write_text("search: {seed: {int: [1, 2]}}")
    assert read_space_text(search_config(f"space={tmp_path}/my.yaml")) == "search: {seed: {int: [1, 2]}}"
    with pytest.raises(UserError, match=r"space=.*/none\.yaml cannot be read \(No such file or directory\): expected"):
        read_space_text(search_config(f"space={tmp_path}/none.yaml"))


def test_a_search_is_resumed_with_its_settings(tmp_path):
    search_dir = str(tmp_path / "s")
    (tmp_path / "my.yaml").write_text("search: {seed: {int: [1, 2]}}")
    words = [f"search_dir={search_dir}", f"space={tmp_path}/my.yaml", "model=crnn", "model.dropout=0.5", "tuner=random"]
    of_one_start = ["workers=3", "storage.retry_deadline_s=7"]
    config, text = load_search([*words, *of_one_start, "augment=default", "augment.gain_db=3"])
    directory = SearchDir(search_dir)
    directory.start(config, space_text=text)
    (tmp_path / "my.yaml").unlink()
    again, text_again = load_search([f"search_dir={search_dir}", "refit=true"])
    assert text_again == text
    assert (again.model, again.tuner, again.augment) == (config.model, config.tuner, config.augment)
    assert (again.refit, again.workers, again.storage) == (True, 1, StorageConfig())
    directory.check_same(again, space_text=text)
    # A larger budget is the same search, another model is not.
    directory.check_same(load_search([f"search_dir={search_dir}", "budget.max_trials=99"])[0], space_text=text)
    other, _ = load_search([f"search_dir={search_dir}", "model.dropout=0.25", "tuner.seed=3"])
    with pytest.raises(UserError, match=r"model\.dropout was 0\.5 and is 0\.25; tuner\.seed was 0 and is 3"):
        directory.check_same(other, space_text=text)
    with pytest.raises(UserError, match="its space was different"):
        directory.check_same(again, space_text="search: {seed: {int: [1, 3]}}")


def test_a_directory_without_a_search_is_named(tmp_path, capsys):
    assert main(["tune", "status", str(tmp_path)]) == 2
    assert f"search_dir={tmp_path} has no search" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["status"], ["stats", "x"], ["status", "a", "b"], ["status", "a", "seed=1"]])
def test_words_that_are_not_settings_are_rejected(words, capsys):
    assert main(["tune", *words]) == 2
    assert "expected beamtune tune status SEARCH_DIR, or settings" in capsys.readouterr().err


def test_a_dry_run_prints_the_space_and_trains_nothing(tmp_path, capsys):
    (tmp_path / "my.yaml").write_text(
        "search:\n"
        "  depth: {int: [2, 3]}\n"
        "  width: {choice: [4, 8], when: {depth: [3]}}\n"
        "  model.dropout: {float: [0, 0.5], step: 0.25}\n"
        "derive: {model.filters: {first: 8, length: 4, factor: 2, most: 32}}\n"
    )
    assert main(["tune", "--dry-run", f"space={tmp_path}/my.yaml", f"search_dir={tmp_path}/s"]) == 2
    assert "depth: beamtune train model=cnn2d has no such setting" in capsys.readouterr().err
    (tmp_path / "my.yaml").write_text(
        "search:\n"
        "  depth: {int: [4, 4]}\n"
        "  width: {choice: [4, 8]}\n"
        "  model.dropout: {float: [0, 0.5], step: 0.25}\n"
        "  seed: {int: [1, 5], when: {width: [8]}}\n"
        "derive: {model.filters: {first: width, length: depth, factor: 2, most: 32}}\n"
    )
    words = ["tune", "--dry-run", f"space={tmp_path}/my.yaml", f"search_dir={tmp_path}/s", "budget.max_hours=8"]
    assert main(words) == 0
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == "search space of cnn2d"
    assert [line.split() for line in lines[2:6]] == [
        ["depth", "4", "1"],
        ["width", "4,", "8", "2"],
        ["model.dropout", "0,", "0.25,", "0.5", "3"],
        ["seed", "1", "to", "5", "5", "width", "=", "8"],
    ]
    assert lines[6:] == [
        "model.filters: a list of width, times 2 from each to the next, at most 32; its length is depth",
        "combinations: 18",
        "bayesian search for the highest validation/track/accuracy; 25 epochs a trial at most; "
        "budget: 20 trials, 8 hours",
    ]
    assert not (tmp_path / "s").exists()


def test_settings_come_from_files(tmp_path, capsys):
    path = tmp_path / "best.yaml"
    path.write_text(yaml.safe_dump(["model=crnn", "model.dropout=0.25", "data_dir='a, b'"]))
    assert main(["train", f"overrides={path}", "epochs=3", "model.dropout=0.5", "--show-config"]) == 0
    shown = yaml.safe_load(capsys.readouterr().out)
    assert (shown["model"]["name"], shown["model"]["dropout"]) == ("crnn", 0.5)
    assert (shown["data_dir"], shown["epochs"]) == ("a, b", 3)


@pytest.mark.slow
def test_what_libraries_log_is_hidden_where_settings_come_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "best.yaml"
    path.write_text("- data_dir=none\n")
    environment = {key: value for key, value in os.environ.items() if key != "TF_CPP_MIN_LOG_LEVEL"}
    command = python_command("configs.cli:run", "train", f"overrides={path}")
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, env=environment)
    assert done.returncode == 2
    assert done.stderr.startswith("beamtune train: ")
    assert done.stderr.count("\n") == 1


def test_a_run_is_resumed_by_its_run_dir_alone(tmp_path, monkeypatch):
    run_dir = str(tmp_path / "run")
    words = [f"run_dir={run_dir}", "augment=default", "augment.gain_db=3", "model=crnn"]
    config = to_dataclass(compose("train", words))
    monkeypatch.setattr("trainer.runs.run_dir.copy_metadata", lambda data, to: None)
    assert isinstance(config, TrainConfig)
    RunDir(run_dir).start(replace(config, storage=StorageConfig(retry_deadline_s=7)), data=None)
    assert to_dataclass(compose("train", with_saved_settings([f"run_dir={run_dir}"]))) == config
    assert to_dataclass(compose("train", with_saved_settings(words))) == config
    # Settings that the saved model has, and the default one does not.
    changed = with_saved_settings([f"run_dir={run_dir}", "model.recurrent_units=7"])
    assert to_dataclass(compose("train", changed)) == replace(config, model=replace(config.model, recurrent_units=7))


def test_the_directory_to_resume_is_read_within_the_given_deadline(monkeypatch):
    monkeypatch.setenv("BEAMTUNE_STORAGE_RETRY_DEADLINE_S", "600")
    checked = []
    monkeypatch.setattr(resume, "check_access", lambda *, written: checked.append((written, retry_deadline_s())))
    words = ["search_dir=gs://b/search", "storage.retry_deadline_s=7"]
    assert resume.directory_to_resume("tune", words, key="search_dir") == "gs://b/search"
    assert checked == [(["gs://b/search"], 7)]


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("run_dir=runs/a, b=[c", "runs/a, b=[c"),
        ("run_dir=7", "7"),
        ("run_dir=runs/seed-${seed}", "runs/seed-0"),
        (r"run_dir=runs/\${seed}", "runs/${seed}"),
    ],
)
def test_the_directory_to_resume_is_the_one_of_the_composed_settings(word: str, expected: str) -> None:
    assert resume.directory_to_resume("train", [word], key="run_dir") == expected
    assert compose("train", [word]).run_dir == expected


def test_a_file_in_a_bucket_without_credentials_is_one_line_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*, read: list[str]) -> None:
        raise UserError(f"{read[0]} cannot be accessed")

    monkeypatch.setattr("configs.override_file.check_access", refuse)
    with pytest.raises(UserError, match="gs://bucket/best.yaml cannot be accessed"):
        read_overrides("gs://bucket/best.yaml", ["train"])
