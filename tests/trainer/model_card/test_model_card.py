"""`model_card.md`: its YAML, its scores against `metrics.json`, and what it says where something is not known."""

import json
import re
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from prepared_data import contaminate

from beam_pipelines.datasets.config import CsvDatasetConfig
from beam_pipelines.features.config import EmbeddingConfig
from trainer.common.markdown import plain_text
from trainer.data.prepared import read_prepare_yaml
from trainer.evaluation.config import EvaluateConfig
from trainer.evaluation.evaluate import evaluate
from trainer.metrics.level_metrics import ClassMetrics, Interval, LevelMetrics
from trainer.model_card.facts import RunFacts, read_facts
from trainer.model_card.model_card import CARD_FILE, model_card, write_model_card
from trainer.models.architectures.attention_pool import AttentionPoolConfig
from trainer.models.architectures.transfer import TransferConfig
from trainer.models.architectures.yamnet_finetune import YamnetFinetuneConfig
from trainer.runs.run_dir import RunDir
from trainer.runs.run_metrics import ModelSummary, RunMetrics
from trainer.training.config import TrainConfig
from trainer.training.train import train


def front_matter_of(card: str) -> dict[str, Any]:
    """Returns the YAML block, found as the hub's library finds it."""
    found = re.match(r"^(\s*---[\r\n]+)([\S\s]*?)([\r\n]+---(\r\n|\n|$))", card)
    assert found is not None
    content = yaml.safe_load(found[2])
    assert isinstance(content, dict)
    return content


def level_metrics(confusion: list[list[int]], *, intervals: dict[str, Interval] | None = None) -> LevelMetrics:
    """Returns metrics of two genres by hand."""
    (a, b), (c, d) = confusion
    f1 = [2 * a / (2 * a + b + c), 2 * d / (2 * d + b + c)]
    total = a + b + c + d
    return LevelMetrics(
        num_examples=total,
        loss=0.5,
        accuracy=(a + d) / total,
        balanced_accuracy=(a / (a + b) + d / (c + d)) / 2,
        macro_f1=sum(f1) / 2,
        top2_accuracy=1.0,
        expected_calibration_error=0.125,
        per_class=[
            ClassMetrics(precision=a / (a + c), recall=a / (a + b), f1=f1[0], num_true=a + b, num_predicted=a + c),
            ClassMetrics(precision=d / (b + d), recall=d / (c + d), f1=f1[1], num_true=c + d, num_predicted=b + d),
        ],
        confusion_matrix=confusion,
        intervals=intervals,
    )


@pytest.fixture
def facts(shared_config: TrainConfig) -> RunFacts:
    """Those of the shared run, with two genres and scores made by hand."""
    found = read_facts(RunDir(shared_config.run_dir))
    stats = replace(
        found.data.stats,
        num_tracks={"train": {"dub": 3, "ska": 5}, "test": {"dub": 4, "ska": 6}},
        num_segments={"train": {"dub": 9, "ska": 4}, "test": {"dub": 8, "ska": 12}},
        audio_s={"train": 39.0, "test": 3600.0},
    )
    levels = {
        "segment": level_metrics([[6, 2], [3, 9]]),
        "track": level_metrics([[3, 1], [2, 4]], intervals={"accuracy": Interval(0.4, 0.91234)}),
    }
    metrics = RunMetrics(
        labels=("dub", "ska"),
        split_source="group",
        split_leak=None,
        model=ModelSummary(name="cnn2d", features=("log_mel",), num_parameters=1234, train_duration_s=9.0),
        levels={"test": levels},
    )
    return replace(
        found,
        data=replace(found.data, labels=("dub", "ska"), stats=stats),
        metrics=metrics,
        num_groups={"test": 7},
        versions={"beamtune": "0.1.0", "tensorflow": "2.21.0"},
    )


def test_the_yaml_has_the_entries_of_the_hub(facts: RunFacts) -> None:
    content = front_matter_of(model_card(facts))
    assert content.pop("model-index") == [
        {
            "name": "cnn2d on tiny",
            "results": [
                {
                    "task": {"type": "audio-classification", "name": "music genre classification"},
                    "dataset": {"type": "tiny", "name": "tiny", "split": "test", "revision": "abc"},
                    "metrics": [
                        {
                            "type": "accuracy",
                            "value": 0.7,
                            "name": "accuracy of tracks",
                            "args": {"level": "track", "num_examples": 10, "confidence_interval_95": [0.4, 0.9123]},
                        },
                        # F1 of dub 6/9, of ska 8/11.
                        {
                            "type": "f1",
                            "value": 0.697,
                            "name": "macro-F1 of tracks",
                            "args": {"level": "track", "num_examples": 10},
                        },
                        {
                            "type": "accuracy",
                            "value": 0.75,
                            "name": "accuracy of segments",
                            "args": {"level": "segment", "num_examples": 20},
                        },
                        {
                            "type": "f1",
                            "value": 0.7442,
                            "name": "macro-F1 of segments",
                            "args": {"level": "segment", "num_examples": 20},
                        },
                    ],
                }
            ],
        }
    ]
    assert content == {
        "license": "unknown",
        "library_name": "beamtune",
        "pipeline_tag": "audio-classification",
        "tags": ["audio", "music", "music-genre-classification", "beamtune", "tensorflow", "keras"],
        "metrics": ["accuracy", "f1"],
    }


