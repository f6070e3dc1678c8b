import numpy as np
import tensorflow as tf

from beam_pipelines.records.example import encode_example

ARRAY = np.arange(6, dtype=np.float16).reshape(2, 3)


def encode(**changes):
    return encode_example(
        **{
            "track_id": "röck/ä.mp3",
            "segment_index": 7,
            "start_s": 1.5,
            "label": 3,
            "features": {"log_mel": ARRAY},
            **changes,
        }
    )


def test_tensorflow_parses_what_was_encoded():
    example = tf.train.Example.FromString(encode())
    entries = example.features.feature
    assert sorted(entries) == ["label", "log_mel", "segment_index", "start_s", "track_id"]
    assert entries["track_id"].bytes_list.value[0].decode() == "röck/ä.mp3"
    assert list(entries["segment_index"].int64_list.value) == [7]
    assert list(entries["start_s"].float_list.value) == [1.5]
    assert list(entries["label"].int64_list.value) == [3]
    decoded = tf.reshape(tf.io.decode_raw(entries["log_mel"].bytes_list.value[0], tf.float16), ARRAY.shape)
    np.testing.assert_array_equal(decoded, ARRAY)


def test_the_bytes_are_those_of_a_deterministic_tensorflow_example():
    encoded = encode()
    assert tf.train.Example.FromString(encoded).SerializeToString(deterministic=True) == encoded


def test_arrays_are_little_endian_and_contiguous_whatever_they_were():
    big_endian = ARRAY.astype(">f2")
    transposed = np.asfortranarray(ARRAY)
    assert encode(features={"log_mel": big_endian}) == encode()
    assert encode(features={"log_mel": transposed}) == encode()


def test_the_order_of_features_does_not_change_the_bytes():
    one, two = np.ones(2, np.int16), np.zeros(3, np.float32)
    assert encode(features={"a": one, "b": two}) == encode(features={"b": two, "a": one})
