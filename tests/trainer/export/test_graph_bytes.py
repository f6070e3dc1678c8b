import tensorflow as tf

from trainer.export.graph_bytes import FileBytes, bits, without_id3v2

TAG = b"ID3\x04\0\0\0\0\x02\x01" + b"x" * 257
TAG_WITH_FOOTER = b"ID3\x04\0\x10\0\0\0\x04" + b"body" + b"3DI\x04\0\x10\0\0\0\x04"


def file_of(data):
    return FileBytes(tf.constant(data), tf.constant(0))


def test_numbers_at_offsets_and_behind_the_end():
    file = file_of(bytes(range(1, 9)))
    assert file.number(tf.constant([0, 6]), num_bytes=2).numpy().tolist() == [0x0102, 0x0708]
    assert file.number(1, num_bytes=4, is_little=True).numpy() == 0x05040302
    assert file.number(7, num_bytes=4).numpy() == 0x08000000
    assert file.number(tf.constant([8, 1 << 30]), num_bytes=7).numpy().tolist() == [0, 0]


def test_words_and_parts():
    file = file_of(b"RIFF\xff\x00")
    assert file.starts_with(b"RIFF") and file.starts_with(b"\xff\0\0\0", 4) and not file.starts_with(b"RIFX")
    assert file.part(4, 6).numpy() == file.part(4, 99).numpy() == b"\xff\x00"
    assert file.part(99, 100).numpy() == file.part(3, 2).numpy() == b""


def test_bits_are_counted_from_the_lowest():
    assert bits(tf.constant(0b1011_0110), at=2, count=3).numpy() == 0b101
    assert bits(tf.constant([0xFFFFFFFF], tf.int64), at=31, count=1).numpy().tolist() == [1]


def test_tags_at_the_start_are_left_out():
    for data in (TAG, TAG_WITH_FOOTER, TAG + TAG_WITH_FOOTER + TAG, b""):
        assert without_id3v2(file_of(data + b"fLaC ID3")).text.numpy() == b"fLaC ID3"


def test_a_tag_that_is_cut_off_leaves_nothing_and_many_tags_end_the_search():
    assert without_id3v2(file_of(TAG[:-1])).text.numpy() == b""
    assert without_id3v2(file_of(b"ID3")).text.numpy() == b""
    empty = b"ID3\x04\0\0\0\0\0\0"
    assert without_id3v2(file_of(empty * 100)).text.numpy() == empty * 36
