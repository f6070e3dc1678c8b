"""Damage in files of which only the beginning is decoded."""

import io

import numpy as np
import pytest
from audio_bytes import by_ffmpeg, by_libsndfile, mp3, music, with_bytes, without_first_frame

from beam_pipelines.audio.choose_decoder import Decoded, Limits, decode, is_partial
from beam_pipelines.audio.decode import AudioError, AudioStream

MAX_DURATION_S = 4.0


def decoded(data: bytes, *, min_decoded_fraction: float = 0.9) -> Decoded[int]:
    """Decodes a file and counts its samples."""
    limits = Limits(max_duration_s=MAX_DURATION_S, min_decoded_fraction=min_decoded_fraction)

    def count(stream: AudioStream) -> int:
        return sum(map(len, stream.blocks(max_duration_s=MAX_DURATION_S)))

    return decode(io.BytesIO(data), count, limits=limits)


def with_holes(data: bytes, *, first: float) -> bytes:
    """Returns a file with noise in a third of its parts of 400 bytes, from this fraction of it on."""
    rng = np.random.default_rng(0)
    for offset in range(round(first * len(data)), len(data), 400):
        if rng.random() < 1 / 3:
            data = with_bytes(data, offset, rng.bytes(200))
    return data


MUSIC = music(20.0)
FILES = {
    "mp3": mp3(MUSIC),
    "mp3-without-length": without_first_frame(mp3(MUSIC)),
    "adts": by_ffmpeg(MUSIC, "adts", "aac"),
}


@pytest.mark.parametrize("name", FILES)
def test_damage_before_the_place_where_decoding_stops_counts(name: str) -> None:
    data = with_holes(FILES[name], first=0.02)
    with pytest.raises(AudioError, match=r"^damaged: 4\.00 of [4-7]\.\d\d s can be decoded"):
        decoded(data)
    found = decoded(data, min_decoded_fraction=0.5)
    assert (found.decoder, found.decoded_s, found.is_cut) == ("ffmpeg", 4.0, True)
    assert found.expected_s is not None and 4.0 / 0.9 < found.expected_s < 8.0
    assert is_partial(found.decoded_s, found.expected_s)


@pytest.mark.parametrize("name", FILES)
def test_damage_behind_it_does_not(name: str) -> None:
    found = decoded(with_holes(FILES[name], first=0.25))
    assert (found.decoded_s, found.expected_s, found.is_cut) == (4.0, 4.0, True)


@pytest.mark.parametrize("audio_format", ["FLAC", "OGG"])
def test_a_gap_counts_although_no_packet_of_it_was_read(audio_format: str) -> None:
    data = by_libsndfile(MUSIC, audio_format)
    first, end = round(0.05 * len(data)), round(0.15 * len(data))
    data = with_bytes(data, first, np.random.default_rng(0).bytes(end - first))
    with pytest.raises(AudioError, match=r"^damaged: 4\.00 of [56]\.\d\d s can be decoded"):
        decoded(data)
    found = decoded(data, min_decoded_fraction=0.5)
    assert found.decoder == "ffmpeg"
    # A tenth of the 20 s, and the whole frames that it touches.
    assert found.expected_s is not None and 5.7 < found.expected_s < 6.6


CHAINED = {
    "flac-in-ogg": by_ffmpeg(music(2.5), "ogg", "flac"),
    "vorbis": by_libsndfile(music(2.5), "OGG"),
    "opus": by_libsndfile(music(2.5, rate_hz=48_000), "OGG", "OPUS", rate_hz=48_000),
}


@pytest.mark.parametrize("name", CHAINED)
def test_intact_parts_of_chained_files_have_no_gaps(name: str) -> None:
    found = decoded(3 * CHAINED[name])
    assert (found.decoder, found.decoded_s, found.expected_s, found.is_cut) == ("ffmpeg", 4.0, 4.0, True)
