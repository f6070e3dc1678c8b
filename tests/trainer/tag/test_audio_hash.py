"""The hash of the decoded samples."""

import hashlib
import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
from audio_bytes import by_libsndfile, music

from beam_pipelines.audio.decode import AudioError
from trainer.tag.audio_hash import audio_hash


def test_it_is_that_of_the_samples_as_soundfile_reads_them() -> None:
    for data in (by_libsndfile(music(2.0, channels=2), "FLAC", "PCM_16"), by_libsndfile(music(0.5), "WAV", "FLOAT")):
        samples, rate_hz = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)
        expected = hashlib.sha256(f"{rate_hz} {samples.shape[1]}\n".encode() + samples.astype("<f4").tobytes())
        assert audio_hash(io.BytesIO(data)) == expected.hexdigest()


def test_one_sample_rate_or_channels_make_another() -> None:
    samples = music(0.2, channels=2)
    changed = samples.copy()
    changed[-1, 1] = np.nextafter(changed[-1, 1], np.float32(1))
    files = [
        by_libsndfile(samples, "WAV", "FLOAT"),
        by_libsndfile(changed, "WAV", "FLOAT"),
        by_libsndfile(samples, "WAV", "FLOAT", rate_hz=48_000),
        by_libsndfile(samples.reshape(-1, 1), "WAV", "FLOAT"),
    ]
    assert len({audio_hash(io.BytesIO(data)) for data in files}) == len(files)


def test_what_is_no_audio_is_an_error(tmp_path: Path) -> None:
    for data in (b"", b"no audio"):
        with pytest.raises(AudioError):
            audio_hash(io.BytesIO(data))
