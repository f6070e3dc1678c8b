"""Event files: read back with TensorBoard's reader, and events that are removed."""

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
import tensorflow as tf
from event_reader import read_events
from gcs.fixture import Gcs
from PIL import Image
from tensorboard.plugins.audio import metadata as audio_metadata
from tensorboard.plugins.image import metadata as image_metadata

from beam_pipelines.audio.encode import encode_wav
from trainer.common import files
from trainer.common.event_files import EventFile, remove_event_files, remove_events_after


def png_of(width: int, height: int) -> bytes:
    sink = io.BytesIO()
    Image.fromarray(np.full((height, width, 3), 7, dtype=np.uint8)).save(sink, format="png")
    return sink.getvalue()


def metadata_of(directory: Path, tag: str):
    [path] = directory.glob("*tfevents*")
    for event in tf.compat.v1.train.summary_iterator(str(path)):
        for value in event.summary.value:
            if value.tag == tag:
                return value.metadata
    raise AssertionError(f"no {tag}")


def write_steps(directory: Path, steps: range, *, suffix: str = ".v2") -> Path:
    before = set(directory.glob("*")) if directory.exists() else set()
    with EventFile(str(directory), suffix=suffix) as events:
        for step in steps:
            events.scalar("loss", step / 10, step=step)
            events.text("note", f"step {step}", step=step)
    [path] = set(directory.glob("*")) - before
    return path


def steps_of(directory: Path) -> dict[str, list[int]]:
    return {tag: [step for step, _ in values] for tag, values in read_events(directory).items()}


def test_scalars_and_texts_are_read_back(tmp_path):
    write_steps(tmp_path, range(2))
    assert read_events(tmp_path) == {
        "loss": [(0, np.float32(0.0)), (1, np.float32(0.1))],
        "note": [(0, np.array(b"step 0", dtype=object)), (1, np.array(b"step 1", dtype=object))],
    }


def test_an_image_is_stored_unchanged_with_its_size_and_title(tmp_path):
    png = png_of(31, 17)
    with EventFile(str(tmp_path)) as events:
        events.image("confusion", png, step=4, title="of tracks")
    [(step, value)] = read_events(tmp_path)["confusion"]
    assert (step, list(value)) == (4, [b"31", b"17", png])
    metadata = metadata_of(tmp_path, "confusion")
    assert (metadata.plugin_data.plugin_name, metadata.display_name) == (image_metadata.PLUGIN_NAME, "of tracks")


def test_audio_is_stored_unchanged_with_its_title(tmp_path):
    samples = np.array([0.5, -0.25, 0.0], dtype=np.float32)
    wav = encode_wav(samples, sample_rate_hz=8000)
    with EventFile(str(tmp_path)) as events:
        events.audio("mistake/01", wav, step=4, title="labelled a, predicted as b")
    [(step, value)] = read_events(tmp_path)["mistake/01"]
    assert (step, value.shape) == (4, (1,))
    decoded, rate_hz = soundfile.read(io.BytesIO(value[0]), dtype="float32")
    assert rate_hz == 8000
    np.testing.assert_array_equal(decoded, samples)
    metadata = metadata_of(tmp_path, "mistake/01")
    assert metadata.plugin_data.plugin_name == audio_metadata.PLUGIN_NAME
    assert metadata.display_name == "labelled a, predicted as b"


@pytest.mark.parametrize("name", ["events", "[odd] *? {name}"])
def test_later_steps_are_removed_from_all_files_and_earlier_ones_are_kept(tmp_path, name):
    directory = tmp_path / name
    write_steps(directory, range(6))
    write_steps(directory, range(4, 9))
    (directory / "notes.txt").write_text("mine")
    names = {path.name for path in directory.iterdir()}
    remove_events_after(str(directory), step=4)
    assert steps_of(directory) == {tag: [0, 1, 2, 3, 4, 4] for tag in ("loss", "note")}
    assert {path.name for path in directory.iterdir()} == names
    # What is written on, TensorBoard reads as one curve.
    write_steps(directory, range(5, 7))
    assert steps_of(directory)["loss"] == [0, 1, 2, 3, 4, 4, 5, 6]


