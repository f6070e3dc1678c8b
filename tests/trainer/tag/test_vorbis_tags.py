"""The comment GENRE of FLAC and Ogg files: all other comments and blocks stay."""

import base64
import io
import struct

import pytest
from audio_bytes import by_libsndfile, music
from raw_tags import flac_blocks, flac_file, id3_frame, id3_tag, ogg_packets, vorbis_comment, vorbis_comments
from tinytag import TinyTag

from beam_pipelines.audio.decode import AudioError
from trainer.tag.formats import read_tags, write_genres

PADDING, APPLICATION, COMMENT, PICTURE = 1, 2, 4, 6
COVER = b"\xff\xd8\xff\xe0" + bytes(range(256)) * 400
COMMENTS = [
    b"TITLE=Gr\xc3\xb6\xc3\x9fe",
    b"title=the second one",
    b"Genre=Rock",
    b"EMPTY=",
    b"A KEY=with = and\nlines",
    b"GENRE=Pop",
    b"METADATA_BLOCK_PICTURE=" + base64.b64encode(COVER),
]
OTHERS = [one for one in COMMENTS if not one.upper().startswith(b"GENRE=")]


def with_genres(data: bytes, *genres: str) -> bytes:
    file = io.BytesIO(data)
    write_genres(file, genres)
    return file.getvalue()


def picture_block() -> bytes:
    mime, name = b"image/jpeg", "Größe".encode()
    return (
        struct.pack(">II", 3, len(mime)) + mime + struct.pack(">I", len(name)) + name
        + struct.pack(">IIIII", 1, 1, 24, 0, len(COVER)) + COVER
    )  # fmt: skip


@pytest.fixture(scope="module")
def flac(untagged: dict[str, bytes]) -> bytes:
    """A FLAC file with blocks of all kinds, in an unusual order."""
    blocks, frames = flac_blocks(untagged["flac"])
    others = [one for one in blocks if one[0] not in (PADDING, COMMENT)]
    extra = [(PICTURE, picture_block()), (COMMENT, vorbis_comment(COMMENTS)), (APPLICATION, b"abcd" + COVER[:99])]
    return flac_file([*others, *extra, (77, b"of a later version"), (PADDING, bytes(200))], frames)


def test_a_flac_file_keeps_its_other_blocks_and_comments(flac: bytes) -> None:
    assert read_tags(io.BytesIO(flac)).genres == ("Rock", "Pop")
    changed = with_genres(flac, "techno", "waltz")
    blocks, frames = flac_blocks(changed)
    old_blocks, old_frames = flac_blocks(flac)
    assert frames == old_frames
    assert [one for one in blocks if one[0] not in (PADDING, COMMENT)] == [
        one for one in old_blocks if one[0] not in (PADDING, COMMENT)
    ]
    vendor, comments = vorbis_comments(dict(blocks)[COMMENT])
    assert vendor == b"a vendor"
    assert [one for one in comments if not one.upper().startswith(b"GENRE=")] == OTHERS
    assert [one for one in comments if one.upper().startswith(b"GENRE=")] == [b"GENRE=techno", b"GENRE=waltz"]
    assert TinyTag.get(file_obj=io.BytesIO(changed)).genre == "techno"


def test_a_flac_file_without_comments_gets_them(flac: bytes) -> None:
    blocks, frames = flac_blocks(flac)
    data = flac_file([one for one in blocks if one[0] != COMMENT], frames)
    assert read_tags(io.BytesIO(data)).genres == ()
    changed, new_frames = flac_blocks(with_genres(data, "techno"))
    assert new_frames == frames
    assert vorbis_comments(dict(changed)[COMMENT])[1] == [b"GENRE=techno"]


def test_id3_tags_around_a_flac_file_stay(flac: bytes) -> None:
    id3v1 = b"TAG" + bytes(125)
    before = id3_tag([id3_frame("TIT2", b"\x00Title")])
    changed = with_genres(before + flac + id3v1, "techno")
    assert changed.startswith(before)
    assert changed.endswith(id3v1)
    assert changed[len(before) : -len(id3v1)] == with_genres(flac, "techno")


@pytest.mark.parametrize(("name", "head"), [("ogg", b"\x03vorbis"), ("opus", b"OpusTags")])
def test_an_ogg_file_keeps_its_other_comments_and_packets(untagged: dict[str, bytes], name: str, head: bytes) -> None:
    data = _with_comments(untagged[name], COMMENTS)
    assert read_tags(io.BytesIO(data)).genres == ("Rock", "Pop")
    changed = with_genres(data, "techno")
    before, after = ogg_packets(data), ogg_packets(changed)
    assert after[0] == before[0] and after[2:] == before[2:]
    assert after[1].startswith(head)
    vendor, comments = vorbis_comments(after[1].removeprefix(head))
    assert vendor == vorbis_comments(before[1].removeprefix(head))[0]
    assert [one for one in comments if not one.upper().startswith(b"GENRE=")] == OTHERS
    assert comments[-1] == b"GENRE=techno"
    assert TinyTag.get(file_obj=io.BytesIO(changed)).genre == "techno"


def _with_comments(data: bytes, comments: list[bytes]) -> bytes:
    """Returns an Ogg file with these comments, which mutagen writes, and the test reads by itself."""
    from mutagen import File

    file = io.BytesIO(data)
    loaded = File(file)
    loaded.tags.clear()
    for comment in comments:
        key, _, value = comment.decode().partition("=")
        loaded.tags.append((key, value))
    file.seek(0)
    loaded.save(file)
    return file.getvalue()


@pytest.mark.parametrize(
    "comment",
    [b"TITLE=Gr\xf6\xdfe", b"no equals sign", b"K\xc3\x84Y=x", b"K\x07Y=x", b"=x"],
    ids=["Latin-1", "no key", "key in UTF-8", "key with a control character", "empty key"],
)
def test_comments_that_would_change_are_refused(flac: bytes, comment: bytes) -> None:
    blocks, frames = flac_blocks(flac)
    changed = [(code, vorbis_comment([*COMMENTS, comment]) if code == COMMENT else one) for code, one in blocks]
    with pytest.raises(AudioError, match=r"its comments are not all KEY=value in UTF-8|its tags cannot be read"):
        read_tags(io.BytesIO(flac_file(changed, frames)))


def test_two_streams_in_one_ogg_file_stay(untagged: dict[str, bytes]) -> None:
    second = by_libsndfile(music(0.3, seed=1), "OGG", "VORBIS")
    changed = with_genres(untagged["ogg"] + second, "techno")
    assert changed.endswith(second)
    assert read_tags(io.BytesIO(changed)).genres == ("techno",)
