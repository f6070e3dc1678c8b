"""The frame TCON in ID3 tags: all other bytes stay."""

import io
import struct

import pytest
from audio_bytes import by_libsndfile, music
from raw_tags import behind_id3, chunks, id3_frame, id3_frames, id3_tag, synchsafe, unsynchronised, with_chunk
from tinytag import TinyTag

from beam_pipelines.audio.decode import AudioError
from trainer.tag.formats import read_tags, write_genres

PICTURE = b"\xff\xd8\xff\xe0\xff\x00\xff\xfe" + bytes(range(256)) * 3
APIC = b"\x00image/jpeg\0\x03cover\0" + PICTURE
ID3V1 = b"TAG" + b"A title".ljust(30, b"\0") + b"An artist".ljust(30, b"\0") + bytes(64) + bytes([5])


def frames_of_all_kinds(version: int) -> list[bytes]:
    """Text in each encoding, a picture, two comments with one name, frames no library knows, and flags."""
    return [
        id3_frame("TIT2", b"\x00Title", version=version),
        id3_frame("TPE1", b"\x01" + "Größe ラ".encode("utf-16"), version=version),
        id3_frame("TYER", b"\x001999", version=version, flags=0x4000),
        id3_frame("COMM", b"\x00eng\0one", version=version),
        id3_frame("COMM", b"\x00eng\0two", version=version),
        id3_frame("TXXX", b"\x00MOOD\0calm", version=version),
        id3_frame("TXXX", b"\x00MOOD\0again", version=version),
        id3_frame("XABC", b"unknown \x00\xff\xfe", version=version),
        id3_frame("TALB", b"\x09an encoding that does not exist", version=version),
        id3_frame("POPM", b"me@example.com\0\xff", version=version),
        id3_frame("APIC", APIC, version=version),
        id3_frame("APIC", APIC[:200], version=version),
        id3_frame("PRIV", b"owner\0" + bytes(range(256)), version=version),
    ]


def with_genres(data: bytes, *genres: str) -> bytes:
    file = io.BytesIO(data)
    write_genres(file, genres)
    return file.getvalue()


def genre_content(data: bytes) -> bytes:
    [frame] = [frame for frame in id3_frames(data) if frame.startswith(b"TCON")]
    return frame[10:]


@pytest.mark.parametrize("version", [3, 4])
@pytest.mark.parametrize("padding", [0, 500])
def test_other_frames_keep_their_bytes_and_their_order(mp3_bytes: bytes, version: int, padding: int) -> None:
    frames = frames_of_all_kinds(version)
    for old in ([], [id3_frame("TCON", b"\x00(17)", version=version)]):
        data = id3_tag([*frames[:4], *old, *frames[4:]], version=version, padding=padding) + mp3_bytes
        assert read_tags(io.BytesIO(data)).genres == (("Rock",) if old else ())
        changed = with_genres(data, "techno")
        assert changed[:5] == data[:5]  # the version
        assert [frame for frame in id3_frames(changed) if not frame.startswith(b"TCON")] == frames
        assert genre_content(changed).rstrip(b"\0") in (b"\x00techno", b"\x03techno")
        assert behind_id3(changed) == mp3_bytes
        assert TinyTag.get(file_obj=io.BytesIO(changed)).genre == "techno"


@pytest.mark.parametrize(
    ("content", "genres"),
    [
        (b"\x00Rock", ("Rock",)),
        (b"\x0017", ("Rock",)),
        (b"\x00(17)(4)", ("Rock", "Disco")),
        (b"\x00(31)Acid Trance", ("Trance", "Acid Trance")),
        (b"\x03Rock\0Pop", ("Rock", "Pop")),
        (b"\x01" + "Größe".encode("utf-16") + b"\0\0", ("Größe",)),
        (b"\x00", ()),
    ],
)
def test_ways_to_write_a_genre(mp3_bytes: bytes, content: bytes, genres: tuple[str, ...]) -> None:
    data = id3_tag([id3_frame("TCON", content, version=3)], version=3) + mp3_bytes
    assert read_tags(io.BytesIO(data)).genres == genres


