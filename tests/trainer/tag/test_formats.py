"""Genres in files of every format, read again by another library, and files of other formats."""

import io

import av
import numpy as np
import pytest
from audio_bytes import by_ffmpeg, by_libsndfile, music
from raw_tags import with_moov_first
from tinytag import TinyTag

from beam_pipelines.audio.decode import AudioError
from trainer.tag.formats import read_tags, write_genres

GENRES = ("techno", "Drum/Bass", "Schläger ラ")
FORMATS = ("mp3", "wav", "aiff", "flac", "ogg", "opus", "oga", "m4a")


def with_genres(data: bytes, *genres: str) -> bytes:
    file = io.BytesIO(data)
    write_genres(file, genres)
    return file.getvalue()


def genres_by_tinytag(data: bytes) -> list[str]:
    tags = TinyTag.get(file_obj=io.BytesIO(data))
    return [] if tags.genre is None else [tags.genre, *tags.other.get("genre", [])]


def decoded(data: bytes) -> list[bytes]:
    with av.open(io.BytesIO(data)) as container:
        return [frame.to_ndarray().tobytes() for frame in container.decode(audio=0)]


@pytest.mark.parametrize("name", FORMATS)
def test_genres_are_written_replaced_and_removed(untagged: dict[str, bytes], name: str) -> None:
    data = untagged[name]
    assert read_tags(io.BytesIO(data)).genres == ()
    assert genres_by_tinytag(data) == []
    first = with_genres(data, *GENRES)
    assert read_tags(io.BytesIO(first)).genres == GENRES
    assert genres_by_tinytag(first) == list(GENRES)
    second = with_genres(first, "waltz")
    assert read_tags(io.BytesIO(second)).genres == ("waltz",)
    assert genres_by_tinytag(second) == ["waltz"]
    removed = with_genres(second)
    assert read_tags(io.BytesIO(removed)).genres == ()
    assert genres_by_tinytag(removed) == []
    samples = decoded(data)
    assert np.frombuffer(b"".join(samples), np.uint8).any()
    for changed in (first, second, removed):
        assert decoded(changed) == samples
        assert read_tags(io.BytesIO(changed)).others == read_tags(io.BytesIO(data)).others


@pytest.mark.parametrize("name", ["mp3", "wav", "aiff"])
def test_an_id3_tag_that_would_be_empty_is_removed(untagged: dict[str, bytes], name: str) -> None:
    assert with_genres(with_genres(untagged[name], "techno")) == untagged[name]


@pytest.mark.parametrize(
    ("container", "codec"), [("ipod", "alac"), ("mp4", "aac"), ("aiff", "pcm_mulaw"), ("mp2", "mp2"), ("wav", "mp3")]
)
def test_other_codecs_in_these_formats(container: str, codec: str) -> None:
    data = by_ffmpeg(music(0.3), container, codec)
    changed = with_genres(data, "techno")
    assert genres_by_tinytag(changed) == ["techno"]
    assert decoded(changed) == decoded(data)


@pytest.mark.parametrize("is_fragmented", [False, True])
def test_mp4_files_whose_tags_are_in_front_of_the_samples(m4a_bytes: bytes, is_fragmented: bool) -> None:
    """Other boxes hold offsets into the file, which change."""
    fragments = by_ffmpeg(music(0.3), "mp4", "aac", options={"movflags": "frag_keyframe+empty_moov"})
    data = fragments if is_fragmented else with_moov_first(m4a_bytes)
    assert data.index(b"moov") < data.index(b"mdat")
    changed = with_genres(data, "techno")
    assert read_tags(io.BytesIO(changed)).genres == ("techno",)
    assert decoded(changed) == decoded(data)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no audio at all " * 100,
        b"ID3\x04\x00\x00\x00\x00\x00\x00" + bytes(1000),
        bytes(1000),
        b"OggS" + bytes(1000),
        b"FORM\0\0\0\x04AIFF",
        b"RIFF\x04\0\0\0WAVE",
        b"fLaC",
        bytes(4) + b"ftypM4A " + bytes(100),
    ],
    ids=["empty", "text", "only a tag", "zeros", "ogg", "aiff", "wav", "flac", "mp4"],
)
def test_what_is_no_music_is_one_line(data: bytes) -> None:
    with pytest.raises(AudioError) as caught:
        read_tags(io.BytesIO(data))
    assert caught.value.message.startswith("its tags ") or "PyAV" not in caught.value.message
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    ("container", "codec"), [("asf", "wmav2"), ("adts", "aac"), ("wv", "wavpack"), ("tta", "tta"), ("matroska", "flac")]
)
def test_formats_whose_tags_are_not_written(container: str, codec: str) -> None:
    with pytest.raises(AudioError, match="its tags are not written: expected one of mp3, MP4"):
        read_tags(io.BytesIO(by_ffmpeg(music(0.3), container, codec)))


def test_au_files_have_no_tags() -> None:
    with pytest.raises(AudioError, match="its tags are not written"):
        read_tags(io.BytesIO(by_libsndfile(music(0.3), "AU", "PCM_16")))