def test_a_file_without_later_steps_is_not_rewritten(tmp_path):
    path = write_steps(tmp_path, range(4))
    before = (path.read_bytes(), path.stat().st_mtime_ns)
    remove_events_after(str(tmp_path), step=3)
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before


def test_a_truncated_file_keeps_its_complete_records(tmp_path):
    path = write_steps(tmp_path, range(6))
    path.write_bytes(path.read_bytes()[:-5])  # the last text
    remove_events_after(str(tmp_path), step=3)
    assert steps_of(tmp_path) == {"loss": [0, 1, 2, 3], "note": [0, 1, 2, 3]}


def test_an_empty_file_is_not_rewritten(tmp_path):
    path = tmp_path / "events.out.tfevents.1.host"
    path.write_bytes(b"")
    remove_events_after(str(tmp_path), step=3)
    assert path.read_bytes() == b""


def test_an_interrupted_removal_loses_nothing(tmp_path, monkeypatch):
    write_steps(tmp_path, range(6))

    def end(*_args, **_options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(files, "replace", end)
        remove_events_after(str(tmp_path), step=3)
    assert steps_of(tmp_path)["loss"] == [0, 1, 2, 3, 4, 5]
    remove_events_after(str(tmp_path), step=3)
    assert steps_of(tmp_path)["loss"] == [0, 1, 2, 3]
    assert len(list(tmp_path.iterdir())) == 1


def test_only_event_files_with_the_suffix_are_removed(tmp_path):
    kept = write_steps(tmp_path, range(1), suffix=".v2")
    ended = write_steps(tmp_path, range(1), suffix=".end.v2")
    (tmp_path / "notes.end.v2").write_text("mine")
    remove_event_files(str(tmp_path), suffix=".end.v2")
    assert (kept.exists(), ended.exists()) == (True, False)
    remove_event_files(str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["notes.end.v2"]


def test_a_missing_directory_is_ignored(tmp_path):
    remove_event_files(str(tmp_path / "absent"))
    remove_events_after(str(tmp_path / "absent"), step=1)
    assert not (tmp_path / "absent").exists()


def test_in_a_bucket_each_flush_writes_a_file_of_its_own(gcs_here: Gcs, tmp_path: Path) -> None:
    with EventFile(f"{gcs_here.url}/run", suffix=".epochs.v2") as events:
        for epoch in range(12):
            events.scalar("loss", epoch / 10, step=10 * epoch)
            events.scalar("accuracy", 0.5, step=10 * epoch)
            events.flush()
            events.flush()  # of nothing
            written = gcs_here.contents("run")
            assert len(written) == epoch + 1
    assert gcs_here.contents("run") == written
    # In the order of their names, in which TensorBoard reads them.
    steps = {tag: [10 * epoch for epoch in range(12)] for tag in ("loss", "accuracy")}
    assert steps_of(gcs_here.download(tmp_path, "run")) == steps
    assert len({len(content) // 20 for content in written.values()}) == 1  # files do not grow
    assert all(name.endswith(".epochs.v2") for name in written)


def test_in_a_bucket_an_error_uploads_nothing_more(gcs_here: Gcs) -> None:
    """The bucket may be away, and a run that resumes writes these events again."""
    with pytest.raises(ZeroDivisionError), EventFile(gcs_here.url) as events:
        events.scalar("loss", 0.0, step=1)
        raise ZeroDivisionError
    assert gcs_here.contents() == {}


def test_in_a_bucket_files_of_later_steps_are_removed_unread(gcs_here: Gcs, tmp_path: Path) -> None:
    with EventFile(gcs_here.url) as events:
        for steps in ((1, 2), (3, 4), (5, 6)):
            for step in steps:
                events.scalar("loss", 0.0, step=step)
            events.flush()
    first, middle, last = sorted(gcs_here.contents())
    kept = gcs_here.read(first)
    for unread in (first, last):
        gcs_here.write(unread, b"damaged")
    remove_events_after(gcs_here.url, step=3)
    gcs_here.write(first, kept)
    assert sorted(gcs_here.contents()) == [first, middle]
    assert steps_of(gcs_here.download(tmp_path)) == {"loss": [1, 2, 3]}