@pytest.mark.parametrize(
    ("version", "genre", "content"),
    [
        (4, "Größe", b"\x03" + "Größe".encode()),
        (3, "Blues", b"\x00Blues"),
        (3, "Größe", b"\x01" + "Größe".encode("utf-16")),
    ],
)
def test_the_encoding_is_one_of_the_version(mp3_bytes: bytes, version: int, genre: str, content: bytes) -> None:
    data = id3_tag([id3_frame("TIT2", b"\x00Title", version=version)], version=version) + mp3_bytes
    assert genre_content(with_genres(data, genre)).rstrip(b"\0") == content.rstrip(b"\0")


def test_several_frames_become_one(mp3_bytes: bytes) -> None:
    frames = [id3_frame("TCON", b"\x00Rock"), id3_frame("TIT2", b"\x00Title"), id3_frame("TCON", b"\x00Pop")]
    data = id3_tag(frames) + mp3_bytes
    assert read_tags(io.BytesIO(data)).genres == ("Rock", "Pop")
    changed = id3_frames(with_genres(data, "techno"))
    assert sorted(frame[:4] for frame in changed) == [b"TCON", b"TIT2"]


def test_a_tag_of_version_2_3_in_which_bytes_are_escaped_is_written_without(mp3_bytes: bytes) -> None:
    frames = frames_of_all_kinds(3)
    escaped = unsynchronised(b"".join(frames))
    data = b"ID3\x03\x00\x80" + synchsafe(len(escaped)) + escaped + mp3_bytes
    changed = with_genres(data, "techno")
    assert changed[5] == 0
    assert [frame for frame in id3_frames(changed) if not frame.startswith(b"TCON")] == frames


def test_frames_of_version_2_4_that_only_the_tag_says_to_be_escaped_say_so_themselves(mp3_bytes: bytes) -> None:
    escaped = unsynchronised(APIC)
    frames = [id3_frame("TIT2", b"\x03Title"), id3_frame("APIC", escaped)]
    changed = with_genres(id3_tag(frames, flags=0x80) + mp3_bytes, "techno")
    assert changed[5] == 0
    assert [frame for frame in id3_frames(changed) if not frame.startswith(b"TCON")] == [
        id3_frame("TIT2", b"\x03Title", flags=0x02),
        id3_frame("APIC", escaped, flags=0x02),
    ]
    assert read_tags(io.BytesIO(changed)).genres == ("techno",)


def test_sizes_of_frames_as_old_versions_of_itunes_wrote_them(mp3_bytes: bytes) -> None:
    picture = b"APIC" + struct.pack(">IH", len(APIC), 0) + APIC  # not synchsafe, in a tag of version 2.4
    frames = [id3_frame("TIT2", b"\x00Title"), picture, id3_frame("TCON", b"\x00Rock"), id3_frame("TPE1", b"\x00A")]
    data = id3_tag(frames, padding=100) + mp3_bytes
    assert read_tags(io.BytesIO(data)).genres == ("Rock",)
    changed = with_genres(data, "techno")
    tag = changed[: len(changed) - len(mp3_bytes)]
    assert changed.endswith(mp3_bytes)
    assert [tag.count(frame) for frame in frames] == [1, 1, 0, 1]


@pytest.mark.parametrize(
    ("tag", "message"),
    [
        (
            b"ID3\x02\x00\x00" + synchsafe(9) + b"TT2\0\0\x03\0ab",
            "its tag is ID3v2.2, which is not written: convert it to ID3v2.3 or ID3v2.4 first",
        ),
        (
            id3_tag([id3_frame("TIT2", b"\x00Title")], padding=20)[:-3] + b"abc",
            "its ID3 tag holds bytes in no valid frame, which would be lost",
        ),
        (
            id3_tag([id3_frame("TIT2", b"\x00Title"), id3_frame("TPE1", b""), id3_frame("TALB", b"\x00Album")]),
            "its ID3 tag holds bytes in no valid frame, which would be lost",
        ),
        (
            id3_tag([id3_frame("TIT2", b"\x00Title"), b"\xc3\xa4bc" + synchsafe(2) + b"\0\0ab"]),
            "its ID3 tag holds bytes in no valid frame, which would be lost",
        ),
        (
            id3_tag([id3_frame("TIT2", b"\x00Title")], flags=0x10) + b"3DI\x04\x00\x10" + synchsafe(16),
            "its ID3 tag has a footer, which would stay in front of the audio",
        ),
        (b"ID3\x09\x00\x00" + synchsafe(20) + bytes(20), "its tags cannot be read: "),
    ],
    ids=["version 2.2", "junk behind", "empty frame", "bad name", "footer", "version 2.9"],
)
def test_a_tag_that_cannot_be_kept_is_refused(mp3_bytes: bytes, tag: bytes, message: str) -> None:
    with pytest.raises(AudioError) as caught:
        read_tags(io.BytesIO(tag + mp3_bytes))
    assert caught.value.message.startswith(message)


