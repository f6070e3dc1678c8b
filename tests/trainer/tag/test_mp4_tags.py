"""The genre atom of MP4 files: all other atoms stay."""

import io
import struct

import pytest
from raw_tags import box, boxes, item, items, with_items
from tinytag import TinyTag

from beam_pipelines.audio.decode import AudioError
from trainer.tag.formats import read_tags, write_genres

COVER = b"\xff\xd8\xff\xe0" + bytes(range(256)) * 300
OTHERS = [
    item(b"\xa9nam", "Größe ラ".encode()),
    item(b"\xa9ART", b"An artist"),
    item(b"trkn", struct.pack(">4H", 0, 3, 12, 0), kind=0),
    item(b"tmpo", struct.pack(">H", 120), kind=21),
    item(b"cpil", b"\x01", kind=21),
    item(b"xabc", b"\x00\x01\xff no text", kind=0),
    item(b"covr", COVER, kind=13),
    box(
        b"----",
        box(b"mean", bytes(4), b"com.apple.iTunes"),
        box(b"name", bytes(4), b"MOOD"),
        box(b"data", struct.pack(">II", 1, 0), b"calm"),
    ),
    box(b"zzzz", b"no data box inside"),
]


def with_genres(data: bytes, *genres: str) -> bytes:
    file = io.BytesIO(data)
    write_genres(file, genres)
    return file.getvalue()


@pytest.mark.parametrize(
    ("old", "genres"),
    [
        ([], ()),
        ([item(b"\xa9gen", b"Rock")], ("Rock",)),
        ([item(b"gnre", struct.pack(">H", 18), kind=0)], ("Rock",)),
        (
            [box(b"\xa9gen", *(box(b"data", struct.pack(">II", 1, 0), one) for one in (b"Rock", b"Pop")))],
            ("Rock", "Pop"),
        ),
    ],
    ids=["none", "text", "number", "two"],
)
def test_other_atoms_keep_their_bytes(m4a_bytes: bytes, old: list[bytes], genres: tuple[str, ...]) -> None:
    data = with_items(m4a_bytes, [*OTHERS[:3], *old, *OTHERS[3:]])
    assert read_tags(io.BytesIO(data)).genres == genres
    changed = with_genres(data, "techno")
    assert sorted(items(changed)) == sorted([*OTHERS, item(b"\xa9gen", b"techno")])
    assert TinyTag.get(file_obj=io.BytesIO(changed)).genre == "techno"
    # The box of the samples, and the order of the boxes.
    assert dict(boxes(changed))[b"mdat"] == dict(boxes(data))[b"mdat"]
    assert [name for name, _ in boxes(changed)] == [name for name, _ in boxes(data)]
    assert sorted(items(with_genres(changed))) == sorted(OTHERS)


def test_a_file_without_tags_gets_them(m4a_bytes: bytes) -> None:
    *before, (name, moov) = boxes(m4a_bytes)
    data = b"".join(box(*one) for one in before) + box(name, *(box(*one) for one in boxes(moov) if one[0] != b"udta"))
    assert read_tags(io.BytesIO(data)).genres == ()
    changed = with_genres(data, "techno")
    assert items(changed) == [item(b"\xa9gen", b"techno")]


def test_a_file_that_ends_inside_of_its_tags_is_refused(m4a_bytes: bytes) -> None:
    with pytest.raises(AudioError, match="its tags cannot be read"):
        read_tags(io.BytesIO(with_items(m4a_bytes, OTHERS)[:-50]))


def test_a_damaged_box_keeps_its_bytes(m4a_bytes: bytes) -> None:
    damaged = box(b"trkn", b"\x7f\xff\xff\xffdata" + bytes(16))
    data = with_items(m4a_bytes, [*OTHERS[3:], damaged])
    assert sorted(items(with_genres(data, "techno"))) == sorted([*OTHERS[3:], damaged, item(b"\xa9gen", b"techno")])
