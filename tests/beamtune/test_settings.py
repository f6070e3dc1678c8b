"""Keyword arguments against the same settings on the command line."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from beam_pipelines.common.errors import UserError
from beamtune.settings import path_text, settings_from
from configs.compose import compose, config_groups, to_dataclass


def config_from(name: str, **arguments: Any) -> Any:
    return to_dataclass(compose(name, settings_from(name, arguments)))


@pytest.mark.parametrize(
    ("name", "arguments", "overrides"),
    [
        ("prepare", {}, []),
        ("prepare", {"dataset": {"folder": {"root": "music"}}}, ["dataset=folder", "dataset.root=music"]),
        ("prepare", {"dataset": "folder", "dataset.root": "music"}, ["dataset=folder", "dataset.root=music"]),
        ("prepare", {"dataset": {"root": "music"}}, ["dataset.root=music"]),
        ("prepare", {"features": ["log_mel", "mfcc"]}, ["features=[log_mel,mfcc]"]),
        ("prepare", {"features": "mfcc"}, ["features=mfcc"]),
        (
            "prepare",
            {"features": {"mfcc": {"n_mfcc": 13}, "log_mel": {}}},
            ["features=[mfcc,log_mel]", "features.mfcc.n_mfcc=13"],
        ),
        (
            "prepare",
            {"audio": {"sample_rate_hz": 22_050, "keep": "wav"}},
            ["audio.sample_rate_hz=22050", "audio.keep=wav"],
        ),
        (
            "prepare",
            {"dataset": {"csv": {"path": "a", "group_column": None}}},
            ["dataset=csv", "dataset.path=a", "dataset.group_column=null"],
        ),
        (
            "prepare",
            {"dataset": {"fma": {"subset": "medium"}}, "split": "official"},
            ["dataset=fma", "dataset.subset=medium", "split=official"],
        ),
        ("train", {"run_dir": "r", "model": "crnn"}, ["run_dir=r", "model=crnn"]),
        (
            "train",
            {"run_dir": "r", "model": {"crnn": {"dropout": 0.3}}},
            ["run_dir=r", "model=crnn", "model.dropout=0.3"],
        ),
        ("train", {"run_dir": "r", "model": {"dropout": 0.3}}, ["run_dir=r", "model.dropout=0.3"]),
        (
            "train",
            {"run_dir": "r", "model": {"filters": (8, 16), "time_pools": [2, 2], "band_pools": [2, 2]}},
            ["run_dir=r", "model.filters=[8,16]", "model.time_pools=[2,2]", "model.band_pools=[2,2]"],
        ),
        (
            "train",
            {"run_dir": Path("r"), "cache": False, "ema_decay": None},
            ["run_dir=r", "cache=false", "ema_decay=null"],
        ),
        (
            "train",
            {"run_dir": "r", "epochs": np.int64(3), "optimizer": {"learning_rate": np.float64(0.001)}},
            ["run_dir=r", "epochs=3", "optimizer.learning_rate=0.001"],
        ),
        ("evaluate", {"run_dir": "r", "split": "validation"}, ["run_dir=r", "split=validation"]),
    ],
)
def test_arguments_make_the_configuration_of_the_command_line(
    name: str, arguments: dict[str, Any], overrides: list[str]
) -> None:
    assert config_from(name, **arguments) == to_dataclass(compose(name, overrides))


@pytest.mark.parametrize(
    "path",
    [
        "/a=b,c",
        "/[x]{y}(z)",
        'it\'s "quoted"',
        "ends in \\",
        "${seed}",
        "\\${seed} \\\\${oc.env:HOME}",
        "${",
        "übung/日本/🎵",
        " spaces ",
        "tab\tand\nnewline",
        "null",
        "true",
        "1e3",
        "~user/x",
        "a: b # c",
        "*&!%@`",
    ],
)
def test_strings_are_taken_as_they_are(path: str) -> None:
    assert config_from("train", run_dir="r", data_dir=path).data_dir == path


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("${}\\'\"[],=:"), min_size=1))
def test_any_string_is_taken_as_it_is(text: str) -> None:
    values = settings_from("train", {"data_dir": f"/{text}"})
    assert compose("train", values).data_dir == f"/{text}"


def test_a_tilde_is_the_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    assert config_from("prepare", dataset={"folder": {"root": "~/Music"}}).dataset.root == "/home/someone/Music"
    assert path_text(Path("~/run"), name="run_dir") == "/home/someone/run"


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("prepare", {"datset": "folder"}, "datset: there is no such setting; did you mean dataset?"),
        ("prepare", {"dataset": "foldr"}, "dataset=foldr: expected one of csv, fma, folder, gtzan, synthetic; did you"),
        ("prepare", {"dataset": None}, "dataset=None: expected one of csv"),
        ("prepare", {"dataset": "folder"}, "dataset.root is not set: give dataset.root=…"),
        ("prepare", {"dataset": {"foldr": {"root": "x"}}}, "dataset.foldr.root: there is no such setting"),
        ("prepare", {"dataset": {"folder": {"root": "x"}, "csv": {}}}, "expected one option of csv"),
        ("prepare", {"dataset": {"folder": {}, "root": "x"}}, "expected one option of csv"),
        ("prepare", {"dataset": {"folder": "x"}}, "expected one option of csv"),
        ("prepare", {"features": {"mfc": {}}}, "expected options of embedding"),
        ("prepare", {"features": {}}, "expected at least one feature"),
        ("prepare", {"features": []}, "expected at least one feature"),
        ("prepare", {"features.mfcc.n_mfcc": 13}, "features.mfcc.n_mfcc: "),
        ("prepare", {"audio": {"sample_rate": 1}}, "audio.sample_rate: there is no such setting; did you mean audio."),
        ("prepare", {"audio": 3}, "audio: there is no such setting"),
        ("prepare", {"seed": "abc"}, "seed=abc: expected a whole number"),
        ("prepare", {"seed": -1}, "seed=-1: expected a whole number of at least 0"),
        ("prepare", {"seed": object()}, "seed=<object"),
        ("prepare", {"output_dir": ""}, "output_dir=: expected a path"),
        ("prepare", {"output_dir": b"x"}, "output_dir="),
        ("prepare", {"output_dir": Path("gs://bucket/x")}, "pathlib joins the slashes of gs://"),
        ("prepare", {"audio": {"keep": "wav"}, "audio.keep": "none"}, "audio.keep is given twice, as 'wav' and 'none'"),
        ("prepare", {"hydra": {"verbose": True}}, "hydra.verbose: there is no such setting"),
        ("train", {"dataset": "folder"}, "dataset: there is no such setting"),
        ("train", {"epochs": 0}, "epochs=0: expected a whole number from 1"),
        ("train", {"overrides": "none.yaml"}, "none.yaml cannot be read"),
        ("train", {"overrides": 3}, "overrides=3: expected a path"),
        ("evaluate", {"run_dir": "x", "split": "tset"}, "split=tset: expected one of train, validation, test; did you"),
    ],
)
def test_mistakes_are_one_line_that_names_the_right_setting(name: str, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as caught:
        config_from(name, **arguments)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_overrides_name_a_file_of_settings_which_arguments_replace(tmp_path: Path) -> None:
    path = tmp_path / "best.yaml"
    path.write_text(yaml.safe_dump(["model=crnn", "model.dropout=0.25", "epochs=7"]))
    config = config_from("train", run_dir="r", epochs=3, overrides=path)
    assert (config.model.name, config.model.dropout, config.epochs) == ("crnn", 0.25, 3)


@pytest.mark.slow
def test_no_option_of_a_group_has_the_name_of_one_of_its_settings() -> None:
    needed = {"portable": {"runner.name": "FlinkRunner"}}
    for name in ("prepare", "train"):
        for group, options in config_groups(name).items():
            for option in options if group != "features" else []:
                keys = set(compose(name, {group: option, **needed.get(option, {})})[group])
                assert not keys & set(options), (group, option)
