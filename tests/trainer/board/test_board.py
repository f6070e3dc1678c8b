"""The events of a real run: every tag, step and value, and nothing twice after an interruption."""

import csv
import io
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from event_reader import read_events
from google.protobuf import text_format
from interrupted_saves import fail_after_saves
from PIL import Image
from tensorboard.plugins.projector import ProjectorConfig

import trainer.board.board
import trainer.training.train
from beam_pipelines.common.errors import UserError
from trainer.board.config import BoardConfig
from trainer.board.pictures import confusion_png
from trainer.evaluation.config import EvaluateConfig
from trainer.evaluation.evaluate import evaluate
from trainer.metrics.metrics import softmax
from trainer.runs.restored_model import load_best_model
from trainer.runs.run_dir import RunDir
from trainer.training.config import OptimizerConfig
from trainer.training.train import train

GRAPH = "__run_graph__"
LABELS = ["blues", "funk", "waltz"]
TIMES = tuple(
    f"training/{name}"
    for name in ("examples_per_s", "step_time_ms", "time/input_wait_ms", "time/compute_ms", "time/input_wait_share")
)
STEPS_PER_EPOCH = 4  # 30 segments in batches of 8


def rows_of(path: Path) -> list[list[str]]:
    return list(csv.reader(io.StringIO(path.read_text()), delimiter="\t", quoting=csv.QUOTE_NONE))


class InterruptedRunError(Exception):
    """Simulates the end of a process."""


def test_the_scores_of_each_epoch_are_written(finished):
    run = Path(finished.run_dir)
    train_events, validation = read_events(run / "train"), read_events(run / "validation")
    epoch_steps = [STEPS_PER_EPOCH * epoch for epoch in (1, 2, 3)]
    assert {tag: [step for step, _ in values] for tag, values in train_events.items() if tag != GRAPH} == dict.fromkeys(
        [
            "segment/loss",
            "segment/accuracy",
            "training/minimized_loss",
            "training/learning_rate",
            "training/gradient_norm",
            *TIMES,
        ],
        epoch_steps,
    )
    levels = ("segment", "track", "track_vote")
    names = ("accuracy", "other/balanced_accuracy", "macro_f1")
    expected = {f"{level}/{name}" for level in levels for name in names}
    expected |= {f"{level}/{name}" for level in levels[:2] for name in ("loss", "other/expected_calibration_error")}
    expected |= {f"track_f1/{label}" for label in LABELS}
    assert {tag for tag in validation if tag.split("/")[0] in (*levels, "track_f1")} == expected
    for tag in expected - {f"track_f1/{label}" for label in LABELS}:
        assert [step for step, _ in validation[tag]] == epoch_steps, tag
    for (_, duration_ms), (_, rate) in zip(*(train_events[tag] for tag in (TIMES[1], TIMES[0])), strict=True):
        assert duration_ms * rate == pytest.approx(8 * 1000, rel=1e-4)


def test_the_confusion_of_each_epoch_is_drawn(finished):
    events = read_events(Path(finished.run_dir) / "validation")
    pictures = events["track_confusion/each_epoch"]
    assert [step for step, _ in pictures] == [4, 8, 12]
    for _, (width, height, png) in pictures:
        image = Image.open(io.BytesIO(png))
        image.load()
        assert image.size == (int(width), int(height))
    metrics = json.loads((Path(finished.run_dir) / "metrics.json").read_text())
    best_step = read_events(Path(finished.run_dir))["track/accuracy"][0][0]
    drawn = {step: value[2] for step, value in pictures}[best_step]
    assert drawn == confusion_png(metrics["validation"]["track"]["confusion_matrix"], LABELS)
    [(step, (_, _, png))] = events["track_confusion/best_weights"]
    assert (step, png) == (best_step, drawn)


def test_a_confusion_matrix_that_stays_is_drawn_once(make_config, monkeypatch):
    drawn = []
    monkeypatch.setattr(
        trainer.board.board, "confusion_png", lambda *parts: drawn.append(parts) or confusion_png(*parts)
    )
    config = make_config(
        epochs=3,
        board=BoardConfig(num_spectrograms=0, num_mistakes=0, num_embeddings=0),
        optimizer=OptimizerConfig(learning_rate=1e-9),
    )
    train(config)
    pictures = read_events(Path(config.run_dir) / "validation")
    pngs = [value[2] for _, value in pictures["track_confusion/each_epoch"] + pictures["track_confusion/best_weights"]]
    assert pngs == [confusion_png(*drawn[0])] * 4
    assert len(drawn) == 1


