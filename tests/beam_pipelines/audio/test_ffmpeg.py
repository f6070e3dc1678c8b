"""The tags of files; tests/beam_pipelines/audio/test_choose_decoder.py tests what FFmpeg decodes."""

import io
import struct

import pytest
import soundfile
from audio_bytes import by_ffmpeg, by_libsndfile, id3v1_artist, id3v2, id3v2_artist, mp3, music

from beam_pipelines.audio.decode import AudioError
from beam_pipelines.audio.ffmpeg import read_tags

MONO = music(0.5, rate_hz=48_000)
MP3 = mp3(MONO, rate_hz=48_000)


def tags_of(data: bytes) -> dict[str, str]:
    return read_tags(io.BytesIO(data))


@pytest.mark.parametrize(
    ("container", "codec"),
    [
        *(("mp3", "libmp3lame"), ("flac", "flac"), ("ogg", "libopus"), ("ogg", "flac")),
        *(("ipod", "aac"), ("mp4", "aac"), ("wav", "pcm_s16le"), ("asf", "wmav2"), ("matroska", "flac")),
        *(("webm", "libopus"), ("wv", "wavpack"), ("caf", "pcm_s16be"), ("au", "pcm_s16be")),
    ],
)
def test_the_artist_of_every_container(container, codec):
    data = by_ffmpeg(MONO, container, codec, rate_hz=48_000, tags={"artist": "Sigur Rós"})
    assert tags_of(data)["artist"] == "Sigur Rós"


def test_the_artist_of_ogg_vorbis():
    file = io.BytesIO()
    with soundfile.SoundFile(file, "w", 48_000, 1, "VORBIS", format="OGG") as ogg:
        ogg.artist = "Sigur Rós"
        ogg.write(MONO)
    assert tags_of(file.getvalue())["artist"] == "Sigur Rós"


def test_the_artist_of_an_album_has_one_name():
    for container, codec in (("mp3", "libmp3lame"), ("flac", "flac"), ("ogg", "libopus"), ("ipod", "aac")):
        data = by_ffmpeg(MONO, container, codec, rate_hz=48_000, tags={"album_artist": "Queen"})
        assert tags_of(data)["album_artist"] == "Queen"


def test_id3_in_aiff():
    tag = id3v2_artist("Sigur Rós")
    aiff = by_libsndfile(MONO, "AIFF", rate_hz=48_000) + b"ID3 " + struct.pack(">I", len(tag)) + tag
    aiff = aiff[:4] + struct.pack(">I", len(aiff) - 8) + aiff[8:]
    assert tags_of(aiff)["artist"] == "Sigur Rós"


def test_text_that_is_not_utf_8_is_latin_1():
    assert tags_of(MP3 + id3v1_artist("Sigur Rós"))["artist"] == "Sigur Rós"


def test_utf_16_of_id3v2():
    assert tags_of(id3v2_artist("Кино") + MP3)["artist"] == "Кино"


def test_files_without_tags():
    assert "artist" not in tags_of(MP3)
    assert "artist" not in tags_of(by_libsndfile(MONO, "WAV", rate_hz=48_000))


def test_at_most_16_mib_of_a_file_are_read():
    class Counted(io.BytesIO):
        num_read = 0

        def read(self, num_bytes=-1):
            data = super().read(num_bytes)
            self.num_read += len(data)
            return data

    cover_bytes = 40 << 20
    cover = b"APIC" + struct.pack(">IH", cover_bytes, 0) + b"\0image/png\0\x03\0"
    source = Counted(id3v2(10 + cover_bytes, frames=cover) + MP3)
    with pytest.raises(AudioError, match="undecodable"):
        read_tags(source)
    assert source.num_read <= 16 << 20


@pytest.mark.parametrize("data", [b"", b"ID3", b"no music", id3v2_artist("Queen"), MP3[:3]])
def test_files_that_are_no_audio(data):
    with pytest.raises(AudioError):
        tags_of(data)


def test_a_file_that_cannot_be_read():
    class Broken(io.BytesIO):
        def read(self, num_bytes=-1):
            raise OSError("the disk is gone")

    with pytest.raises(AudioError, match="unreadable: the file cannot be read: the disk is gone"):
        read_tags(Broken(MP3))