def test_scores_stand_beside_chance_and_the_most_frequent_genre(facts: RunFacts) -> None:
    lines = model_card(facts).splitlines()
    # The most frequent genre in training is dub by segments, and ska by tracks.
    assert "| test | segment | 20 | 0.750 | 0.500 | 0.400 | 0.750 | 0.744 |" in lines
    assert "| test | track | 10 | 0.700 &#91;0.40, 0.91&#93; | 0.500 | 0.600 | 0.708 | 0.697 |" in lines
    assert "| dub | 0.600 | 0.750 | 0.667 | 4 | 5 |" in lines
    assert "Genres with the lowest F1: dub (F1 0.667), ska (F1 0.727)." in lines
    assert "Most frequent mistakes: ska as dub (2 of 6 tracks); dub as ska (1 of 4 tracks)." in lines
    assert "| all genres | 8 (13) | 10 (20) |" in lines
    assert "| groups | – | 7 |" in lines
    assert "| audio in segments | 0.01 h | 1.00 h |" in lines
    assert "A classifier of music into 2 genres: dub, ska. It has 1,234 parameters." in model_card(facts)
    assert "Trained with: beamtune 0.1.0, tensorflow 2.21.0." in model_card(facts)
    assert "0.125" in model_card(facts).partition("### Calibration")[2]


def test_the_settings_can_be_given_to_train_again(facts: RunFacts) -> None:
    from configs.compose import compose

    card = model_card(facts)
    lines = card.partition("in a file:\n\n")[2].partition("\n\n")[0]
    overrides = yaml.safe_load(lines)
    config = compose("train", [*overrides, "data_dir=d", "run_dir=r"])
    assert config.model.filters == [8, 8] and config.optimizer.learning_rate == 0.01 and config.epochs == 3
    assert config.cache is True
    assert not any("run_dir" in one or "data_dir" in one for one in overrides)


def test_a_leaky_split_is_said_first_and_everywhere(facts: RunFacts) -> None:
    stats = replace(facts.data.stats, split_leak="tracks of The Kinks were split at random", split_source="random")
    card = model_card(replace(facts, data=replace(facts.data, stats=stats)))
    assert front_matter_of(card)["model-index"][0]["results"][0]["dataset"]["name"] == "tiny (leaky split)"
    assert "**The split leaks: tracks of The Kinks were split at random. All scores below are too high.**" in card
    assert "**These scores are too high: tracks of The Kinks were split at random.**" in card
    assert "| test (leaky split) | track |" in card
    assert "artists that it has never heard" in card
    assert "leak" not in model_card(facts)
    assert "No group is in two splits" in model_card(facts)


def test_a_network_that_has_heard_the_music_is_named(facts: RunFacts, tmp_path: Path) -> None:
    assert facts.preparation is not None
    (tmp_path / "prepare.yaml").write_text(facts.preparation.text)
    note = contaminate(tmp_path, feature="log_mel")
    card = model_card(replace(facts, preparation=read_prepare_yaml(str(tmp_path))))
    assert "**A pretrained network of its features has heard this music. All scores below are too high.**" in card
    assert f"**F{plain_text(note)[1:]}.**" in card
    assert "No group is in two splits" not in card


HOSTILE = "---\nlicense: mit\n---\n# x | `y` <script> \u2028: {a: &b *c} \U0001f3b5 'q' \"r\" " + "long " * 60


def test_hostile_names_stay_data(facts: RunFacts) -> None:
    labels = (HOSTILE, "no")
    stats = replace(facts.data.stats, num_segments={"train": {HOSTILE: 3, "no": 2}}, num_tracks={})
    info = replace(facts.data.info, name=HOSTILE)
    card = model_card(replace(facts, data=replace(facts.data, labels=labels, stats=stats, info=info)))
    content = front_matter_of(card)
    assert content["license"] == "unknown"
    (entry,) = content["model-index"]
    assert entry["name"] == f"cnn2d on {' '.join(HOSTILE.split())}"
    assert entry["results"][0]["dataset"]["name"] == " ".join(HOSTILE.split())
    assert re.fullmatch(r"[A-Za-z0-9._-]+", entry["results"][0]["dataset"]["type"])
    body = card.partition("\n---\n")[2]
    assert "<script>" not in body
    assert "\n---\n" not in body
    assert [line for line in body.splitlines() if line.startswith("#")] == [
        line for line in body.splitlines() if re.match(r"#{1,3} ", line)
    ]


