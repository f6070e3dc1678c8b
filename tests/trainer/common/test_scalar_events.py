"""Scalars of event files: those that TensorFlow writes, and of damaged files those before the damage."""

from pathlib import Path

import tensorflow as tf

from trainer.common.event_files import EventFile
from trainer.common.scalar_events import read_scalars

PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01"


def write(directory: Path, values: dict[str, dict[int, float]]) -> Path:
    with EventFile(str(directory)) as events:
        events.text("note", "no scalar", step=1)
        events.image("picture", PNG, step=1)
        events.histogram("many", [1.0, 2.0], step=1)
        for tag, of_tag in values.items():
            for step, value in of_tag.items():
                events.scalar(tag, value, step=step)
    [path] = directory.glob("*tfevents*")
    return path


def test_scalars_are_those_that_tensorflow_has_written(tmp_path: Path) -> None:
    values = {"a/loss": {2: 0.5, 4: 0.25}, "übung": {3: -1.0}}
    write(tmp_path, values)
    assert read_scalars(str(tmp_path)) == values


def test_the_last_value_of_a_step_counts_and_steps_ascend(tmp_path: Path) -> None:
    with EventFile(str(tmp_path)) as events:
        for step, value in ((4, 1.0), (2, 2.0), (4, 3.0)):
            events.scalar("a", value, step=step)
    found = read_scalars(str(tmp_path))["a"]
    assert list(found.items()) == [(2, 2.0), (4, 3.0)]


def test_scalars_of_tensorflow_1_are_read(tmp_path: Path) -> None:
    with tf.io.TFRecordWriter(str(tmp_path / "events.out.tfevents.1.host")) as sink:
        summary = tf.compat.v1.Summary(value=[tf.compat.v1.Summary.Value(tag="a", simple_value=0.5)])
        sink.write(tf.compat.v1.Event(step=7, summary=summary).SerializeToString())
        sink.write(b"\xff\xff no event")
    assert read_scalars(str(tmp_path)) == {"a": {7: 0.5}}


def test_a_damaged_file_gives_what_is_before_the_damage(tmp_path: Path) -> None:
    path = write(tmp_path, {"a": {step: float(step) for step in range(1, 6)}})
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    assert list(read_scalars(str(tmp_path))["a"]) == [1, 2, 3, 4]
    path.write_bytes(content[:-10] + b"\x00" + content[-9:])
    assert list(read_scalars(str(tmp_path))["a"]) == [1, 2, 3, 4]
    path.write_bytes(b"\x00" * 100)
    assert read_scalars(str(tmp_path)) == {}


def test_there_are_none_without_a_folder(tmp_path: Path) -> None:
    assert read_scalars(str(tmp_path / "absent")) == {}
