from dataclasses import replace

import numpy as np
import pytest
from audio_bytes import mp3

from beam_pipelines.audio.config import AudioConfig, SegmentConfig
from beam_pipelines.datasets.config import FolderDatasetConfig
from beam_pipelines.datasets.track import Track
from beam_pipelines.features.config import LogMelConfig
from beam_pipelines.prepare.config import PrepareConfig
from beam_pipelines.prepare.estimate import Estimate, Estimator, lengths_from_headers, segments_of

CONFIG = PrepareConfig(
    output_dir="out", dataset=FolderDatasetConfig(root="/music"), features={"log_mel": LogMelConfig()}
)


def track(name: str, size_bytes: int) -> Track:
    return Track(track_id=name, uri=f"/music/{name}", label="rock", group=name, size_bytes=size_bytes)


@pytest.mark.parametrize(
    ("length_s", "audio", "expected"),
    [
        (2.99, {}, 0),
        (3.0, {}, 1),
        (6.0, {}, 2),
        (20.0, {}, 6),
        (700.0, {}, 200),
        (120.0, {"max_duration_s": 30.0}, 10),
        (120.0, {"clip_duration_s": 10.0}, 3),
        (4.0, {"clip_duration_s": 10.0}, 3),
        (2.0, {"clip_duration_s": 10.0}, 0),
        (2.0, {"clip_duration_s": 10.0, "min_duration_s": 1.0}, 3),
    ],
)
def test_segments_follow_from_the_length_of_the_file_and_the_clip(length_s, audio, expected):
    assert segments_of(length_s, audio=AudioConfig(**audio), segment=SegmentConfig()) == expected


def test_without_any_length_sizes_are_taken_for_128_kbps():
    assert Estimator([], {}, config=CONFIG)(track("a.mp3", 480_000)) == Estimate(audio_s=30.0, num_segments=10.0)


def test_sizes_count_at_the_bit_rate_of_the_files_with_known_lengths():
    """Two files at 80 kbps: 20 s and 21 s, so that 6.5 segments are the mean; FLAC is not compared with mp3."""
    known = [track("a.mp3", 200_000), track("b.mp3", 210_000)]
    estimator = Estimator(known, {"a.mp3": 20.0, "b.mp3": 21.0}, config=CONFIG)
    assert estimator(known[0]) == Estimate(audio_s=20.0, num_segments=6.0)
    estimate = estimator(track("c.mp3", 205_000))
    assert estimate.audio_s == pytest.approx(20.5)
    assert estimator(track("d.flac", 3_528_000)) == Estimate(audio_s=30.0, num_segments=10.0)


def test_files_as_long_as_whole_segments_lose_none_by_the_jitter_of_their_sizes():
    known = [track(f"{n}.mp3", 60_000 + 100 * n) for n in range(-5, 6)]
    estimator = Estimator(known, {one.track_id: 6.0 for one in known}, config=CONFIG)
    unknown = [replace(one, track_id=f"other {one.track_id}") for one in known]
    assert sum(estimator(one).num_segments for one in unknown) == pytest.approx(2 * len(unknown))


def test_of_a_clip_a_second_more_is_decoded():
    config = replace(CONFIG, audio=AudioConfig(clip_duration_s=10.0))
    one = track("a.mp3", 1_000_000)
    assert Estimator([one], {"a.mp3": 120.0}, config=config)(one) == Estimate(audio_s=11.0, num_segments=3.0)
    assert Estimator([], {}, config=config)(one) == Estimate(audio_s=11.0, num_segments=3.0)


def test_headers_say_the_length_where_they_do(tmp_path):
    samples = np.zeros((44_100 * 2, 1), dtype=np.float32)
    contents = {"good.mp3": mp3(samples), "bad.mp3": b"no audio", "empty.mp3": b""}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    tracks = [replace(track(name, len(content)), uri=str(tmp_path / name)) for name, content in contents.items()]
    tracks += [replace(track("gone.mp3", 9), uri=str(tmp_path / "gone.mp3")), replace(tracks[0], uri="gs://b/good.mp3")]
    assert lengths_from_headers(tracks) == {"good.mp3": 2.0}


def test_of_many_files_a_sample_is_read_from_all_over_the_list(tmp_path, monkeypatch):
    monkeypatch.setattr("beam_pipelines.prepare.estimate._MAX_FILES", 3)
    monkeypatch.setattr("beam_pipelines.prepare.estimate._read_length_s", lambda path: 1.0)
    assert list(lengths_from_headers([track(f"{n}.mp3", 1) for n in range(10)])) == ["0.mp3", "3.mp3", "6.mp3"]