def test_the_best_weights_are_a_row_of_settings_and_scores(finished):
    run = Path(finished.run_dir)
    events = read_events(run)
    metrics = json.loads((run / "metrics.json").read_text())["validation"]
    names = json.loads((run / "checkpoints" / "checkpoints.json").read_text())
    best_step = STEPS_PER_EPOCH * int(names["best"].split("-")[1])
    for tag in ("track/accuracy", "track/other/balanced_accuracy", "track/macro_f1", "track/loss", "segment/accuracy"):
        level, *_, name = tag.split("/")
        assert events[tag] == [(best_step, np.float32(metrics[level][name]))]
    assert {"_hparams_/experiment", "_hparams_/session_start_info", "_hparams_/session_end_info"} <= set(events)
    [(step, config)] = events["config"]
    assert step == 0 and "learning_rate: 0.01" in config.item().decode()
    [(step, card)] = events["data"]
    assert step == 0 and "| all genres | 0 (30) | 0 (15) | 0 (12) |" in card.item().decode()


def test_the_graph_is_written(finished):
    [(_, graph)] = read_events(Path(finished.run_dir) / "train")[GRAPH]
    names = [node.name for node in tf.compat.v1.GraphDef.FromString(graph[0]).node]
    assert "log_mel" in " ".join(names) and any("logits" in name for name in names)


def test_each_genre_has_spectrograms(finished):
    events = read_events(Path(finished.run_dir) / "validation")
    tags = [tag for tag in events if tag.startswith("track_segments/")]
    assert sorted(tags) == [f"track_segments/{label}" for label in LABELS]
    for tag in tags:
        [(_, (width, height, png))] = events[tag]
        assert Image.open(io.BytesIO(png)).size == (int(width), int(height))


def test_embeddings_are_the_inputs_of_the_logits(finished):
    run = Path(finished.run_dir)
    header, *rows = rows_of(run / "validation" / "embeddings-metadata.tsv")
    vectors = np.loadtxt(run / "validation" / "embeddings.tsv", delimiter="\t")
    assert header == ["genre", "predicted as", "p", "track", "start in s"]
    assert vectors.shape == (15, finished.model.hidden_units)
    layer = load_best_model(RunDir(finished.run_dir), strategy=tf.distribute.get_strategy()).get_layer("logits")
    temperature = json.loads((run / "calibration.json").read_text())["segment"]
    probabilities = softmax((vectors @ layer.kernel.numpy() + layer.bias.numpy()) / temperature)
    assert [LABELS[index] for index in probabilities.argmax(axis=1)] == [row[1] for row in rows]
    np.testing.assert_allclose(probabilities.max(axis=1), [float(row[2]) for row in rows], atol=1e-3)
    # Tracks of the data are of the genres in turn, and have three segments each, half a second apart.
    assert sorted((row[3], row[4], row[0]) for row in rows) == sorted(
        (f"validation{track}.mp3", f"{0.5 * segment:.2f}", LABELS[track % 3])
        for track in range(5)
        for segment in range(3)
    )
    config = text_format.Parse((run / "validation" / "projector_config.pbtxt").read_text(), ProjectorConfig())
    assert {(one.tensor_path, one.metadata_path) for one in config.embeddings} == {
        ("embeddings.tsv", "embeddings-metadata.tsv")
    }
    pictures = {one.tensor_name: one.sprite.image_path for one in config.embeddings}
    # The projector opens the first in the order of the alphabet.
    assert sorted(pictures) == ["by genre", "by prediction", "embeddings"]
    assert pictures["embeddings"] == ""
    for name, column in (("by genre", 0), ("by prediction", 1)):
        dots = np.asarray(Image.open(run / "validation" / pictures[name]))
        centres = dots[8::16, 8::16].reshape(-1, 4)[: len(rows)]
        colors = {tuple(center): row[column] for center, row in zip(centres.tolist(), rows, strict=True)}
        assert sorted(colors.values()) == sorted({row[column] for row in rows})
        assert [colors[tuple(center)] for center in centres.tolist()] == [row[column] for row in rows]


def test_the_test_split_has_points_until_the_run_is_trained_further(finished):
    run = Path(finished.run_dir)
    for _ in range(2):  # the second evaluation replaces the first
        levels = evaluate(EvaluateConfig(run_dir=finished.run_dir, split="test"))
    events = read_events(run / "test")
    best_step = read_events(run)["track/accuracy"][0][0]
    assert events["track/accuracy"] == [(best_step, np.float32(levels["track"].accuracy))]
    assert events["segment/loss"] == [(best_step, np.float32(levels["segment"].loss))]
    [(step, (_, _, png))] = events["track_confusion/best_weights"]
    assert (step, png) == (best_step, confusion_png(levels["track"].confusion_matrix, LABELS))
    [(_, text)] = events["scores"]
    interval = levels["track"].intervals["accuracy"]
    score = f"{levels['track'].accuracy:.3f} &#91;{interval.low:.2f}, {interval.high:.2f}&#93;"
    assert any(line.startswith("| accuracy |") and score in line for line in text.item().decode().splitlines())
    folders = sorted(path.name for path in run.iterdir() if path.is_dir())
    evaluate(EvaluateConfig(run_dir=finished.run_dir, split="train"))  # it has curves: there is no other folder
    assert sorted(path.name for path in run.iterdir() if path.is_dir()) == folders
    (run / "_SUCCESS").unlink()
    train(finished)
    assert read_events(run / "test") == {}


