"""Damage in files of which only the beginning is decoded."""

import io

import numpy as np
import pytest
from audio_bytes import by_ffmpeg, mp3, music, with_bytes, without_first_frame

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
