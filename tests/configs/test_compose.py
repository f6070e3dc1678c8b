from concurrent.futures import ThreadPoolExecutor

import pytest
from hydra import initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from beam_pipelines.common.errors import UserError
from beam_pipelines.datasets.config import CsvDatasetConfig
from beam_pipelines.features.config import LogMelConfig, MfccConfig, MusicnnConfig
from beam_pipelines.prepare.config import PrepareConfig
from configs.command import load_config
from configs.compose import CONFIG_DIR, compose, config_groups, overrides_of, to_dataclass, to_yaml, without_references
from configs.hydra_schemas import SCHEMA_GROUP, register_schema
from configs.launch.config import LocalLaunchConfig
from trainer.models.architectures.cnn2d import Cnn2dConfig
from trainer.training.config import TrainConfig


def config(name, *overrides):
    return to_dataclass(compose(name, overrides))


def test_defaults_are_those_of_the_dataclasses():
    made = config("prepare")
    assert isinstance(made, PrepareConfig)
    assert made.features == {"log_mel": LogMelConfig()}
    assert made.output_dir == "prepared/synthetic"


@pytest.mark.parametrize("name", sorted(path.stem for path in CONFIG_DIR.glob("*.yaml")))
def test_a_command_registers_all_schemas_that_it_needs(name, monkeypatch):
    monkeypatch.setattr(ConfigStore.instance(), "repo", {**ConfigStore.instance().repo, SCHEMA_GROUP: {}})
    registered = set()
    monkeypatch.setattr(
        "configs.compose.register_schema", lambda one: registered.add(one) or register_schema.__wrapped__(one)
    )
    compose(name, [])
    assert 0 < len(registered) < 30


def test_quick_reads_the_start_of_songs_and_leaves_none_out_of_the_fit():
    made = config("quick", "dataset.root=music", "output_dir=out")
    assert made.features == {"musicnn": MusicnnConfig()}
    assert (made.audio.max_duration_s, made.max_reject_fraction) == (30.0, 0.2)
    prepared = made.prepare_config("out/prepared")
    assert type(prepared) is PrepareConfig
    assert (prepared.output_dir, prepared.dataset.root) == ("out/prepared", "music")
    assert (prepared.split.validation_fraction, prepared.split.test_fraction) == (0.0, 0.0)


def test_a_command_whose_yaml_file_describes_other_settings_is_an_error():
    with pytest.raises(TypeError, match=r"train\.yaml describes TrainConfig, not PrepareConfig"):
        load_config(PrepareConfig, "train", [])


def test_groups_choose_and_keys_set():
    made = config(
        "prepare",
        "dataset=csv",
        "dataset.path=/music/tracks.csv",
        "dataset.group_column=null",
        "features=[log_mel,mfcc]",
        "features.mfcc.n_mfcc=13",
        "segment.duration_s=5",
        "runner.num_workers=3",
    )
    assert made.dataset == CsvDatasetConfig(path="/music/tracks.csv", group_column=None)
    assert made.features == {"log_mel": LogMelConfig(), "mfcc": MfccConfig(n_mfcc=13)}
    assert (made.segment.duration_s, made.runner.num_workers) == (5.0, 3)


@pytest.mark.parametrize(
    ("overrides", "labels"),
    [
        (["runner.labels={team: music, cost-center: 007}"], {"team": "music", "cost-center": "007"}),
        (["runner.labels.team=007", "runner.labels.stage=test"], {"team": "007", "stage": "test"}),
        (["runner.labels={team: music}", "runner.labels.stage=test"], {"team": "music", "stage": "test"}),
        (["runner.labels.team=music", "runner.labels={}"], {}),
    ],
)
def test_a_mapping_has_names_of_the_user(overrides, labels):
    dataflow = ["runner=dataflow", "runner.project=my-project", "runner.temp_location=gs://bucket/temp"]
    assert config("prepare", *dataflow, *overrides).runner.labels == labels


def test_one_feature_replaces_the_default():
    assert config("prepare", "features=mfcc").features == {"mfcc": MfccConfig()}


@pytest.mark.parametrize(
    "path",
    [
        "/music/My Music, (odd) [x] {y}",
        "/a=b",
        "/it's",
        "/x~y",
        "/tab\tand  spaces",
        "/übung",
        "/a:b@c",
        "/#1",
        "p [1]",
        "[1]",
        "{a}",
        "[a, b]",
        "007",
        "1e3",
        "1_0",
        "true",
        "what?",
        "all *",
        "M [mp3]",
        "\\x",
    ],
)
def test_special_characters_in_paths_are_kept(path):
    assert config("prepare", "dataset=folder", f"dataset.root={path}").dataset.root == path


def test_a_tilde_is_the_home_folder(monkeypatch):
    monkeypatch.setenv("HOME", "/home/someone")
    assert config("prepare", "dataset=folder", "dataset.root=~/Music").dataset.root == "/home/someone/Music"


