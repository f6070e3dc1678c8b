import io

import pytest
import tensorflow as tf

from beam_pipelines.records.tfrecord import write_record

RECORDS = [b"", b"a", b"beamtune" * 1000, bytes(range(256))]


def test_tensorflow_reads_the_same_records(tmp_path):
    path = tmp_path / "x.tfrecord"
    with open(path, "wb") as sink:
        sizes = [write_record(sink, record) for record in RECORDS]
    assert [item.numpy() for item in tf.data.TFRecordDataset(str(path))] == RECORDS
    assert sum(sizes) == path.stat().st_size


def test_the_bytes_are_those_that_tensorflow_writes(tmp_path):
    path = tmp_path / "reference.tfrecord"
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in RECORDS:
            writer.write(record)
    sink = io.BytesIO()
    for record in RECORDS:
        write_record(sink, record)
    assert sink.getvalue() == path.read_bytes()


def test_the_checksum_guards_the_data(tmp_path):
    path = tmp_path / "damaged.tfrecord"
    sink = io.BytesIO()
    write_record(sink, b"beamtune")
    data = bytearray(sink.getvalue())
    data[14] ^= 1
    path.write_bytes(data)
    with pytest.raises(tf.errors.DataLossError):
        list(tf.data.TFRecordDataset(str(path)))
