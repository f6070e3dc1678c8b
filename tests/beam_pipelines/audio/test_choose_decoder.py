"""Which decoder reads what, how much of it, and what becomes of files that are damaged, cut or cannot be read."""

import io
import os
import struct
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from audio_bytes import (
    ID3V1,
    by_ffmpeg,
    by_libsndfile,
    flac_of,
    flac_with_total,
    id3v2,
    mp3,
    mp3_frames,
    music,
    with_bytes,
    without_first_frame,
)

from beam_pipelines.audio.choose_decoder import Decoded, Limits, decode, is_partial
from beam_pipelines.audio.config import AudioConfig
from beam_pipelines.audio.decode import AudioError
from beam_pipelines.audio.load import load_audio

RATE_HZ = 44_100
# Codecs and their resamplers add or leave out this much at both ends.
DELAY_S = 0.11
STEREO = music(3.0, channels=2)
MONO = music(3.0, seed=1)


def decoded(data: bytes, *, max_duration_s: float = 600.0, min_decoded_fraction: float = 0.9) -> Decoded:
    """Decodes a file to its samples, (frames, channels)."""
    limits = Limits(max_duration_s=max_duration_s, min_decoded_fraction=min_decoded_fraction)
    return decode(io.BytesIO(data), lambda stream: all_blocks(stream, max_duration_s), limits=limits)


def all_blocks(stream, max_duration_s):
    return np.concatenate([block.copy() for block in stream.blocks(max_duration_s=max_duration_s)])


def error_of(data: bytes, **limits) -> AudioError:
    with pytest.raises(AudioError) as caught:
        decoded(data, **limits)
    return caught.value


def riff(tag: int, payload: bytes) -> bytes:
    """Returns a WAV file with a compressed stream in it."""
    fmt = struct.pack("<HHIIHHH", tag, 2, RATE_HZ, 16_000, 1, 16, 0)
    body = b"WAVEfmt " + struct.pack("<I", len(fmt)) + fmt + b"data" + struct.pack("<I", len(payload)) + payload
    return b"RIFF" + struct.pack("<I", len(body)) + body


