"""The events: TensorBoard's own reader finds every figure, audio clip, table and number in them."""

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


def explored(directory, output_dir):
    """Explores a data set and returns the events as TensorBoard reads them."""
    explore(ExploreConfig(data_dir=str(directory), output_dir=str(output_dir)))
    events = EventAccumulator(str(output_dir / "events"), size_guidance={"tensors": 0})
    events.Reload()
    return events


@pytest.fixture(scope="module")
def events(make_track, write_audio, write_data_set_to, tmp_path_factory):
    """The events of a data set with audio, silence and a reject."""
    directory = tmp_path_factory.mktemp("events")
    uri = str(write_audio(directory / "a.wav", sample_rate_hz=8000, duration_s=6.0))
    tracks = [
        make_track("a", label="blues", uri=uri, duration_s=90.0),
        make_track("b", label="blues", uri=uri, duration_s=30.0),
        make_track("c", label="funk", split="test", duration_s=60.0, rms_dbfs=-np.inf),
    ]
    rejects = [Reject("r", "/r", "funk", "train", "decode", "no_audio", "m")]
    return explored(write_data_set_to(directory / "data", tracks, rejects=rejects), directory / "page")


def tensor(events, tag):
    [event] = events.Tensors(tag)
    assert event.step == 0
    return tensor_util.make_ndarray(event.tensor_proto)


def tags_of(events, plugin):
    return sorted(events.PluginTagToContent(plugin))


def test_every_picture_is_an_image(events):
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


def test_examples_are_audio(events):
    assert tags_of(events, "audio") == ["sound/blues"]
    samples, rate_hz = soundfile.read(io.BytesIO(tensor(events, "sound/blues")[0][0]))
    assert (len(samples), rate_hz) == (40_000, 8000)
    assert np.abs(samples).max() > 0.3


def test_counts_are_scalars(events):
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


def test_durations_and_levels_are_histograms(events):
    assert tags_of(events, "histograms") == ["histogram/duration_s", "histogram/peak_dbfs", "histogram/rms_dbfs"]
    durations = tensor(events, "histogram/duration_s")
    assert (durations[0, 0], durations[-1, 1], durations[:, 2].sum()) == (30.0, 90.0, 3)
    assert tensor(events, "histogram/rms_dbfs")[:, 2].sum() == 2  # silence has no level


def test_tables_are_text_without_markup(make_track, write_data_set, tmp_path):
    name = "a|b<script>`\\"
    directory = write_data_set([make_track("a", label=name), make_track("b", label="funk")], split_leak="Leaks.")
    events = explored(directory, tmp_path / "page")
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


def test_a_second_exploration_replaces_the_events_and_keeps_other_files(make_track, write_data_set, tmp_path):
    tracks = [make_track("a"), make_track("b")]
    directory, page = write_data_set(tracks), tmp_path / "page"
    explored(directory, page)
    (page / "events" / "notes.txt").write_text("mine")
    events = explored(write_data_set(tracks[:1], directory_name="smaller"), page)
    assert [event.step for event in events.Tensors("tracks/all")] == [0]
    assert float(tensor(events, "tracks/all")) == 1
    assert (page / "events" / "notes.txt").exists()
