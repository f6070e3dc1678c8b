import io

import pytest
import tensorflow as tf

from beam_pipelines.records.tfrecord import DamagedRecordError, read_records, record_data, write_record

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


def written():
    sink = io.BytesIO()
    for record in RECORDS:
        write_record(sink, record)
    return sink.getvalue()


def test_records_are_read_as_they_were_written():
    assert list(read_records(written())) == RECORDS
    assert list(read_records(b"")) == []


@pytest.mark.parametrize("num_left", range(1, 20))
def test_of_a_truncated_file_the_complete_records_are_read(num_left):
    assert list(read_records(written()[:-num_left])) == RECORDS[:-1]


@pytest.mark.parametrize(("place", "num_read"), [(0, 0), (8, 0), (16, 1), (28, 1), (29, 1)])
def test_records_before_a_damaged_one_are_read(place, num_read):
    """The first record, without data, has 16 bytes; the second one has 17, its data after 12 of its header."""
    content = bytearray(written())
    content[place] ^= 1
    assert list(read_records(bytes(content))) == RECORDS[:num_read]


def test_a_length_that_is_beyond_the_file_is_no_record():
    sink = io.BytesIO()
    write_record(sink, b"x" * 100)
    assert list(read_records(sink.getvalue()[:50])) == []


@pytest.mark.parametrize("record", RECORDS)
def test_the_data_of_one_record(record):
    sink = io.BytesIO()
    write_record(sink, record)
    content = sink.getvalue()
    assert record_data(content) == record
    for place in (0, 9, len(content) - 5, len(content) - 1):
        damaged = bytearray(content)
        damaged[place] ^= 1
        with pytest.raises(DamagedRecordError):
            record_data(bytes(damaged))
    for other in (content[:-1], content + b"x", content[1:], b""):
        with pytest.raises(DamagedRecordError):
            record_data(other)
