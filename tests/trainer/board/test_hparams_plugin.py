"""The row of a run in the table of HParams, parsed with TensorBoard's own functions."""

from dataclasses import replace

import numpy as np
import pytest
from tensorboard.plugins.hparams import api_pb2
from tensorboard.plugins.hparams import metadata as hparams_metadata

from trainer.board.hparams_plugin import (
    SCORES,
    best_scores,
    end_summary,
    experiment_summary,
    settings_of,
    shown_value,
    start_summary,
)
from trainer.board.tags import scalar_tag
from trainer.data.prepared import open_prepared
from trainer.devices.config import StrategyConfig
from trainer.metrics.metrics import classification_metrics


@pytest.fixture
def settings(make_config, prepared_dir):
    return settings_of(make_config(ema_decay=None), open_prepared(str(prepared_dir)))


def content_of(summary):
    [value] = summary.value
    return value.metadata.plugin_data.content


def test_settings_are_those_that_change_the_weights(settings, make_config, prepared_dir):
    assert settings["data"] == "tiny"
    assert settings["split"] == "group"
    assert settings["model.filters"] == "[8, 8]"
    assert settings["optimizer.learning_rate"] == 0.01
    assert settings["model.center_bands"] is True
    assert settings["ema_decay"] is None
    left_out = ("run_dir", "data_dir", "strategy", "board", "cache", "steps_per_call", "checkpoint_interval_s")
    assert not [key for key in settings if key.split(".")[0] in left_out]
    # The settings do not depend on the devices and the directory.
    moved = make_config(run_dir="elsewhere", strategy=StrategyConfig(kind="mirrored"), cache=False, steps_per_call=1)
    assert settings_of(moved, open_prepared(str(prepared_dir))) == settings


def test_the_settings_of_a_run_have_types_and_no_nulls(settings):
    info = hparams_metadata.parse_session_start_info_plugin_data(content_of(start_summary(settings)))
    assert info.group_name == ""  # TensorBoard then shows the name of its folder
    assert info.hparams["model.filters"].string_value == "[8, 8]"
    # TensorBoard shows the number 3 as 3.0000, and sorts texts by their characters.
    assert info.hparams["epochs"].string_value == f"{'3':>12}"
    assert info.hparams["optimizer.learning_rate"].number_value == 0.01
    assert info.hparams["model.center_bands"].bool_value is True
    assert "ema_decay" not in info.hparams
    assert set(info.hparams) == {key for key, value in settings.items() if value is not None}


def test_the_columns_are_all_settings_and_the_scores(settings):
    experiment = hparams_metadata.parse_experiment_plugin_data(content_of(experiment_summary(settings)))
    types = {info.name: info.type for info in experiment.hparam_infos}
    assert set(types) == set(settings)
    assert types["model.filters"] == types["data"] == api_pb2.DATA_TYPE_STRING
    assert types["model.center_bands"] == api_pb2.DATA_TYPE_BOOL
    assert types["epochs"] == api_pb2.DATA_TYPE_STRING
    assert types["ema_decay"] == api_pb2.DATA_TYPE_FLOAT64
    first = {info.name for info in experiment.hparam_infos if info.differs}
    assert first == {"data", "model.feature", "model.name", "optimizer.learning_rate", "seed"}
    assert [(info.name.group, info.name.tag, info.display_name) for info in experiment.metric_infos] == [
        ("", "track/accuracy", "track/accuracy"),
        ("", "track/other/balanced_accuracy", "track/balanced_accuracy"),
        ("", "track/macro_f1", "track/macro_f1"),
        ("", "track/loss", "track/loss"),
        ("", "segment/accuracy", "segment/accuracy"),
        ("test", "track/accuracy", "test/track/accuracy"),
    ]


def test_whole_numbers_are_texts_in_their_order():
    values = [8, 128, 16, 0]
    texts = [shown_value(value) for value in values]
    assert [text.strip() for text in texts] == ["8", "128", "16", "0"]
    assert sorted(texts) == [shown_value(value) for value in sorted(values)]
    assert [shown_value(value) for value in (0.5, True, "adam")] == [0.5, True, "adam"]


def test_the_end_has_the_status_of_success():
    info = hparams_metadata.parse_session_end_info_plugin_data(content_of(end_summary()))
    assert info.status == api_pb2.STATUS_SUCCESS


def test_scores_are_those_of_tracks_and_one_of_segments():
    segments = classification_metrics(np.array([[0.9, 0.1], [0.8, 0.2]]), np.array([0, 1]))
    tracks = classification_metrics(np.array([[0.2, 0.8]]), np.array([1]))
    scores = best_scores({"segment": segments, "track": tracks, "track_vote": replace(tracks, loss=None)})
    assert tuple(scores) == tuple(map(scalar_tag, SCORES))
    assert scores["track/accuracy"] == 1.0
    assert scores["segment/accuracy"] == 0.5
    assert scores["track/loss"] == pytest.approx(-np.log(0.8))
    assert "track/loss" not in best_scores({"segment": segments, "track": replace(tracks, loss=None)})
