"""How models are found, and how their settings come back from a run."""

import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import keras
import pytest

from beam_pipelines.common.errors import UserError
from trainer.models import architectures
from trainer.models.architectures.cnn2d import Cnn2dConfig
from trainer.models.registry import MODELS, build_model, find_models, model_config_from_dict

REPOSITORY = Path(__file__).resolve().parents[3]
# A model, as a user would add one: a dense layer on a vector.
TINY = '''\
"""A dense layer."""

from dataclasses import dataclass

from trainer.models.config import OneFeatureConfig
from trainer.models.lazy import blocks, keras

SUMMARY = "one dense layer"


@dataclass(frozen=True)
class TinyConfig(OneFeatureConfig):
    name: str = "tiny"
    feature: str = "spectral_stats"
    dropout: float = 0.25


def build(config, *, specs, stats, num_classes):
    inputs, x = blocks.standardized_input(specs[config.feature], stats[config.feature])
    outputs = blocks.logits(x, dropout=config.dropout, num_classes=num_classes)
    return keras.Model({config.feature: inputs}, outputs, name=config.name)
'''


@pytest.fixture
def add_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Adds a module with this name and text to the package of the models, until the test ends."""
    monkeypatch.setattr(architectures, "__path__", [*architectures.__path__, str(tmp_path)])

    def add(name: str, text: str) -> None:
        (tmp_path / f"{name}.py").write_text(text)
        monkeypatch.delitem(sys.modules, f"{architectures.__name__}.{name}", raising=False)

    return add


def test_a_new_module_is_a_new_model(add_module: Callable[[str, str], None]) -> None:
    add_module("tiny", TINY)
    models = find_models(architectures)
    assert list(models) == sorted([*MODELS, "tiny"])
    assert models["tiny"].summary == "one dense layer"
    assert models["tiny"].config_class().feature_names == ("spectral_stats",)
    assert models["tiny"].load_pretrained is None


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("bare", "", "bare defines 0 subclasses of ModelConfig, expected 1"),
        ("other", TINY, "TinyConfig.name is 'tiny', expected the module's name 'other'"),
        ("tiny", TINY.replace("SUMMARY =", "TITLE ="), "tiny does not define SUMMARY"),
        ("tiny", TINY.replace("def build(", "def make("), "tiny does not define build"),
    ],
)
def test_an_incomplete_module_is_refused(
    add_module: Callable[[str, str], None], name: str, text: str, message: str
) -> None:
    add_module(name, text)
    with pytest.raises(TypeError) as caught:
        find_models(architectures)
    assert message in str(caught.value)


@pytest.mark.slow
def test_settings_are_read_without_keras() -> None:
    script = (
        "import sys, configs.hydra_schemas\n"
        "from trainer.models.registry import MODELS\n"
        "print([entry.config_class() for entry in MODELS.values()] != [])\n"
        "print([name for name in ('keras', 'tensorflow', 'numpy', 'h5py') if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == ["True", "[]"]


def test_a_network_without_the_layer_of_the_logits_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def build(config: Cnn2dConfig, **_: object) -> keras.Model:
        inputs = keras.Input((4,))
        return keras.Model(inputs, keras.layers.Dense(2, name="last")(inputs))

    monkeypatch.setitem(MODELS, "cnn2d", replace(MODELS["cnn2d"], build=build))
    with pytest.raises(TypeError, match="cnn2d: the model has no layer named 'logits': end it with blocks.logits"):
        build_model(Cnn2dConfig(), specs={}, stats={}, num_classes=2)


@pytest.mark.slow
def test_a_new_model_needs_only_its_module_and_its_yaml(tmp_path: Path) -> None:
    for package in ("beam_pipelines", "configs", "trainer"):
        shutil.copytree(REPOSITORY / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "trainer" / "models" / "architectures" / "tiny.py").write_text(TINY)
    (tmp_path / "configs" / "model" / "tiny.yaml").write_text("# Tiny\ndefaults: [/schema/tiny_model@_here_, _self_]\n")
    script = """
        from configs.compose import compose, to_dataclass
        config = to_dataclass(compose("train", ["model=tiny", "model.dropout=0.5", "data_dir=d"]))
        print(config.model)
        from beam_pipelines.records.schema import BandStats, FeatureSpec
        from trainer.models.registry import build_model
        specs = {"spectral_stats": FeatureSpec("spectral_stats", (4,), "float32")}
        stats = {"spectral_stats": BandStats(num_frames=1, mean=(0.0,) * 4, std=(1.0,) * 4)}
        print(build_model(config.model, specs=specs, stats=stats, num_classes=3).count_params())
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["TinyConfig(name='tiny', feature='spectral_stats', dropout=0.5)", "15"]


def test_settings_are_read_from_a_run() -> None:
    config = Cnn2dConfig(filters=[8], time_pools=[1], band_pools=[1])
    assert model_config_from_dict({**vars(config)}) == config
    with pytest.raises(UserError, match=r"model\.name=nope: expected attention_pool or bilstm or"):
        model_config_from_dict({"name": "nope"})
    with pytest.raises(UserError, match="settings of model cnn2d are not those of this beamtune"):
        model_config_from_dict({"name": "cnn2d", "depth": 3})
