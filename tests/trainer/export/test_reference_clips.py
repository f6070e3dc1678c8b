import io
from pathlib import Path

import numpy as np
import pytest
import soundfile

from trainer.export import reference_clips as reference_clips_module
from trainer.export.reference_clips import reference_clips, training_clips
from trainer.runs.run_dir import RunDir
from trainer.training.config import TrainConfig

SYNTHETIC = ["noise", "sine of 440 Hz", "silence"]


def test_clips_are_of_each_genre_in_turn_and_of_the_test_split_first(finished: TrainConfig, music: Path) -> None:
    stereo = np.random.default_rng(0).normal(0, 0.1, (4000, 2)).astype(np.float32)
    # Of the test split: blues, funk, waltz and blues. The first does not exist, and the third is no audio.
    for name in ("test1.mp3", "test3.mp3", "train0.mp3", "train1.mp3"):
        soundfile.write(music / name, stereo, 11_025, format="WAV", subtype="FLOAT")
    (music / "test2.mp3").write_bytes(b"no audio")
    clips = reference_clips(RunDir(finished.run_dir), most=3)
    assert [clip.name for clip in clips] == ["test1.mp3", "test3.mp3", "train1.mp3", *SYNTHETIC]
    np.testing.assert_allclose(clips[0].samples, stereo.mean(axis=1), atol=1e-7)
    assert clips[0].sample_rate_hz == 11_025
    assert clips[0].encoded == (music / "test1.mp3").read_bytes()


def test_a_clip_of_a_part_of_a_file_has_no_file(
    finished: TrainConfig, music: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reference_clips_module, "_LONGEST_S", 0.5)
    soundfile.write(music / "test1.mp3", np.ones(4001), 8000, format="WAV")
    soundfile.write(music / "test2.mp3", np.ones(4000), 8000, format="WAV")
    longer, whole, *_ = reference_clips(RunDir(finished.run_dir), most=2)
    assert (longer.name, len(longer.samples), longer.encoded) == ("test1.mp3", 4000, None)
    assert whole.encoded == (music / "test2.mp3").read_bytes()


def test_synthetic_sounds_have_files(finished: TrainConfig) -> None:
    for clip in reference_clips(RunDir(finished.run_dir), most=0):
        samples, rate_hz = soundfile.read(io.BytesIO(clip.encoded or b""), dtype="float32")
        assert rate_hz == clip.sample_rate_hz
        np.testing.assert_allclose(samples, clip.samples, rtol=0, atol=2**-15)


def test_clips_to_train_with_are_of_each_genre_in_turn(finished: TrainConfig, music: Path) -> None:
    # Of the train split: blues, funk, waltz, blues and so on. In the test split there are two tracks of blues.
    for number in range(10):
        soundfile.write(music / f"train{number}.mp3", np.ones(4000), 8000, format="WAV")
    clips = training_clips(RunDir(finished.run_dir), most=5)
    assert [clip.name for clip in clips] == [f"train{number}.mp3" for number in range(5)]


def test_without_the_data_of_the_run_there_are_synthetic_sounds(finished: TrainConfig, music: Path) -> None:
    soundfile.write(music / "test1.mp3", np.ones(4000), 8000, format="WAV")
    assert [clip.name for clip in reference_clips(RunDir(finished.run_dir), most=0)] == SYNTHETIC
    success = Path(finished.data_dir) / "_SUCCESS"
    success.write_text(success.read_text().replace("abc", "def"))  # prepared again with other content
    assert [clip.name for clip in reference_clips(RunDir(finished.run_dir), most=8)] == SYNTHETIC
    success.unlink()
    assert [clip.name for clip in reference_clips(RunDir(finished.run_dir), most=8)] == SYNTHETIC