@pytest.mark.parametrize(
    ("name", "overrides", "message"),
    [
        ("prepare", ["datset=folder"], "datset: there is no such setting; did you mean dataset?"),
        (
            "prepare",
            ["dataset=foldr"],
            "dataset=foldr: expected one of csv, fma, folder, gtzan, synthetic; did you mean folder?",
        ),
        (
            "prepare",
            ["features=[log_mel,mfc]"],
            "waveform, yamnet, yamnet_log_mel; did you mean mfcc?",
        ),
        (
            "prepare",
            ["segment.duraton_s=2"],
            "segment.duraton_s: there is no such setting; did you mean segment.duration_s?",
        ),
        ("train", ["optimizer.learning_rat=2"], "did you mean optimizer.learning_rate?"),
        ("train", ["model=cnn2"], "transfer, wave1d, yamnet_finetune; did you mean cnn2d?"),
        ("train", ["strategy.kind=nnoe"], "did you mean none?"),
        ("evaluate", ["run_dir=x", "split=tset"], "did you mean test?"),
        ("prepare", ["split.source=oficial"], "did you mean official?"),
        ("prepare", ["seed=abc"], "seed=abc: expected a whole number"),
        ("prepare", ["seed"], "'seed' is not a setting: expected key=value, e.g. seed=1"),
        ("prepare", ["+extra=1"], "'+extra=1' is not a setting"),
        ("prepare", ["~seed"], "'~seed' is not a setting"),
        ("prepare", ["=1"], "'=1' is not a setting"),
        ("prepare", ["seed=1,2"], ": expected a whole number"),
        ("prepare", ["zzzzzzzz=1"], "zzzzzzzz: there is no such setting; --show-config lists them"),
        ("prepare", ["hydra.verbose=true"], "hydra.verbose: there is no such setting"),
        ("prepare", ["features.mfcc.n_mfcc=13"], "is not selected: add features=[…,mfcc]"),
        ("prepare", ["dataset=folder"], "dataset.root is not set: give dataset.root=…"),
        ("prepare", ["features=[]"], "expected at least one feature"),
        ("prepare", ["seed=-1"], "seed=-1: expected a whole number of at least 0"),
        ("prepare", ["dataset.name=a/b"], "dataset.name=a/b: expected 1 to 64 letters, digits or underscores"),
        ("train", ["dataset=folder"], "dataset: there is no such setting; did you mean data_dir?"),
        ("synthesize", ["dataset=folder"], "dataset: there is no such setting; did you mean dataset."),
        ("prepare", ["seeds={}"], "seeds: there is no such setting; did you mean seed"),
        ("prepare", ["output_dir="], "output_dir=: expected a path"),
        ("prepare", ["dataset=folder", "dataset.root="], "dataset.root=: expected a path"),
        ("prepare", ["dataset=csv", "dataset.path="], "dataset.path=: expected a path"),
        ("prepare", ["dataset.root="], "dataset.root=: expected a path"),
        ("train", ["data_dir="], "data_dir=: expected a path"),
        ("train", ["run_dir="], "run_dir=: expected a path"),
        ("evaluate", ["run_dir="], "run_dir=: expected a path"),
        ("export", ["formats=tflite"], "formats=tflite: expected a list, e.g. 'formats=[tflite]'"),
        ("evaluate", [], "run_dir is not set: give run_dir=…"),
        ("train", ["epochs=0"], "epochs=0: expected a whole number from 1"),
    ],
)
def test_mistakes_are_named_with_a_suggestion(name, overrides, message):
    with pytest.raises(UserError) as caught:
        config(name, *overrides)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_error_names_the_feature_and_not_its_kind() -> None:
    settings = [f"features.embedding_2.{word}" for word in ("path=b.onnx", "sample_rate_hz=16000", "window_s=100")]
    with pytest.raises(UserError, match=r"^features\.embedding_2\.window_s=100\.0: expected 0\.01 to 60 s$"):
        config("prepare", "features=[embedding_2]", *settings)


@pytest.mark.slow
def test_every_option_of_every_group_composes():
    needed = {
        "folder": ["dataset.root=x"],
        "gtzan": ["dataset.root=x"],
        "csv": ["dataset.path=x"],
        "dataflow": ["runner.project=my-project", "runner.temp_location=gs://my-bucket/temp"],
        "portable": ["runner.name=FlinkRunner"],
        **{
            name: [f"features.{name}.{setting}" for setting in ("path=net.onnx", "sample_rate_hz=8000", "window_s=1")]
            for name in ("embedding", "embedding_2")
        },
    }
    image = "launch.image=us-central1-docker.pkg.dev/my-project/images/beamtune:1"
    of_command = {"convert": ["source=x", "output_dir=y"]}
    composed = {"launch/local.yaml", "launch/kubernetes.yaml", "launch/slurm.yaml"}
    config("launch", "launch=kubernetes", image)
    config("launch", "launch=slurm")
    assert config("launch", "launch=local").launch == LocalLaunchConfig()
    for option in ("cloudrun", "dataflow", "vertex", "vertex_serve"):
        config("launch", f"launch={option}", "launch.project=my-project", image)
        composed.add(f"launch/{option}.yaml")
    for name in ("convert", "prepare", "train", "tune"):
        for group, options in config_groups(name).items():
            for option in options:
                if f"{group}/{option}.yaml" in composed:
                    continue  # a group of several commands
                config(name, f"{group}={option}", *needed.get(option, []), *of_command.get(name, []))
                composed.add(f"{group}/{option}.yaml")
    assert composed == {str(path.relative_to(CONFIG_DIR)) for path in CONFIG_DIR.glob("*/*.yaml")}


