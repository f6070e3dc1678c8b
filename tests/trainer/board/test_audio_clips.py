"""The audio of mistakes: the exact samples of the worst segment, or the reason why there are none."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from gcs.faults import Faults

from beam_pipelines.audio.config import AudioConfig
from beam_pipelines.records.json_lines import TrackRecord, json_lines
from beam_pipelines.records.schema import DatasetInfo, DatasetStats, FeatureSpec, kept_audio_path
from trainer.board import audio_clips
from trainer.board.audio_clips import AudioClip, MissingAudio, find_audio_clips
from trainer.board.mistakes import worst_mistakes
from trainer.board.spectrograms import Preparation, Samples
from trainer.data.prepared import PreparedData

RATE_HZ = 8000
FILES = Preparation(audio=AudioConfig(sample_rate_hz=RATE_HZ), segment_duration_s=0.5, spectrogram=None, samples=None)
WAVEFORM = FeatureSpec(name="waveform", shape=(4,), dtype="int16")
# Both are predicted as class 1; the second segment of "a", at 2 s, is the worst of it.
TRACKS = {"a": (0, [[0.4, 0.6], [0.1, 0.9]]), "b": (0, [[0.3, 0.7]])}


@pytest.fixture
def predictions(predict):
    return predict(TRACKS)


@pytest.fixture
def data(tmp_path):
    stats = DatasetStats("group", None, {}, {}, {}, {})
    return PreparedData(str(tmp_path), "f", DatasetInfo("mine", ()), {}, ("x", "y"), stats)


def write_tracks(directory: Path, uris: dict[str, str]) -> None:
    tracks = [
        TrackRecord(track_id, uri, "validation", "g", "x", "h", 3.0, 0.0, 0.0, False, -20.0, -3.0, 2, 0)
        for track_id, uri in uris.items()
    ]
    (directory / "tracks.jsonl").write_text("".join(json_lines(tracks)))


def write_ramp(path: Path, *, duration_s: float) -> np.ndarray:
    """Writes samples that are all different within a second; returns them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = (np.arange(round(duration_s * RATE_HZ)) % RATE_HZ / RATE_HZ / 2).astype(np.float32)
    soundfile.write(path, samples, RATE_HZ, subtype="PCM_16")
    return soundfile.read(path)[0]


def samples_of(clip: AudioClip) -> np.ndarray:
    samples, rate_hz = soundfile.read(io.BytesIO(clip.wav), dtype="float64")
    assert rate_hz == RATE_HZ
    return samples


def clips_of(predictions, data, preparation, shards=()):
    mistakes = worst_mistakes(predictions, most=10)
    assert [mistake.track_id for mistake in mistakes] == ["a", "b"]
    return find_audio_clips(mistakes, predictions=predictions, data=data, shards=shards, preparation=preparation)


def test_samples_in_the_data_are_returned_unchanged(predictions, data, write_shard):
    values = {
        ("b", 0.0): [1, -1, 32767, -32768],
        ("a", 0.0): [9, 9, 9, 9],
        ("a", 2.0): [0, 100, -200, 300],
        ("c", 0.0): [7, 7, 7, 7],
    }
    shard = write_shard({key: {"waveform": np.array(row, dtype=np.int16)} for key, row in values.items()})
    preparation = replace(FILES, samples=Samples(WAVEFORM, RATE_HZ))
    first, second = clips_of(predictions, data, preparation, [shard])
    assert (samples_of(first) * 32768).tolist() == [0, 100, -200, 300]
    assert (samples_of(second) * 32768).tolist() == [1, -1, 32767, -32768]
    assert first.source == "samples in the data"


