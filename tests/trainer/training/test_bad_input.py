"""Errors about data, runs and settings that do not fit together, after which nothing is left behind."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from lease_process import let_another_be_faster

import trainer.training.components
from beam_pipelines.common.errors import RunFailedError, UserError
from beam_pipelines.common.lease import holding
from beam_pipelines.records import schema
from trainer.data.prepared import open_prepared
from trainer.evaluation.config import EvaluateConfig, PredictConfig
from trainer.evaluation.evaluate import evaluate
from trainer.evaluation.predict import predict
from trainer.metrics.level_metrics import LevelMetrics
from trainer.metrics.predictions import SegmentScores
from trainer.models.architectures.cnn2d import Cnn2dConfig
from trainer.models.architectures.parallel import ParallelConfig
from trainer.runs.checkpoint_index import BEST, find_checkpoint
from trainer.runs.run_dir import RunDir
from trainer.training import train as train_module
from trainer.training.config import OptimizerConfig, TrainConfig
from trainer.training.train import train

MakeConfig = Callable[..., TrainConfig]
WritePrepared = Callable[..., Path]
MakeRows = Callable[..., list[Any]]


def refused(config: TrainConfig) -> str:
    """Returns the error message of a run that is refused before anything is written."""
    with pytest.raises(UserError) as caught:
        train(config)
    assert not Path(config.run_dir).exists()
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_no_such_data(make_config: MakeConfig, tmp_path: Path) -> None:
    message = refused(make_config(data_dir=str(tmp_path / "nowhere")))
    assert f"{tmp_path}/nowhere does not exist" in message


def test_unfinished_data(make_config: MakeConfig, prepared_dir: Path) -> None:
    (prepared_dir / "_SUCCESS").unlink()
    assert f"{prepared_dir} has no _SUCCESS" in refused(make_config())


def test_another_schema_version(make_config: MakeConfig, prepared_dir: Path) -> None:
    (prepared_dir / "_SUCCESS").write_text(json.dumps({"schema_version": 99, "fingerprint": "abc"}))
    assert "prepared with schema version 99, and this beamtune reads version 2" in refused(make_config())


@pytest.mark.parametrize("name", ["dataset_info.json", "features.json", "stats.json"])
def test_damaged_metadata(make_config: MakeConfig, prepared_dir: Path, name: str) -> None:
    (prepared_dir / name).write_text("{")
    assert f"a metadata file in {prepared_dir} is damaged" in refused(make_config())


def test_missing_metadata(make_config: MakeConfig, prepared_dir: Path) -> None:
    (prepared_dir / "stats.json").unlink()
    assert f"{prepared_dir}/stats.json cannot be read" in refused(make_config())


def test_a_missing_feature(make_config: MakeConfig) -> None:
    message = refused(make_config(model=Cnn2dConfig(feature="mfcc")))
    assert "model.feature=mfcc:" in message
    assert "it has log_mel: set model.feature to one of these, or prepare the data again with mfcc" in message


def test_one_missing_feature_of_several(make_config: MakeConfig) -> None:
    message = refused(make_config(model=ParallelConfig(features=["log_mel", "mfcc"])))
    assert "model.features=log_mel,mfcc:" in message
    assert "has no feature mfcc, it has log_mel: set model.features to some of these, or prepare" in message


@pytest.mark.parametrize("split", ["train", "validation"])
def test_a_split_without_examples(make_config: MakeConfig, prepared_dir: Path, make_rows: MakeRows, split: str) -> None:
    info = open_prepared(str(prepared_dir)).info
    emptied = tuple(replace(part, shard_lengths=(0, 0, 0)) if part.name == split else part for part in info.splits)
    (prepared_dir / "dataset_info.json").write_text(schema.info_to_json(replace(info, splits=emptied)))
    assert f"split {split} of {prepared_dir} has no examples" in refused(make_config())


def test_a_missing_shard(make_config: MakeConfig, prepared_dir: Path) -> None:
    shard = prepared_dir / "tiny-train.tfrecord-00001-of-00003"
    shard.unlink()
    assert f"{shard} is missing" in refused(make_config())


def test_one_genre_only(make_config: MakeConfig, write_prepared: WritePrepared, make_rows: MakeRows) -> None:
    directory = write_prepared({"train": make_rows("train", num_tracks=4, labels=(1,))}, directory_name="one_genre")
    message = refused(make_config(data_dir=str(directory)))
    assert f"the train split of {directory} has examples of funk only: a classifier needs at least 2" in message


def test_a_run_directory_that_cannot_be_written(make_config: MakeConfig, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert f"run_dir={tmp_path}/file/run cannot be written" in refused_at(make_config(run_dir=f"{tmp_path}/file/run"))


def refused_at(config: TrainConfig) -> str:
    with pytest.raises(UserError) as caught:
        train(config)
    return str(caught.value)


def test_a_run_with_other_settings(finished: TrainConfig) -> None:
    changed = replace(finished, epochs=2, optimizer=OptimizerConfig(learning_rate=0.5))
    message = refused_at(changed)
    assert f"run_dir={changed.run_dir} is a run with other settings" in message
    assert "epochs was 3 and is 2; optimizer.learning_rate was 0.01 and is 0.5): choose another run_dir" in message


def test_another_compilation_of_a_run_that_was_interrupted(finished: TrainConfig) -> None:
    """It would change the last bits of the weights."""
    (Path(finished.run_dir) / "_SUCCESS").unlink()
    assert "(jit_compile was auto and is true): choose another run_dir" in refused_at(
        replace(finished, jit_compile=True)
    )


def test_data_that_were_prepared_again(finished: TrainConfig, write_prepared: WritePrepared) -> None:
    (Path(finished.run_dir) / "_SUCCESS").unlink()
    write_prepared(cache_key="other")
    assert "was prepared again with other content since run_dir=" in refused_at(finished)


def test_a_run_of_0_1_0_without_cache_is_not_continued(finished: TrainConfig) -> None:
    run_dir = Path(finished.run_dir)
    config = yaml.safe_load((run_dir / "config.yaml").read_text())
    (run_dir / "config.yaml").write_text(yaml.safe_dump({**config, "cache": False}))
    (run_dir / "standardization.yaml").unlink()  # 0.1.0 did not write it
    train(replace(finished, cache=False))  # it is finished
    (run_dir / "_SUCCESS").unlink()
    message = refused_at(replace(finished, cache=False))
    assert message == (
        f"run_dir={run_dir} was started by beamtune 0.1.0 with cache=false, where examples had another order: train it "
        "again in another run_dir, or resume it with beamtune 0.1.0"
    )


def test_evaluate_and_predict_without_a_run(tmp_path: Path) -> None:
    run_dir = str(tmp_path / "nothing")
    with pytest.raises(UserError, match=f"{run_dir} does not exist: expected the run_dir"):
        evaluate(EvaluateConfig(run_dir=run_dir))
    with pytest.raises(UserError, match=f"{run_dir} does not exist: expected the run_dir"):
        predict(run_dir, ["a.mp3"], config=PredictConfig(), output_format="table")


def nan_data(write_prepared: WritePrepared, make_rows: MakeRows) -> str:
    rows = make_rows("train", num_tracks=10)
    rows[4] = replace(rows[4], values=np.full_like(rows[4].values, np.nan))
    directory = write_prepared({"train": rows}, directory_name="nan")
    # Statistics with NaN would affect every step; these are of valid values.
    stats = schema.stats_from_json((write_prepared(directory_name="sound") / "stats.json").read_text())
    (directory / "stats.json").write_text(schema.stats_to_json(stats))
    return str(directory)


def test_a_loss_that_is_not_finite(make_config: MakeConfig, write_prepared: WritePrepared, make_rows: MakeRows) -> None:
    config = make_config(data_dir=nan_data(write_prepared, make_rows))
    with pytest.raises(RunFailedError, match=r"the loss is not a finite number at step [1-4] \(epoch 1\): lower"):
        train(config)
    run = Path(config.run_dir)
    assert not (run / "_SUCCESS").exists() and not (run / "metrics.json").exists()
    for command in (
        lambda: evaluate(EvaluateConfig(run_dir=config.run_dir)),
        lambda: predict(config.run_dir, ["a.mp3"], config=PredictConfig(), output_format="table"),
    ):
        with pytest.raises(UserError, match=f"{run} has no checkpoint yet"):
            command()


def test_a_validation_loss_that_is_not_finite(make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    real_metrics_by_level = trainer.training.components.metrics_by_level

    def metrics_by_level(scores: SegmentScores) -> dict[str, LevelMetrics]:
        return real_metrics_by_level(scores._replace(logits=scores.logits * np.float32("nan")))

    monkeypatch.setattr(trainer.training.components, "metrics_by_level", metrics_by_level)
    config = make_config()
    with pytest.raises(RunFailedError, match="the validation loss is not a finite number after epoch 1"):
        train(config)
    assert not (Path(config.run_dir) / "checkpoints").exists()


@pytest.mark.parametrize("split", ["train", "validation"])
def test_a_truncated_shard(make_config: MakeConfig, prepared_dir: Path, split: str) -> None:
    shard = prepared_dir / f"tiny-{split}.tfrecord-00001-of-00003"
    shard.write_bytes(shard.read_bytes()[:-10])
    with pytest.raises(RunFailedError, match=f"{shard} is damaged or truncated"):
        train(make_config())


def test_a_damaged_checkpoint(finished: TrainConfig) -> None:
    best = find_checkpoint(RunDir(finished.run_dir).checkpoint_dir, BEST)
    assert best is not None
    data_file = Path(f"{best}.data-00000-of-00001")
    data_file.write_bytes(data_file.read_bytes()[:100])
    with pytest.raises(RunFailedError, match=f"{best} cannot be restored"):
        evaluate(EvaluateConfig(run_dir=finished.run_dir))


def test_a_run_that_another_command_trains(make_config: MakeConfig) -> None:
    config = make_config()
    with holding(config.run_dir, key="run_dir"), pytest.raises(UserError, match="is in use by another command"):
        train(config)


def test_a_run_that_another_command_has_started_with_other_settings(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = make_config()
    other = replace(config, seed=config.seed + 1)
    data = open_prepared(config.data_dir)
    let_another_be_faster(train_module, lambda: RunDir(other.run_dir).start(other, data), monkeypatch=monkeypatch)
    with pytest.raises(UserError, match=r"is a run with other settings .seed was \d+ and is \d+.: choose another"):
        train(config)


def test_a_folder_that_holds_something_else_is_left_alone(
    make_config: MakeConfig, prepared_dir: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other data"
    shutil.copytree(prepared_dir, other)
    before = {path.name: path.read_bytes() for path in other.iterdir()}
    message = refused_at(make_config(run_dir=str(other)))
    assert message.startswith(f"run_dir={other} is not empty and holds no run (")
    assert message.endswith("): choose another run_dir")
    assert {path.name: path.read_bytes() for path in other.iterdir()} == before


def test_examples_that_do_not_fit_into_memory(make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer.training.components, "available_memory_bytes", lambda: 1_000)
    assert "cache=true: the examples of the train and validation splits take" in refused(make_config())


def test_without_cache_no_memory_is_needed(make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer.training.components, "available_memory_bytes", lambda: 1_000)
    train(make_config(cache=False, epochs=1))
