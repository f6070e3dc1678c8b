"""Principal components inside of a model: fitted to the train split before the first step, and saved with it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checkpoint_values import assert_same_checkpoints
from sklearn.decomposition import PCA

from beam_pipelines.common.errors import RunFailedError, UserError
from beam_pipelines.records.schema import TRAIN
from trainer.data.prepared import find_shards, open_prepared
from trainer.devices.config import StrategyConfig
from trainer.devices.strategy import make_strategy
from trainer.models.architectures.attention_pool import AttentionPoolConfig
from trainer.models.registry import build_model
from trainer.runs.restored_model import load_best_model
from trainer.runs.run_dir import RunDir
from trainer.training.config import TrainConfig
from trainer.training.projections import fit_projections
from trainer.training.train import train

# Frames of a spectrogram take the place of embeddings, which need the weights of another network.
MODEL = AttentionPoolConfig(feature="log_mel", units=8, attention_units=4, pca=6, whiten=True)


def fitted(directory: Path, model_config: AttentionPoolConfig = MODEL) -> Any:
    """Returns a new model with the projection that belongs to the train split of a data set."""
    data = open_prepared(str(directory))
    model = build_model(model_config, specs=data.specs, stats=data.stats.features, num_classes=3)
    fit_projections(model, find_shards(data, TRAIN), specs=data.specs)
    return model


def weights_of(model: Any) -> list[np.ndarray]:
    return [np.asarray(weight) for weight in model.get_layer("project_log_mel").get_weights()]


@pytest.mark.parametrize("whiten", [False, True])
def test_the_projection_is_that_of_scikit_learn(prepared_dir, make_rows, whiten):
    rows = make_rows(TRAIN, num_tracks=10)
    values = np.concatenate([row.values for row in rows]).astype(np.float64)
    standardised = np.clip((values - values.mean(axis=0)) / values.std(axis=0), -5, 5)
    expected = PCA(6, whiten=whiten, svd_solver="full").fit(standardised)
    mean, projection = weights_of(fitted(prepared_dir, replace(MODEL, whiten=whiten)))
    found = (standardised - mean) @ projection
    np.testing.assert_allclose(found, expected.transform(standardised), rtol=1e-5, atol=1e-5)


def test_other_splits_have_no_part_in_it(write_prepared, make_rows):
    expected = weights_of(fitted(write_prepared()))
    others = {split: make_rows(split, num_tracks=4, seed=9) for split in ("validation", "test")}
    found = weights_of(fitted(write_prepared(others, directory_name="others")))
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_it_has_no_trained_weights(prepared_dir):
    model = fitted(prepared_dir)
    layer = model.get_layer("project_log_mel")
    assert layer.trainable_variables == []
    assert model.count_params() - sum(np.size(weight) for weight in model.trainable_variables) == 16 + 16 * 6


def test_a_model_without_projection_reads_nothing(prepared_dir):
    data = open_prepared(str(prepared_dir))
    plain = replace(MODEL, pca=None, whiten=False)
    model = build_model(plain, specs=data.specs, stats=data.stats.features, num_classes=3)
    fit_projections(model, [replace(find_shards(data, TRAIN)[0], path="absent")], specs=data.specs)


def test_too_few_vectors_are_an_error_that_starts_no_run(make_config, write_prepared, make_rows):
    # Of two genres, 2 · 8 vectors, which vary in 15 directions.
    of_two_tracks = [row for row in make_rows(TRAIN, num_tracks=2) if row.segment_index == 0]
    directory = write_prepared({TRAIN: of_two_tracks}, directory_name="few", num_shards=1)
    config = make_config(data_dir=str(directory), model=replace(MODEL, pca=16))
    with pytest.raises(UserError, match=r"^model.pca=16: expected at most 15 components with model.whiten=true"):
        train(config)
    assert not RunDir(config.run_dir).is_started()


def test_a_damaged_shard_is_named(prepared_dir):
    shard = prepared_dir / "tiny-train.tfrecord-00001-of-00003"
    shard.write_bytes(shard.read_bytes()[:-7])
    with pytest.raises(RunFailedError, match="tiny-train.tfrecord-00001-of-00003 is damaged or truncated"):
        fitted(prepared_dir)


@pytest.mark.slow
def test_a_run_keeps_it_and_a_resumed_run_is_the_same(
    make_config: Callable[..., TrainConfig], prepared_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    straight = make_config(model=MODEL, epochs=2, run_dir=str(tmp_path / "straight"))
    train(straight)
    model = load_best_model(RunDir(straight.run_dir), strategy=make_strategy(StrategyConfig()))
    stats = RunDir(straight.run_dir).band_stats(open_prepared(str(prepared_dir)))
    data = open_prepared(str(prepared_dir))
    fresh = build_model(MODEL, specs=data.specs, stats=stats, num_classes=3)
    fit_projections(fresh, find_shards(data, TRAIN), specs=data.specs)
    for found, expected in zip(weights_of(model), weights_of(fresh), strict=True):
        np.testing.assert_array_equal(found, expected)

    resumed = replace(straight, run_dir=str(tmp_path / "resumed"))
    train(resumed, until_epoch=1)
    # It comes from the checkpoint: nothing is fitted again.
    monkeypatch.setattr("trainer.training.components.fit_projections", None)
    (Path(resumed.run_dir) / "_SUCCESS").unlink()
    train(resumed)
    assert_same_checkpoints(straight.run_dir, resumed.run_dir)