def test_the_original_files_are_decoded_to_the_end_of_the_segment(predictions, data, tmp_path):
    expected = write_ramp(tmp_path / "a.wav", duration_s=3.0)
    other = write_ramp(tmp_path / "b.wav", duration_s=0.7)
    write_tracks(tmp_path, {"z": "/gone", "a": str(tmp_path / "a.wav"), "b": str(tmp_path / "b.wav")})
    first, second = clips_of(predictions, data, FILES)
    np.testing.assert_array_equal(samples_of(first), expected[2 * RATE_HZ : 2 * RATE_HZ + RATE_HZ // 2])
    np.testing.assert_array_equal(samples_of(second), other[: RATE_HZ // 2])
    assert first.source == str(tmp_path / "a.wav")


def test_kept_copies_are_preferred_to_the_original_files(predictions, data, tmp_path):
    expected = write_ramp(tmp_path / kept_audio_path("a"), duration_s=3.0)
    write_ramp(tmp_path / kept_audio_path("b"), duration_s=0.2)
    write_tracks(tmp_path, {"a": "/gone.mp3", "b": "/gone.mp3"})
    kept = replace(FILES, audio=replace(FILES.audio, keep="wav"))
    first, second = clips_of(predictions, data, kept)
    np.testing.assert_array_equal(samples_of(first), expected[2 * RATE_HZ : 2 * RATE_HZ + RATE_HZ // 2])
    assert len(samples_of(second)) == 0.2 * RATE_HZ  # the copy is shorter than the segment
    # A fold of a data set has no copies of its own.
    (tmp_path / kept_audio_path("a")).unlink()
    other = write_ramp(tmp_path / "a.wav", duration_s=4.0)
    write_tracks(tmp_path, {"a": str(tmp_path / "a.wav"), "b": "/gone.mp3"})
    first, second = clips_of(predictions, data, kept)
    np.testing.assert_array_equal(samples_of(first), other[2 * RATE_HZ : 2 * RATE_HZ + RATE_HZ // 2])
    assert first.source == str(tmp_path / "a.wav")


def test_missing_audio_has_a_reason(predictions, data, tmp_path, monkeypatch):
    def reasons(first: str, second: str) -> list[str]:
        write_tracks(tmp_path, {"a": str(tmp_path / first), "b": str(tmp_path / second)})
        clips = clips_of(predictions, data, FILES)
        assert all(isinstance(clip, MissingAudio) for clip in clips)
        return [clip.reason for clip in clips]

    (tmp_path / "text.wav").write_text("no audio")
    (tmp_path / "empty.wav").write_bytes(b"")
    (tmp_path / "folder.wav").mkdir()
    write_ramp(tmp_path / "short.wav", duration_s=1.0)
    [gone, text] = reasons("gone.wav", "text.wav")
    assert gone.startswith(f"{tmp_path}/gone.wav cannot be read: ")
    assert text.startswith(f"{tmp_path}/text.wav: libsndfile cannot decode it")
    [short, empty] = reasons("short.wav", "empty.wav")
    assert short == f"{tmp_path}/short.wav ends before the segment starts"
    assert empty == f"{tmp_path}/empty.wav: the file has no bytes"
    [folder, strange] = reasons("folder.wav", "../nowhere://x")
    assert folder.startswith(f"{tmp_path}/folder.wav cannot be read: ")
    assert "cannot be read" in strange
    monkeypatch.setattr(audio_clips, "_MOST_FILE_BYTES", 100)
    assert reasons("short.wav", "gone.wav")[0] == f"{tmp_path}/short.wav is larger than 1 GiB"


def test_audio_that_a_bucket_refuses_is_missing(gcs_here, predictions, data, tmp_path):
    gcs_here.set_faults(Faults(granted=()))
    write_tracks(tmp_path, {"a": f"{gcs_here.url}/a.wav", "b": "gs://nowhere-of-beamtune/b.wav"})
    refused, nowhere = (clip.reason for clip in clips_of(predictions, data, FILES))
    assert refused.startswith(f"{gcs_here.url}/a.wav: ") and "lacks the permission storage.objects.get" in refused
    assert nowhere.startswith("gs://nowhere-of-beamtune/b.wav cannot be read: ")


def test_without_mistakes_nothing_is_read(predictions, data):
    assert find_audio_clips([], predictions=predictions, data=data, shards=[], preparation=FILES) == []
