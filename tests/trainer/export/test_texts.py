from dataclasses import replace
from pathlib import Path

import pytest

from beam_pipelines.features.config import EmbeddingConfig, LogMelConfig, MusicnnConfig, YamnetConfig
from trainer.export.source import ExportSource
from trainer.export.texts import card_text, license_text
from trainer.models.architectures.cnn2d import Cnn2dConfig
from trainer.models.architectures.transfer import TransferConfig
from trainer.models.architectures.yamnet_finetune import YamnetFinetuneConfig
from trainer.models.config import ModelConfig
from trainer.runs.run_dir import RunDir
from trainer.training.config import TrainConfig

APACHE = (Path(__file__).resolve().parents[3] / "LICENSE").read_text()


@pytest.fixture
def source(shared_config: TrainConfig) -> ExportSource:
    """A source without its network, which licences do not depend on."""
    run = RunDir(shared_config.run_dir)
    data = run.dataset()
    return ExportSource(
        run=run,
        inference=None,  # type: ignore[arg-type]
        settings=run.prepare_yaml(),
        data=data,
        model_config=Cnn2dConfig(),
        specs=data.specs,
    )


def test_weights_of_ones_own_have_no_licence(source: ExportSource) -> None:
    assert license_text(source) is None
    assert license_text(replace(source, model_config=TransferConfig(weights="none"))) is None
    # A feature that the model does not take.
    settings = replace(source.settings, features={"log_mel": LogMelConfig(), "yamnet": YamnetConfig()})
    assert license_text(replace(source, settings=settings)) is None


def test_the_card_of_an_export_is_that_of_its_run_with_the_formats(source: ExportSource) -> None:
    card = card_text(source, formats=["saved_model", "keras"])
    start, end = card.index("## Formats"), card.index("## Intended use")
    assert card[start:end].startswith("## Formats\n\nsaved_model, model.keras; `signature.json`")
    assert card[:start] + card[end:] == (Path(source.run.path) / "model_card.md").read_text()


def test_a_run_without_a_card_is_exported_with_one(source: ExportSource, finished: TrainConfig) -> None:
    run = RunDir(finished.run_dir)
    before = card_text(replace(source, run=run), formats=["saved_model"])
    (Path(finished.run_dir) / "model_card.md").unlink()
    assert card_text(replace(source, run=run), formats=["saved_model"]) == before


def test_the_licence_of_musicnn_is_its_own(source: ExportSource) -> None:
    settings = replace(source.settings, features={"log_mel": MusicnnConfig(variant="mtt")})
    text = license_text(replace(source, settings=settings, model_config=Cnn2dConfig()))
    assert text is not None
    assert text.startswith("This export contains weights of MTT_musicnn (https://github.com/jordipons/musicnn),\n")
    assert (
        "under the ISC License, whose text follows.\n\nCopyright (c) Music Technology Group, Universitat Pompeu" in text
    )
    assert APACHE not in text


def test_the_licence_of_an_own_network_is_the_text_of_its_settings(source: ExportSource) -> None:
    own = EmbeddingConfig(path="/nets/net.keras", sample_rate_hz=16_000, window_s=1.0, license="Not for sale.")
    for config, text in (
        (own, "This export contains the network net.keras, under this licence:\nNot for sale.\n"),
        (replace(own, license=None), "This export contains the network net.keras, whose\nlicence nobody has stated.\n"),
    ):
        settings = replace(source.settings, features={"log_mel": config})
        assert license_text(replace(source, settings=settings, model_config=Cnn2dConfig())) == text


@pytest.mark.parametrize(
    ("model", "feature", "named"),
    [
        (Cnn2dConfig(), YamnetConfig(), "weights of YAMNet"),
        (YamnetFinetuneConfig(), LogMelConfig(), "weights of YAMNet"),
        (TransferConfig(backbone="ResNet50V2"), LogMelConfig(), "weights of ResNet50V2 started from those of keras"),
    ],
)
def test_pretrained_weights_come_with_their_licence(
    model: ModelConfig, feature: LogMelConfig | YamnetConfig, named: str, source: ExportSource
) -> None:
    settings = replace(source.settings, features={"log_mel": feature})
    text = license_text(replace(source, settings=settings, model_config=model))
    assert text is not None
    assert named in text
    assert text.endswith(APACHE)