def test_mistakes_without_audio_have_a_reason_in_the_text(make_config):
    # One epoch with hardly any steps: some of the five tracks are taken for others.
    config = make_config(epochs=1, optimizer=replace(make_config().optimizer, learning_rate=1e-6))
    train(config)
    run = Path(config.run_dir)
    matrix = np.array(json.loads((run / "metrics.json").read_text())["validation"]["track"]["confusion_matrix"])
    num_wrong = int(matrix.sum() - np.trace(matrix))
    assert num_wrong > 0
    events = read_events(run / "validation")
    assert not [tag for tag in events if tag.startswith("mistake/")]
    [(_, text)] = events["mistakes"]
    lines = text.item().decode().splitlines()
    assert len(lines) == 2 + num_wrong
    assert all("none: /music/validation" in line for line in lines[2:])


def test_disabled_parts_are_not_written(make_config):
    config = make_config(
        epochs=1,
        board=BoardConfig(confusion_matrix=False, num_spectrograms=0, num_mistakes=0, num_embeddings=0),
    )
    train(config)
    run = Path(config.run_dir)
    tags = set(read_events(run / "validation"))
    assert not [
        tag for tag in tags if tag.split("/")[0] in ("track_confusion", "track_segments", "mistake", "mistakes")
    ]
    assert "track/accuracy" in tags
    assert not list(run.rglob("*.tsv"))


def test_the_settings_of_the_board_do_not_change_the_weights(finished, make_config, tmp_path):
    config = make_config(
        run_dir=str(tmp_path / "plain"),
        board=BoardConfig(
            confusion_matrix=False, num_spectrograms=0, num_mistakes=0, num_embeddings=0, profile_steps=[2, 7]
        ),
    )
    train(config)
    assert list((tmp_path / "plain" / "train").glob("plugins/profile/*/*.xplane.pb"))
    name = "predictions-validation.csv"
    assert (tmp_path / "plain" / name).read_bytes() == (Path(finished.run_dir) / name).read_bytes()


def test_the_settings_of_the_board_may_change_when_a_run_resumes(finished):
    (Path(finished.run_dir) / "_SUCCESS").unlink()
    train(replace(finished, board=BoardConfig(num_embeddings=4)))
    assert len(rows_of(Path(finished.run_dir) / "validation" / "embeddings.tsv")) == 4


def values_of(run_dir: str) -> dict[tuple[str, str], Any]:
    """Returns all events of a run; only the steps of those with times, paths and names of layers."""
    content = {}
    for name in (".", "train", "validation"):
        for tag, values in read_events(Path(run_dir) / name).items():
            if tag in TIMES or tag.startswith("_hparams_") or tag in ("config", GRAPH):
                content[name, tag] = [step for step, _ in values]
            else:
                content[name, tag] = [(step, np.asarray(value).tolist()) for step, value in values]
    return content


@pytest.mark.slow
@pytest.mark.parametrize("num_saves", [pytest.param(0, marks=pytest.mark.exhaustive), 2])
def test_a_run_interrupted_around_a_checkpoint_has_all_events_once(
    finished, make_config, tmp_path, monkeypatch, num_saves
):
    interrupted = make_config(run_dir=str(tmp_path / "interrupted"), board=BoardConfig())
    with monkeypatch.context() as patch, pytest.raises(InterruptedRunError):
        fail_after_saves(num_saves, InterruptedRunError(), patch)
        train(interrupted)
    train(interrupted)
    assert values_of(interrupted.run_dir) == values_of(finished.run_dir)


def test_a_run_interrupted_at_its_end_has_all_events_once(finished, tmp_path, monkeypatch):
    interrupted = replace(finished, run_dir=str(tmp_path / "interrupted"), board=BoardConfig())
    shutil.copytree(finished.run_dir, interrupted.run_dir)
    (tmp_path / "interrupted" / "_SUCCESS").unlink()

    def interrupt(*_args, **_options):
        raise InterruptedRunError

    with monkeypatch.context() as patch, pytest.raises(InterruptedRunError):
        patch.setattr("trainer.board.board.write_projector", interrupt)
        train(interrupted)
    train(interrupted)
    assert values_of(interrupted.run_dir) == values_of(finished.run_dir)


def test_data_with_a_damaged_prepare_yaml_are_an_error_before_the_first_step(make_config, prepared_dir, monkeypatch):
    (prepared_dir / "prepare.yaml").write_text("fingerprint: abc\n")
    monkeypatch.setattr(trainer.training.train.EpochLoop, "run", lambda *_: pytest.fail("it was trained"))
    with pytest.raises(UserError, match=r"prepare.yaml is damaged"):
        train(make_config())