FRAMES = mp3_frames(mp3(STEREO))
FLAC = by_libsndfile(STEREO, "FLAC")
WAV = by_libsndfile(STEREO, "WAV")
# Files that are decoded completely: the file, its seconds, the decoder, and whether the samples are the encoded ones.
WHOLE = {
    "mp3": (mp3(STEREO), 3.0, "libsndfile", False),
    "mp3-vbr": (mp3(STEREO, mode="VARIABLE"), 3.0, "libsndfile", False),
    "mp3-by-lavc": (by_ffmpeg(STEREO, "mp3", "libmp3lame"), 3.0, "libsndfile", False),
    "mp3-id3": (id3v2(70_000) + mp3(STEREO) + ID3V1, 3.0, "libsndfile", False),
    "mp3-ape-tag-behind": (mp3(STEREO) + b"APETAGEX" + bytes(24) + ID3V1, 3.0, "libsndfile", False),
    "mp3-vbr-without-length": (without_first_frame(mp3(music(9, loud_s=7), mode="VARIABLE")), 9.0, "ffmpeg", False),
    "mp3-cbr-without-length": (without_first_frame(mp3(STEREO)), 3.0, "ffmpeg", False),
    "mp3-zeros-first": (bytes(4096) + mp3(STEREO), 3.0, "ffmpeg", False),
    "mp3-id3-then-zeros": (id3v2(100) + bytes(500) + mp3(STEREO), 3.0, "ffmpeg", False),
    "mp3-id3-too-long": (b"ID3\x04\x00\x00\x7f\x7f\x7f\x7f" + mp3(STEREO), 3.0, "ffmpeg", False),
    "mp3-three-id3": (id3v2(10) + id3v2(2000) + id3v2(30) + mp3(STEREO), 3.0, None, False),
    "mp3-ape-tag-first": (b"APETAGEX" + bytes(2024) + mp3(STEREO), 3.0, "ffmpeg", False),
    "mp3-joined": (mp3(STEREO) + mp3(music(2, channels=2, seed=5)), 5.0, "ffmpeg", False),
    "mp3-joined-with-tags": (mp3(STEREO) + ID3V1 + id3v2(300) + mp3(STEREO), 6.0, "ffmpeg", False),
    "mp3-mono-then-stereo": (without_first_frame(mp3(MONO)) + without_first_frame(mp3(STEREO)), 6.0, "ffmpeg", False),
    "mp3-44k-then-22k": (
        without_first_frame(mp3(STEREO)) + mp3(music(3, rate_hz=22_050, channels=2), rate_hz=22_050),
        *(6.0, "ffmpeg", False),
    ),
    "mp3-in-wav": (riff(0x55, mp3(STEREO)), 3.0, "ffmpeg", False),
    "mp2": (by_ffmpeg(STEREO, "mp2", "mp2"), 3.0, "ffmpeg", False),
    "flac": (FLAC, 3.0, "libsndfile", True),
    "flac-id3v1": (FLAC + ID3V1, 3.0, "libsndfile", True),
    "flac-id3v2": (id3v2(500) + FLAC, 3.0, "libsndfile", True),
    "flac-zeros": (FLAC + bytes(1000), 3.0, "libsndfile", True),
    "flac-length-open": (flac_with_total(FLAC, 0), 3.0, "ffmpeg", True),
    "flac-says-1-s": (flac_with_total(FLAC, RATE_HZ), 3.0, "ffmpeg", True),
    "flac-in-ogg": (by_ffmpeg(STEREO, "ogg", "flac"), 3.0, None, True),
    "flac-in-matroska": (by_ffmpeg(STEREO, "matroska", "flac"), 3.0, "ffmpeg", True),
    "vorbis": (by_libsndfile(STEREO, "OGG"), 3.0, "libsndfile", False),
    "vorbis-chained": (by_libsndfile(STEREO, "OGG") + by_libsndfile(STEREO, "OGG"), 6.0, "ffmpeg", False),
    "opus": (
        by_libsndfile(music(3, rate_hz=48_000), "OGG", "OPUS", rate_hz=48_000),
        *(3.0, "libsndfile", False),
    ),
    "webm": (by_ffmpeg(music(3, rate_hz=48_000), "webm", "libopus", rate_hz=48_000), 3.0, "ffmpeg", False),
    "matroska-aac": (by_ffmpeg(STEREO, "matroska", "aac"), 3.0, "ffmpeg", False),
    "adts": (by_ffmpeg(STEREO, "adts", "aac"), 3.0, "ffmpeg", False),
    "adts-in-wav": (riff(0xFF, by_ffmpeg(STEREO, "adts", "aac")), 3.0, "ffmpeg", False),
    "m4a": (by_ffmpeg(STEREO, "ipod", "aac"), 3.0, "ffmpeg", False),
    "m4a-alac": (by_ffmpeg(STEREO, "ipod", "alac"), 3.0, "ffmpeg", True),
    "mp4-in-fragments": (
        by_ffmpeg(STEREO, "mp4", "aac", options={"movflags": "frag_keyframe+empty_moov"}),
        *(3.0, "ffmpeg", False),
    ),
    "wma": (by_ffmpeg(STEREO, "asf", "wmav2"), 3.0, "ffmpeg", False),
    "wavpack": (by_ffmpeg(STEREO, "wv", "wavpack", sample_format="s16p"), 3.0, "ffmpeg", True),
    "tta": (by_ffmpeg(STEREO, "tta", "tta", sample_format="s16"), 3.0, "ffmpeg", True),
    "ac3": (by_ffmpeg(STEREO, "ac3", "ac3"), 3.0, "ffmpeg", False),
    "ac3-in-wav": (riff(0x2000, by_ffmpeg(STEREO, "ac3", "ac3")), 3.0, "ffmpeg", False),
    "wav": (WAV, 3.0, "libsndfile", True),
    "wav-id3": (id3v2(100) + WAV, 3.0, "ffmpeg", True),
    "wav-64-bit": (by_ffmpeg(STEREO, "wav", "pcm_s64le"), 3.0, "ffmpeg", True),
    "wav-size-0": (with_bytes(with_bytes(WAV, 40, bytes(4)), 4, bytes(4)), 3.0, "ffmpeg", True),
    "wav-size-open": (with_bytes(WAV, 40, b"\xff\xff\xff\xff"), 3.0, "libsndfile", True),
    "rf64": (by_libsndfile(STEREO, "RF64"), 3.0, "libsndfile", True),
    "w64": (by_libsndfile(STEREO, "W64"), 3.0, "libsndfile", True),
    "caf": (by_libsndfile(STEREO, "CAF"), 3.0, "libsndfile", True),
    "aiff": (by_libsndfile(STEREO, "AIFF"), 3.0, "libsndfile", True),
    "aiff-id3": (id3v2(100) + by_libsndfile(STEREO, "AIFF"), 3.0, "ffmpeg", True),
    "au": (by_libsndfile(STEREO, "AU"), 3.0, "libsndfile", True),
}