def test_every_command_file_composes():
    names = {path.stem for path in CONFIG_DIR.glob("*.yaml")}
    assert names == {
        *("baselines", "crossval", "tensorboard", "tune"),
        *("compare", "convert", "doctor", "download", "evaluate", "explore", "export", "launch", "models"),
        *("predict", "prepare", "quick", "report", "review", "runs", "serve", "sync", "synthesize", "tag", "train"),
    }
    for name in names:
        compose(name, [])


def test_a_setting_may_have_the_name_of_another_commands_group():
    assert config("evaluate", "run_dir=x", "split=validation").split == "validation"
    assert config("prepare", "split=random").split.source == "random"


@pytest.mark.parametrize("name", ["clip_duration_s", "max_duration_s"])
def test_audio_that_is_shorter_than_a_segment_is_refused(name):
    message = rf"^audio.{name}=2.0: expected at least segment.duration_s \(3.0 s\): shorter audio has no segment$"
    with pytest.raises(UserError, match=message):
        config("prepare", f"audio.{name}=2", "audio.min_duration_s=1")
    assert getattr(config("prepare", f"audio.{name}=2", "segment.duration_s=2").audio, name) == 2.0


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ([], ("auto", None)),
        (["split=official"], ("official", None)),
        (["split=group"], ("group", None)),
        (["dataset=gtzan", "dataset.root=x"], ("auto", 30.0)),
        (["dataset=gtzan", "dataset.root=x", "split=random"], ("random", 30.0)),
        (["dataset=gtzan", "dataset.root=x", "audio.clip_duration_s=10"], ("auto", 10.0)),
        (["dataset=fma", "split=fault_filtered"], ("fault_filtered", 30.0)),
        (["dataset=fma", "dataset.subset=full", "audio.clip_duration_s=null"], ("auto", None)),
        (["split.folds=5", "split.fold=0"], ("auto", None)),
    ],
)
def test_splits_and_clip_lengths_follow_from_the_data_set_unless_they_are_chosen(overrides, expected):
    made = config("prepare", *overrides)
    assert (made.split.source, made.audio.clip_duration_s) == expected


def test_the_name_of_fma_is_that_of_its_subset():
    made = config("prepare", "dataset=fma", "dataset.subset=medium")
    assert (made.dataset.name, made.output_dir) == ("fma_medium", "prepared/fma_medium")


def test_saved_settings_are_read_as_overrides():
    first = compose(
        "train", ["run_dir=it's, a (run)", "model.filters=[8,16]", "model.time_pools=[2,2]", "model.band_pools=[2,2]"]
    )
    overrides = overrides_of(OmegaConf.to_container(first, resolve=True))
    again = config("train", *overrides)
    assert again == to_dataclass(first)
    assert isinstance(again, TrainConfig)
    assert again.model == Cnn2dConfig(filters=[8, 16], time_pools=[2, 2], band_pools=[2, 2])


def test_the_yaml_names_every_setting_and_marks_what_is_missing():
    text = to_yaml(compose("prepare", ["dataset=folder"]))
    assert "root: ???" in text
    assert "sample_rate_hz: 16000" in text
    assert "output_dir: prepared/folder" in text


def test_values_in_a_mapping_are_not_parsed():
    made = to_dataclass(compose("prepare", {"dataset": "folder", "dataset.root": "[a,b]=\\", "features": ["mfcc"]}))
    assert made.dataset.root == "[a,b]=\\"
    assert made.features == {"mfcc": MfccConfig()}


@pytest.mark.parametrize("text", ["${seed}", "\\${seed}", "\\\\${", "a\\", "$", "{}"])
def test_strings_without_references_are_literal(text):
    composed = compose("train", {"data_dir": without_references(text), "run_dir": "${data_dir}"})
    assert (composed.data_dir, composed.run_dir) == (text, text)


def test_the_state_of_a_program_that_uses_hydra_stays():
    with initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
        before = GlobalHydra.instance().hydra
        compose("train", [])
        assert GlobalHydra.instance().hydra is before is not None


def test_several_threads_compose_at_the_same_time():
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda epochs: compose("train", {"epochs": epochs}).epochs, range(1, 9)))
    assert found == list(range(1, 9))


def test_the_suggested_list_of_options_is_quoted() -> None:
    with pytest.raises(UserError, match=r"""e.g. 'runner.options=\["--a=1","--b"\]'$"""):
        compose("prepare", ["runner=portable", "runner.options=[--a=1,--b]"])