def test_a_run_without_scores_says_so(facts: RunFacts) -> None:
    card = model_card(replace(facts, metrics=None, num_groups={}, versions={}, preparation=None))
    assert "model-index" not in front_matter_of(card)
    assert "No split was evaluated" in card
    assert "versions that the run does not record" in card
    assert "where its audio came from is not recorded" in card


def test_the_kind_of_data_set_is_that_of_prepare_yaml(facts: RunFacts) -> None:
    assert facts.preparation is not None
    text = yaml.safe_dump({"config": {"dataset": asdict(CsvDatasetConfig(path="/music/tracks.csv"))}})
    card = model_card(replace(facts, preparation=replace(facts.preparation, text=text)))
    assert "tiny, prepared from `dataset=csv`. Its metadata state no licence" in card
    assert "/music" not in card


def test_pretrained_weights_are_named_with_their_licence(facts: RunFacts) -> None:
    assert "YAMNet" not in model_card(facts)
    assert "YAMNet, under the Apache License 2.0; they were trained on AudioSet." in model_card(
        replace(facts, model_config=YamnetFinetuneConfig())
    )
    transfer = replace(facts, model_config=TransferConfig(backbone="ResNet50V2"))
    assert "started from those of ResNet50V2 in keras.applications" in model_card(transfer)


def test_own_networks_are_named_with_their_hash_and_the_text_of_their_licence(facts: RunFacts) -> None:
    own = EmbeddingConfig(
        path="/nets/eff*net.onnx",
        sample_rate_hz=16_000,
        window_s=2.0,
        license="Not for sale.\n# 2",
        learned_from=["Discogs", "MSD"],
    )

    def card_of(config: EmbeddingConfig) -> str:
        assert facts.preparation is not None
        sources = {"embedding": {"network": "5f" * 32}}
        preparation = replace(facts.preparation, features={"embedding": config}, sources=sources)
        return model_card(
            replace(facts, preparation=preparation, model_config=AttentionPoolConfig(feature="embedding"))
        )

    start = "The feature `embedding` is computed by the network eff&#42;net.onnx (SHA-256 `" + "5f" * 32 + "`). "
    assert card_of(own).endswith(
        f"{start}It was trained on Discogs and the Million Song Dataset. It is under this licence:\n\n"
        "    Not for sale.\n    # 2\n"
    )
    assert card_of(replace(own, license=None, learned_from=[])).endswith(f"{start}Nobody has stated its licence.\n")


def test_train_writes_the_card_and_evaluate_adds_the_scores(finished: TrainConfig) -> None:
    run = Path(finished.run_dir)
    card = (run / CARD_FILE).read_text()
    (entry,) = front_matter_of(card)["model-index"]
    scores = json.loads((run / "metrics.json").read_text())["validation"]
    assert [result["dataset"]["split"] for result in entry["results"]] == ["validation"]
    metric = entry["results"][0]["metrics"][0]
    assert metric["value"] == round(scores["track"]["accuracy"], 4)
    assert "The test split was not evaluated." in card
    versions = json.loads((run / "versions.json").read_text())
    assert versions.keys() == {"beamtune", "tensorflow", "keras", "python"}
    assert f"keras {versions['keras']}" in card

    evaluate(EvaluateConfig(run_dir=finished.run_dir))
    card = (run / CARD_FILE).read_text()
    (entry,) = front_matter_of(card)["model-index"]
    assert [result["dataset"]["split"] for result in entry["results"]] == ["test", "validation"]
    assert "The test split was not evaluated." not in card
    assert "| groups | – | 3 | 2 |" in card  # five and four tracks, two of each artist
    write_model_card(RunDir(finished.run_dir))
    assert (run / CARD_FILE).read_text() == card
    # No path of this machine.
    assert str(run.parent) not in card


def test_evaluating_an_unfinished_run_leaves_the_card_to_the_training(finished: TrainConfig) -> None:
    run = Path(finished.run_dir)
    (run / "_SUCCESS").unlink()
    (run / CARD_FILE).unlink()
    evaluate(EvaluateConfig(run_dir=finished.run_dir))
    assert not (run / CARD_FILE).exists()
    train(finished)
    assert [r["dataset"]["split"] for r in front_matter_of((run / CARD_FILE).read_text())["model-index"][0]["results"]]


def test_a_run_of_an_earlier_version_gets_a_card(finished: TrainConfig) -> None:
    run = Path(finished.run_dir)
    (run / "versions.json").unlink()
    (run / CARD_FILE).unlink()
    write_model_card(RunDir(finished.run_dir))
    assert "versions that the run does not record" in (run / CARD_FILE).read_text()


@pytest.mark.slow
def test_a_run_that_learns_from_validation_has_a_card(make_config: Callable[..., TrainConfig]) -> None:
    config = make_config(epochs=1, learn_from_validation=True, early_stopping_patience_epochs=None)
    train(config)
    assert "No split was evaluated" in (Path(config.run_dir) / CARD_FILE).read_text()