@pytest.mark.parametrize("name", WHOLE)
def test_files_that_players_play_are_decoded_completely(name):
    data, duration_s, decoder, is_lossless = WHOLE[name]
    found = decoded(data)
    assert decoder in (None, found.decoder)
    assert found.decoded_s == pytest.approx(duration_s, abs=DELAY_S * max(1, duration_s // 3))
    assert not found.is_cut
    assert not is_partial(found.decoded_s, found.expected_s)
    if is_lossless:
        np.testing.assert_allclose(found.result, STEREO, atol=2**-15)
    else:
        assert found.result.std() > 0.05


@pytest.mark.parametrize("bits", [12, 15, 20, 32])
def test_flac_of_odd_bits_is_exact(bits):
    samples = np.random.default_rng(bits).integers(-(1 << bits - 1), 1 << bits - 1, (9000, 2))
    found = decoded(flac_of(samples, bits))
    np.testing.assert_allclose(found.result, samples / 2.0 ** (bits - 1), atol=1e-7)


@pytest.mark.parametrize("mode", ["CONSTANT", "AVERAGE", "VARIABLE"])
@pytest.mark.parametrize(("rate_hz", "channels"), [(44_100, 2), (48_000, 1), (22_050, 2), (8_000, 1)])
def test_both_decoders_give_the_same_samples_of_an_intact_mp3(monkeypatch, mode, rate_hz, channels):
    data = mp3(music(4.0, rate_hz=rate_hz, channels=channels, loud_s=2), rate_hz=rate_hz, mode=mode)
    by_sndfile = decoded(data)
    monkeypatch.setattr("beam_pipelines.audio.choose_decoder._is_trusted", lambda *_: False)
    by_other = decoded(data)
    assert (by_sndfile.decoder, by_other.decoder) == ("libsndfile", "ffmpeg")
    assert by_sndfile.decoded_s == by_other.decoded_s == by_other.expected_s
    np.testing.assert_allclose(by_sndfile.result, by_other.result, atol=1e-5)


@pytest.mark.parametrize("data", [FLAC, by_libsndfile(STEREO, "FLAC", "PCM_24"), WAV], ids=["flac", "flac24", "wav"])
def test_both_decoders_give_the_same_bits_of_lossless_files(monkeypatch, data):
    by_sndfile = decoded(data)
    monkeypatch.setattr("beam_pipelines.audio.choose_decoder._is_trusted", lambda *_: False)
    np.testing.assert_array_equal(by_sndfile.result, decoded(data).result)


def test_both_decoders_agree_on_real_mp3s(monkeypatch, real_music):
    paths = sorted(real_music.glob("*/*.mp3"))[::54]
    both = []
    for is_trusted in (True, False):
        if not is_trusted:
            monkeypatch.setattr("beam_pipelines.audio.choose_decoder._is_trusted", lambda *_: False)
        both.append([decoded(path.read_bytes()) for path in paths])
    for by_sndfile, by_other in zip(*both, strict=True):
        assert (by_sndfile.decoder, by_other.decoder) == ("libsndfile", "ffmpeg")
        assert by_sndfile.decoded_s == by_other.decoded_s == by_sndfile.expected_s
        # In a clip that was cut out of a song the first three frames refer to bits of frames that are not there, and
        # each decoder makes something else of them.
        start = 3 * 1152
        np.testing.assert_allclose(by_sndfile.result[start:], by_other.result[start:], atol=1e-5)


def test_joined_parts_follow_one_another_at_the_rate_and_with_the_channels_of_the_first():
    high = without_first_frame(mp3(music(3, channels=2, seed=3)))
    low = without_first_frame(mp3(music(3, rate_hz=48_000, seed=4), rate_hz=48_000))
    first, second = decoded(high).result, decoded(low).result
    found = decoded(high + low)
    assert found.result.shape[1] == 2
    np.testing.assert_allclose(found.result[: len(first) - 2000], first[:-2000], atol=1e-5)
    # The mono part is in both channels, and as loud as it was.
    rest = found.result[len(first) + 5000 :]
    np.testing.assert_array_equal(rest[:, 0], rest[:, 1])
    assert rest.std() == pytest.approx(second[5000:].std(), rel=0.02)
    assert len(rest) / RATE_HZ == pytest.approx((len(second) - 5000) / 48_000, abs=0.05)


@pytest.mark.parametrize("hole", [1, 50, 400, 2000])
@pytest.mark.parametrize("position", [0.02, 0.3, 0.6, 0.95])
def test_a_damaged_mp3_is_decoded_after_the_damage(hole, position):
    offset, _ = FRAMES[int(position * len(FRAMES))]
    found = decoded(with_bytes(mp3(STEREO), offset, bytes(hole)))
    assert found.decoder == "ffmpeg"
    assert found.expected_s == 3.0
    assert 2.7 < found.decoded_s < 3.0
    # No burst of noise where bits are missing.
    assert np.abs(found.result).max() < 1.1 * np.abs(decoded(mp3(STEREO)).result).max()


def test_a_damaged_flac_is_decoded_without_noise():
    data = with_bytes(FLAC, len(FLAC) // 2, np.random.default_rng(0).bytes(300))
    found = decoded(data)
    assert found.decoder == "ffmpeg"
    assert 2.7 < found.decoded_s < 3.0 == found.expected_s
    # All frames that came are frames of the original: the second half is the end of it, to the bit.
    np.testing.assert_array_equal(found.result[-40_000:], decoded(FLAC).result[-40_000:])
    np.testing.assert_array_equal(found.result[:40_000], decoded(FLAC).result[:40_000])


PARTS = {
    "mp3": mp3(STEREO),
    "mp3-in-matroska": by_ffmpeg(STEREO, "matroska", "libmp3lame"),
    "flac": FLAC,
    "wav": WAV,
    "aiff": by_libsndfile(STEREO, "AIFF"),
    "au": by_libsndfile(STEREO, "AU"),
    "wavpack": by_ffmpeg(STEREO, "wv", "wavpack"),
    "aac-in-fragments": by_ffmpeg(STEREO, "mp4", "aac", options={"movflags": "frag_keyframe+empty_moov"}),
}


@pytest.mark.parametrize("name", PARTS)
def test_a_file_that_is_cut_short_is_rejected_or_decoded_in_part(name):
    data = PARTS[name]
    half = data[: len(data) // 2]
    error = error_of(half)
    assert error.reason == "damaged"
    found = decoded(half, min_decoded_fraction=0.3)
    assert found.decoded_s == pytest.approx(1.5, abs=0.3)
    assert found.expected_s == pytest.approx(3.0, abs=DELAY_S)
    assert is_partial(found.decoded_s, found.expected_s)
    assert not found.is_cut
    assert f"{found.decoded_s:.2f} of {found.expected_s:.2f} s" in error.message


def test_an_m4a_that_is_cut_short_is_decoded_in_part(tmp_path):
    path = tmp_path / "a.m4a"
    path.write_bytes(by_ffmpeg(STEREO, "ipod", "aac"))
    # Its table in front, as most are.
    with (
        av.open(str(path)) as source,
        av.open(str(tmp_path / "b.m4a"), "w", options={"movflags": "faststart"}) as target,
    ):
        stream = target.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux():
            if packet.size:
                packet.stream = stream
                target.mux(packet)
    data = (tmp_path / "b.m4a").read_bytes()
    found = decoded(data[: round(0.7 * len(data))], min_decoded_fraction=0.5)
    assert found.decoded_s == pytest.approx(2.1, abs=0.2)
    assert found.expected_s == pytest.approx(3.0, abs=DELAY_S)
    assert error_of(data[: round(0.7 * len(data))]).reason == "damaged"


def test_both_decoders_stop_at_the_longest_duration():
    for data, decoder in ((mp3(STEREO), "libsndfile"), (without_first_frame(mp3(STEREO)), "ffmpeg")):
        found = decoded(data, max_duration_s=1.5)
        assert (found.decoder, len(found.result), found.is_cut) == (decoder, 66_150, True)
        assert found.expected_s == found.decoded_s == 1.5
        # What lies behind is not missed.
        assert decoded(data[: round(0.8 * len(data))], max_duration_s=1.5).is_cut


def test_a_second_decoder_starts_at_the_beginning():
    # The header is right, the frames are there, and one of them does not decode: libsndfile stops in the middle.
    offset = len(FLAC) // 2
    data = with_bytes(FLAC, offset, bytes(200))
    decoders = []

    def use(stream):
        decoders.append(stream.decoder)
        return all_blocks(stream, 600.0)

    found = decode(io.BytesIO(data), use, limits=Limits(max_duration_s=600.0, min_decoded_fraction=0.5))
    assert decoders == ["libsndfile", "ffmpeg"]
    np.testing.assert_array_equal(found.result[:1000], STEREO_16[:1000])


STEREO_16 = soundfile.read(io.BytesIO(FLAC), dtype="float32")[0]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"<!DOCTYPE html><html>404</html>", "it is an HTML page"),
        (b"\xef\xbb\xbf\n  <html lang=en>" + bytes(100), "it is an HTML page"),
        (b"PK\x03\x04" + bytes(100), "it is a ZIP archive"),
        (b"\xff\xd8\xff\xe0" + bytes(100), "it is a JPEG picture"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS"),
        (bytes(5000), "nothing but zeros"),
        (
            b"no audio, but a text\n" * 100,
            "libsndfile cannot decode it: Format not recognised; FFmpeg cannot decode it",
        ),
    ],
)
def test_a_file_without_audio_is_called_what_it_is(data, words):
    error = error_of(data)
    assert (error.reason, error.stage) == ("undecodable", "decode")
    assert words in error.message


@pytest.mark.parametrize(
    "text",
    [
        "#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n{path}\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile {path}\n",
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 96\n",
    ],
)
def test_playlists_open_no_other_files(tmp_path, text):
    (tmp_path / "secret.wav").write_bytes(WAV)
    assert error_of(text.format(path=tmp_path / "secret.wav").encode()).reason == "undecodable"


@pytest.mark.parametrize("name", [".AppleDouble", "._"])
def test_resource_forks_in_the_working_folder_change_nothing(tmp_path, monkeypatch, name):
    (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path)
    Path("song.mp3").write_bytes(mp3(STEREO))
    Path("._song.mp3").write_bytes(b"\x00\x05\x16\x07\x00\x02\x00\x00" + bytes(4000))
    with open("song.mp3", "rb") as file:
        assert load_audio(file, AudioConfig()).duration_s == pytest.approx(3.0)


class Failing(io.BytesIO):
    """A source that fails after some bytes, as a bucket may."""

    def __init__(self, data: bytes, num_good: int) -> None:
        super().__init__(data)
        self._num_good = num_good

    def read(self, num_bytes: int | None = -1) -> bytes:
        data = super().read(num_bytes)
        if self.tell() > self._num_good:
            raise OSError("connection reset by peer")
        return data

    def readinto(self, buffer) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


@pytest.mark.parametrize(
    "name", ["mp3", "mp3-cbr-without-length", "flac", "vorbis", "wav", "m4a", "adts", "caf", "webm"]
)
@pytest.mark.parametrize("share", [0.0, 0.3, 0.8])
def test_a_failed_read_is_an_error_and_no_shorter_clip(name, share):
    data = WHOLE[name][0]
    with pytest.raises(AudioError) as caught:
        decode(
            Failing(data, round(share * len(data))),
            lambda stream: all_blocks(stream, 600.0),
            limits=Limits(max_duration_s=600.0),
        )
    assert (caught.value.reason, caught.value.stage) == ("unreadable", "open")
    assert caught.value.message == "the file cannot be read: connection reset by peer"


@pytest.mark.parametrize("name", ["mp3", "mp3-zeros-first", "flac", "vorbis", "wav", "m4a"])
def test_a_file_on_disk_and_one_in_memory_decode_alike(tmp_path, name):
    data = WHOLE[name][0]
    path = tmp_path / "file"
    path.write_bytes(data)
    with open(path, "rb") as file:
        file.seek(1000)
        from_disk = decode(file, lambda stream: all_blocks(stream, 600.0), limits=Limits(max_duration_s=600.0))
        assert os.fstat(file.fileno()).st_size == len(data)  # and the descriptor is still open
    np.testing.assert_array_equal(from_disk.result, decoded(data).result)
