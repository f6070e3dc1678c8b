"""Excerpts of tracks as mp3, and tracks that have none."""

import io

import numpy as np
import pytest
import soundfile

from trainer.explore.excerpts import Excerpt, MissingExcerpt, encode_mp3, read_excerpts
from trainer.explore.prepared_tables import read_tables


def test_excerpts_are_the_loudest_seconds(make_track, write_data_set, write_audio, tmp_path):
    path = write_audio(tmp_path / "a.wav", sample_rate_hz=8000, duration_s=6.0)
    samples, _ = soundfile.read(path, dtype="float32")
    samples[:24_000] *= 0.1
    soundfile.write(path, samples, 8000)
    tables = read_tables(data_dir := str(write_data_set([make_track("a", uri=str(path)), make_track("b")])))
    drawn = []
    found = read_excerpts(
        tables.tracks,
        data_dir=data_dir,
        preparation=tables.preparation,
        duration_s=2.0,
        draw=lambda audio: drawn.append(audio.samples) or b"png",
    )
    excerpt = found["a"]
    assert isinstance(excerpt, Excerpt)
    assert (excerpt.start_s >= 3.0, excerpt.duration_s, excerpt.picture) == (True, 2.0, b"png")
    [drawn_samples] = drawn
    assert len(drawn_samples) == 16_000
    decoded, rate_hz = soundfile.read(io.BytesIO(excerpt.mp3))
    assert rate_hz == 8000
    assert len(decoded) / rate_hz == pytest.approx(2.0, abs=0.2)
    assert found["b"] == MissingExcerpt(problem="/absent/b; No such file or directory")


@pytest.mark.parametrize(("rate_hz", "expected"), [(16_000, 16_000), (10_000, 22_050), (96_000, 22_050)])
def test_rates_that_mpeg_does_not_have_are_resampled(rate_hz, expected):
    samples = np.sin(np.arange(rate_hz) * 2 * np.pi * 440 / rate_hz).astype(np.float32) * 0.5
    decoded, found_hz = soundfile.read(io.BytesIO(encode_mp3(samples, sample_rate_hz=rate_hz)))
    assert found_hz == expected
    assert len(decoded) / found_hz == pytest.approx(1.0, abs=0.2)