def test_an_id3v1_tag_stays_and_its_genre_counts_where_there_is_no_other(mp3_bytes: bytes) -> None:
    data = mp3_bytes + ID3V1
    assert read_tags(io.BytesIO(data)).genres == ("Funk",)
    changed = with_genres(data, "techno")
    assert read_tags(io.BytesIO(changed)).genres == ("techno",)
    assert behind_id3(changed) == data
    assert with_genres(changed) == data
    assert read_tags(io.BytesIO(mp3_bytes + ID3V1[:-1] + b"\xff")).genres == ()


def test_an_ape_tag_stays(mp3_bytes: bytes) -> None:
    value = b"-3.4 dB"
    item = struct.pack("<II", len(value), 0) + b"REPLAYGAIN_TRACK_GAIN\0" + value

    def part(flags: int) -> bytes:
        return b"APETAGEX" + struct.pack("<IIII", 2000, len(item) + 32, 1, flags) + bytes(8)

    data = mp3_bytes + part(0xA0000000) + item + part(0x80000000) + ID3V1
    assert behind_id3(with_genres(data, "techno")) == data


@pytest.mark.parametrize(("audio_format", "name"), [("WAV", b"id3 "), ("WAV", b"ID3 "), ("AIFF", b"ID3 ")])
def test_chunks(audio_format: str, name: bytes) -> None:
    plain = with_chunk(by_libsndfile(music(0.3), audio_format, "PCM_16"), b"abcd", b"odd")
    frames = frames_of_all_kinds(3)
    data = with_chunk(with_chunk(plain, name, id3_tag(frames, version=3)), b"last", b"more")
    changed = chunks(with_genres(data, "techno"))
    [tag] = [content for one, content in changed if one.upper() == b"ID3 "]
    assert [frame for frame in id3_frames(tag) if not frame.startswith(b"TCON")] == frames
    assert genre_content(tag).rstrip(b"\0") == b"\x00techno"
    assert [one for one in changed if one[0].upper() != b"ID3 "] == [*chunks(plain), (b"last", b"more")]


@pytest.mark.parametrize("audio_format", ["WAV", "AIFF"])
def test_a_file_that_is_cut_cannot_get_a_chunk_and_one_with_more_behind_can(audio_format: str) -> None:
    data = by_libsndfile(music(0.3), audio_format, "PCM_16")
    for cut in (data[: len(data) // 2], data[:-1]):
        with pytest.raises(AudioError, match="it is cut, or states a wrong size, so that no tag can be added"):
            read_tags(io.BytesIO(cut))
    changed = with_genres(data + b"something behind", "techno")
    assert changed.endswith(b"something behind")
    assert chunks(changed.removesuffix(b"something behind"))[:-1] == chunks(data)


@pytest.mark.parametrize(("audio_format", "name"), [("WAV", b"id3 "), ("AIFF", b"ID3 ")])
def test_a_chunk_that_is_no_tag_is_not_replaced(audio_format: str, name: bytes) -> None:
    data = with_chunk(by_libsndfile(music(0.3), audio_format, "PCM_16"), name, b"not a tag at all")
    with pytest.raises(AudioError, match="its ID3 chunk cannot be read"):
        read_tags(io.BytesIO(data))
