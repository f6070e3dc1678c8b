"""The settings and the description of the data set as text."""

from dataclasses import replace

import pytest
import yaml

from beam_pipelines.records.schema import DatasetInfo, DatasetStats
from trainer.board.texts import config_text, data_card, split_text
from trainer.data.prepared import PreparedData

STATS = DatasetStats(
    split_source="group",
    split_leak=None,
    audio_s={"train": 5400.0, "test": 90.0},
    num_tracks={"train": {"a|b": 3, "c": 1}, "test": {"c": 2}},
    num_segments={"train": {"a|b": 30, "c": 10}, "validation": {}, "test": {"a|b": 0, "c": 20}},
    features={},
)


@pytest.fixture
def data():
    info = DatasetInfo(name="mine", splits=())
    return PreparedData(path="p", cache_key="f0", info=info, specs={}, labels=("a|b", "c"), stats=STATS)


def test_the_description_counts_tracks_and_segments_of_each_genre_and_hours(data):
    assert data_card(data).splitlines() == [
        "mine, `f0`",
        "",
        "split: group",
        "",
        "| tracks (segments) | train | test |",
        "| --- | --- | --- |",
        "| a&#124;b | 3 (30) | 0 (0) |",
        "| c | 1 (10) | 2 (20) |",
        "| all genres | 4 (40) | 2 (20) |",
        "| audio in segments | 1.50 h | 0.03 h |",
    ]


def test_a_leak_is_in_the_text(data):
    leaky = replace(data, stats=replace(STATS, split_source="random", split_leak="artists are on two *sides*"))
    text = "split: random\n\n**Leaky: scores are too high.** artists are on two &#42;sides&#42;"
    assert split_text(leaky) == text
    assert text in data_card(leaky)


def test_the_text_has_all_settings_as_in_the_file(make_config):
    config = make_config(run_dir="runs/größer *x*")
    lines = config_text(config).splitlines()
    assert all(line.startswith("    ") for line in lines)
    settings = yaml.safe_load("\n".join(line[4:] for line in lines))
    assert (settings["run_dir"], settings["model"]["filters"]) == ("runs/größer *x*", [8, 8])
