"""The events: TensorBoard's own reader finds every picture, sound, table and number in them."""

import io

import numpy as np
import pytest
import soundfile
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.util import tensor_util

from beam_pipelines.records.json_lines import Reject
from trainer.explore.config import ExploreConfig
from trainer.explore.explore import explore


@pytest.fixture
def events_of(write_data_set, tmp_path):
    """Explores a data set of some tracks and returns what TensorBoard reads of its events."""

    def run(tracks, **options):
        directory = write_data_set(tracks, **options)
        explore(ExploreConfig(data_dir=str(directory), output_dir=str(tmp_path / "page")))
        events = EventAccumulator(str(tmp_path / "page" / "events"), size_guidance={"tensors": 0})
        events.Reload()
        return events

    return run


@pytest.fixture
def tracks(make_track, write_audio, tmp_path):
    uri = str(write_audio(tmp_path / "a.wav", sample_rate_hz=8000, duration_s=6.0))
    return [
        make_track("a", label="blues", uri=uri, duration_s=90.0),
        make_track("b", label="blues", uri=uri, duration_s=30.0),
        make_track("c", label="funk", split="test", duration_s=60.0, rms_dbfs=-np.inf),
    ]


def tensor(events, tag):
    [event] = events.Tensors(tag)
    assert event.step == 0
    return tensor_util.make_ndarray(event.tensor_proto)


def tags_of(events, plugin):
    return sorted(events.PluginTagToContent(plugin))


def test_every_picture_is_an_image(events_of, tracks):
    events = events_of(tracks, rejects=[Reject("r", "/r", "funk", "train", "decode", "no_audio", "m")])
    assert tags_of(events, "images") == [
        "picture/clips",
        "picture/durations",
        "picture/example/blues",
        "picture/groups",
        "picture/log_mel-means",
        "picture/loudness",
        "picture/projection",
        "picture/rejects",
    ]
    for tag in tags_of(events, "images"):
        width, height, png = tensor(events, tag)
        image = Image.open(io.BytesIO(png))
        image.load()
        assert image.format == "PNG"
        assert image.size == (int(width), int(height))


def test_examples_are_audio(events_of, tracks):
    events = events_of(tracks)
    assert tags_of(events, "audio") == ["sound/blues"]
    samples, rate_hz = soundfile.read(io.BytesIO(tensor(events, "sound/blues")[0][0]))
    assert (len(samples), rate_hz) == (40_000, 8000)
    assert np.abs(samples).max() > 0.3


def test_counts_are_scalars(events_of, tracks):
    events = events_of(tracks, rejects=[Reject("r", "/r", "funk", "train", "decode", "no_audio", "m")])
    assert {tag: float(tensor(events, tag)) for tag in tags_of(events, "scalars")} == {
        "tracks/train": 2,
        "tracks/test": 1,
        "tracks/all": 3,
        "segments/train": 4,
        "segments/test": 2,
        "segments/all": 6,
        "minutes/train": 2,
        "minutes/test": 1,
        "minutes/all": 3,
        "groups/train": 2,
        "groups/test": 1,
        "left_out/tracks": 1,
        "duplicates/pairs": 0,
    }


def test_durations_and_levels_are_histograms(events_of, tracks):
    events = events_of(tracks)
    assert tags_of(events, "histograms") == ["histogram/duration_s", "histogram/peak_dbfs", "histogram/rms_dbfs"]
    durations = tensor(events, "histogram/duration_s")
    assert (durations[0, 0], durations[-1, 1], durations[:, 2].sum()) == (30.0, 90.0, 3)
    assert tensor(events, "histogram/rms_dbfs")[:, 2].sum() == 2  # silence has no level


def test_tables_are_text_that_holds_no_markup(events_of, make_track):
    name = "a|b<script>`\\"
    events = events_of([make_track("a", label=name), make_track("b", label="funk")], split_leak="Leaks.")
    names = ("about", "duplicates", "prepare.yaml", "rejects", "tracks")
    assert tags_of(events, "text") == [f"table/{name}" for name in names]
    assert tensor(events, "table/tracks").item().decode().splitlines() == [
        "| genre | train | all |",
        "| --- | --- | --- |",
        "| a&#124;b&lt;script&gt;&#96;&#92; | 1 | 1 |",
        "| funk | 1 | 1 |",
        "| all genres | 2 | 2 |",
    ]
    assert tensor(events, "table/about").item().decode() == "tiny, splits: group, `abc123`\n\n**Leaks.**"
    assert "sample_rate_hz: 8000" in tensor(events, "table/prepare.yaml").item().decode()


def test_a_second_time_replaces_the_events_of_the_first_and_nothing_else(events_of, tracks, tmp_path):
    events_of(tracks)
    (tmp_path / "page" / "events" / "notes.txt").write_text("mine")
    events = events_of(tracks[:2])
    assert [event.step for event in events.Tensors("tracks/all")] == [0]
    assert float(tensor(events, "tracks/all")) == 2
    assert (tmp_path / "page" / "events" / "notes.txt").exists()
