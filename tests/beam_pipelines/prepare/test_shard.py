import io
import json
import pkgutil
from dataclasses import replace

import numpy as np
import pytest
import soundfile
import tensorflow as tf
from audio_bytes import by_libsndfile, mp3, music, without_first_frame

from beam_pipelines.audio.config import AudioConfig, SegmentConfig
from beam_pipelines.datasets.config import FolderDatasetConfig
from beam_pipelines.datasets.track import Track
from beam_pipelines.features.config import LogMelConfig
from beam_pipelines.features.frontend import FrontEnd
from beam_pipelines.prepare.config import PrepareConfig
from beam_pipelines.prepare.plan import ShardPlan
from beam_pipelines.prepare.shard import ShardBuilder, TrackResult
from beam_pipelines.prepare.shard_report import FeatureSums, RunningSums, ShardReport
from beam_pipelines.records.json_lines import Reject
from beam_pipelines.runners.work_progress import WorkProgress
from beam_pipelines.splits.config import DuplicatesConfig

CONFIG = PrepareConfig(
    output_dir="out",
    dataset=FolderDatasetConfig(root="music"),
    audio=AudioConfig(sample_rate_hz=16_000),
    segment=SegmentConfig(duration_s=1.0, hop_s=1.0),
    features={"log_mel": LogMelConfig(n_mels=32)},
)
FRONT_END = FrontEnd(audio=CONFIG.audio, segment=CONFIG.segment, features=CONFIG.features)


def track(path, label="rock"):
    size_bytes = path.stat().st_size if path.exists() else 0
    return Track(track_id=path.name, uri=str(path), label=label, group="someone", size_bytes=size_bytes)


def build(tracks, sink, *, with_fingerprints=True, config=CONFIG):
    plan = ShardPlan(filename="x-train.tfrecord-00000-of-00001", split="train", tracks=tuple(tracks), cache_key="f")
    results = []
    clips = []
    duplicates = DuplicatesConfig(mode="report" if with_fingerprints else "off")
    builder = ShardBuilder(
        replace(config, duplicates=duplicates), labels=["jazz", "rock"], open_source=lambda uri: open(uri, "rb")
    )
    built = builder.build(
        plan,
        sink=sink,
        on_clip=lambda track, clip: clips.append((track.track_id, len(clip.fitted.samples))),
        on_track_done=results.append,
    )
    assert clips == [
        (track.track_id, round(16_000 * (track.duration_s - track.cut_s))) for track in built.report.tracks
    ]
    assert len(built.acoustic_fingerprints) == (len(built.report.tracks) if with_fingerprints else 0)
    return built.report, results


@pytest.fixture
def mixed_tracks(write_audio, tmp_path):
    text = tmp_path / "text.mp3"
    text.write_text("no audio")
    return [
        track(write_audio(tmp_path / "a.wav", duration_s=2.5)),
        track(text),
        track(tmp_path / "absent.mp3"),
        track(write_audio(tmp_path / "b.wav", duration_s=1.0, frequency_hz=300.0), label="jazz"),
        track(write_audio(tmp_path / "short.wav", duration_s=0.5)),
    ]


def test_examples_are_written_clip_by_clip_and_the_rest_is_reported(mixed_tracks, tmp_path):
    path = tmp_path / "shard"
    with open(path, "wb") as sink:
        report, results = build(mixed_tracks, sink)
    examples = [tf.train.Example.FromString(record.numpy()) for record in tf.data.TFRecordDataset(str(path))]
    rows = [
        (
            example.features.feature["track_id"].bytes_list.value[0].decode(),
            example.features.feature["segment_index"].int64_list.value[0],
            example.features.feature["start_s"].float_list.value[0],
            example.features.feature["label"].int64_list.value[0],
        )
        for example in examples
    ]
    assert rows == [("a.wav", 0, 0.0, 1), ("a.wav", 1, 1.0, 1), ("b.wav", 0, 0.0, 0)]
    assert report.num_examples == 3
    assert report.num_bytes == path.stat().st_size
    assert [(item.track_id, item.num_segments, item.duration_s) for item in report.tracks] == [
        ("a.wav", 2, 2.5),
        ("b.wav", 1, 1.0),
    ]
    assert [(item.track_id, item.stage, item.reason) for item in report.rejects] == [
        ("text.mp3", "decode", "undecodable"),
        ("absent.mp3", "open", "missing"),
        ("short.wav", "segment", "too_short"),
    ]
    assert [replace(result, decode_s=0.0, feature_s=0.0) for result in results] == [
        TrackResult(num_segments=2, audio_s=2.5, num_bytes=mixed_tracks[0].size_bytes),
        TrackResult(reject_reason="undecodable"),
        TrackResult(reject_reason="missing"),
        TrackResult(num_segments=1, audio_s=1.0, num_bytes=mixed_tracks[3].size_bytes),
        TrackResult(reject_reason="too_short"),
    ]
    assert report.decode_s == pytest.approx(sum(result.decode_s for result in results))
    assert report.feature_s == pytest.approx(sum(result.feature_s for result in results))
    assert [result.decode_s > 0 and result.feature_s > 0 for result in results] == [True, False, False, True, False]
    progress = sum((result.progress for result in results), WorkProgress())
    assert progress == WorkProgress(num_done=5, num_rejects=3, audio_s=3.5)


def test_sums_are_those_of_the_stored_values(mixed_tracks):
    sink = io.BytesIO()
    report, _ = build(mixed_tracks, sink)
    stored = []
    for item in mixed_tracks:
        if item.track_id in ("a.wav", "b.wav"):
            with open(item.uri, "rb") as source:
                stored += [segment.features["log_mel"] for segment in FRONT_END.process(source).segments]
    frames = np.concatenate(stored).astype(np.float64)
    sums = report.feature_sums["log_mel"]
    assert sums.num_frames == len(frames)
    np.testing.assert_allclose(sums.total, frames.sum(axis=0), rtol=1e-12)
    np.testing.assert_allclose(sums.total_of_squares, (frames**2).sum(axis=0), rtol=1e-12)


def test_a_shard_of_rejects_is_empty_and_has_no_sums(tmp_path):
    sink = io.BytesIO()
    report, _ = build([track(tmp_path / "absent.mp3")], sink)
    assert (report.num_examples, report.num_bytes, sink.getvalue()) == (0, 0, b"")
    assert report.feature_sums == {}


def test_the_loudness_and_the_duration_of_a_track_are_recorded(tmp_path):
    path = tmp_path / "square.wav"
    half = np.where(np.arange(24_000) % 100 < 50, 0.5, -0.5).astype(np.float32)
    soundfile.write(path, half, 16_000, subtype="FLOAT")
    report, _ = build([track(path)], io.BytesIO(), with_fingerprints=False)
    [record] = report.tracks
    assert (record.rms_dbfs, record.peak_dbfs) == (-6.02, -6.02)  # 20 log10 of one half
    assert (record.duration_s, record.padded_s, record.cut_s, record.is_truncated) == (1.5, 0.0, 0.0, False)


def test_how_much_of_a_track_was_decoded_is_recorded(tmp_path):
    whole = by_libsndfile(music(4.0), "WAV")
    for name, data in {
        "whole.wav": whole,
        "most.wav": whole[:-20_000],
        "half.wav": whole[: len(whole) // 2],
        "no-header.mp3": without_first_frame(mp3(music(4.0))),
    }.items():
        (tmp_path / name).write_bytes(data)
    tracks = [track(tmp_path / name) for name in ("whole.wav", "most.wav", "half.wav", "no-header.mp3")]
    report, _ = build(tracks, io.BytesIO(), with_fingerprints=False)
    assert [
        (item.track_id, item.decoder, round(item.decoded_s, 1), round(item.expected_s, 1), item.is_truncated)
        for item in report.tracks
    ] == [
        ("whole.wav", "libsndfile", 4.0, 4.0, False),
        ("most.wav", "libsndfile", 3.8, 4.0, True),
        ("no-header.mp3", "ffmpeg", 4.0, 4.0, False),
    ]
    assert [item.is_partial for item in report.tracks] == [False, True, False]
    [reject] = report.rejects
    assert (reject.track_id, reject.stage, reject.reason) == ("half.wav", "decode", "damaged")
    assert reject.message.startswith("2.00 of 4.00 s can be decoded")
    assert ShardReport.from_json(report.to_json()) == report


def test_a_file_that_is_cut_at_the_longest_duration_is_truncated_and_not_damaged(tmp_path):
    (tmp_path / "a.wav").write_bytes(by_libsndfile(music(4.0), "WAV"))
    config = replace(CONFIG, audio=AudioConfig(max_duration_s=2.5))
    report, _ = build([track(tmp_path / "a.wav")], io.BytesIO(), with_fingerprints=False, config=config)
    [record] = report.tracks
    assert (record.is_truncated, record.is_partial, record.decoded_s, record.expected_s) == (True, False, 2.5, 2.5)


@pytest.mark.parametrize(("max_duration_s", "duration_s"), [(600.0, 4.0), (3.5, 3.5), (3.0, 3.0)])
def test_a_file_that_is_cut_to_a_clip_is_not_truncated(tmp_path, max_duration_s, duration_s):
    (tmp_path / "a.wav").write_bytes(by_libsndfile(music(6.0), "WAV"))
    config = replace(CONFIG, audio=AudioConfig(clip_duration_s=3.0, max_duration_s=max_duration_s))
    report, _ = build([track(tmp_path / "a.wav")], io.BytesIO(), with_fingerprints=False, config=config)
    [record] = report.tracks
    assert (record.is_truncated, record.is_partial) == (False, False)
    assert (record.duration_s, record.cut_s) == (duration_s, duration_s - 3.0)


def test_a_file_that_changed_or_vanished_since_it_was_listed_has_a_reason_of_its_own(write_audio, tmp_path):
    changed, vanished = write_audio(tmp_path / "changed.wav"), write_audio(tmp_path / "vanished.wav")
    tracks = [track(changed), track(vanished)]
    write_audio(changed, duration_s=5.0)
    vanished.unlink()
    report, _ = build(tracks, io.BytesIO())
    assert [(reject.track_id, reject.stage, reject.reason, reject.message) for reject in report.rejects] == [
        (
            "changed.wav",
            "open",
            "changed",
            "the file has 160044 bytes, and had 128044 when the tracks were listed",
        ),
        ("vanished.wav", "open", "vanished", "the file is gone, and was there when the tracks were listed"),
    ]


def test_a_reject_has_the_error_of_the_library(tmp_path):
    path = tmp_path / "text.mp3"
    path.write_text("no audio")
    report, _ = build([track(path)], io.BytesIO())
    [reject] = report.rejects
    # Nothing of what libsndfile was handed, which is another descriptor or object in every run.
    assert reject.exception == "LibsndfileError: Format not recognised."


def test_a_reject_has_the_known_fault(tmp_path):
    known = replace(track(tmp_path / "absent.mp3"), known_fault="it is not there")
    report, _ = build([known], io.BytesIO())
    assert [reject.known_fault for reject in report.rejects] == ["it is not there"]


def test_a_report_is_read_as_it_was_written(mixed_tracks):
    report, _ = build(mixed_tracks, io.BytesIO())
    text = report.to_json()
    assert ShardReport.from_json(text) == report
    # The keys of earlier versions, whose unfinished runs can be resumed, and those that they did not have.
    content = json.loads(text)
    assert list(content) == [
        *("filename", "split", "fingerprint", "num_examples", "num_bytes", "tracks", "rejects", "feature_sums"),
        *("decode_s", "feature_s"),
    ]
    del content["decode_s"], content["feature_s"]
    assert ShardReport.from_json(json.dumps(content)) == replace(report, decode_s=0.0, feature_s=0.0)


def sums_of(array):
    running = RunningSums()
    running.add(array)
    return running.result()


def test_sums_add_up_in_each_band():
    one = sums_of(np.array([[1.0, 2.0], [3.0, 4.0]], dtype=np.float16))
    assert one == FeatureSums(num_frames=2, total=(4.0, 6.0), total_of_squares=(10.0, 20.0))
    assert one + one == FeatureSums(num_frames=4, total=(8.0, 12.0), total_of_squares=(20.0, 40.0))


def test_samples_as_whole_numbers_are_all_one_band():
    waveform = np.array([1, -2, 3], dtype=np.int16)
    assert sums_of(waveform) == FeatureSums(num_frames=3, total=(2.0,), total_of_squares=(14.0,))


def test_a_failure_that_is_no_fault_of_the_audio_is_not_a_reject(mixed_tracks):
    class FullDisk(io.BytesIO):
        def write(self, data):
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        build(mixed_tracks, FullDisk())


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("soxr fails"), ValueError("numpy fails")])
@pytest.mark.parametrize(
    ("function", "stage"),
    [
        ("beam_pipelines.audio.load.soxr.ResampleStream", "decode"),
        ("beam_pipelines.features.frontend.cut_segments", "features"),
        ("beam_pipelines.prepare.shard.content_hash", "measure"),
        ("beam_pipelines.prepare.shard.AcousticFingerprinter.__call__", "fingerprint"),
    ],
)
def test_an_unexpected_exception_rejects_its_track_alone(write_audio, tmp_path, monkeypatch, function, stage, error):
    tracks = [track(write_audio(tmp_path / f"{name}.wav", sample_rate_hz=44_100)) for name in "abc"]
    module, _, name = function.rpartition(".")
    original = pkgutil.resolve_name(function)
    calls = []

    def fail_once(*args, **kwargs):
        calls.append(args)
        if len(calls) == 2:
            raise error
        return original(*args, **kwargs)

    monkeypatch.setattr(pkgutil.resolve_name(module), name, fail_once)
    sink = io.BytesIO()
    report, results = build(tracks, sink)
    assert [item.track_id for item in report.tracks] == ["a.wav", "c.wav"]
    [reject] = report.rejects
    assert (reject.track_id, reject.stage, reject.reason) == ("b.wav", stage, "unexpected")
    assert reject.exception == f"{type(error).__name__}: {error}".strip()
    assert report.has_unexpected_rejects
    assert [result.reject_reason for result in results] == [None, "unexpected", None]
    # Nothing of the track is in the shard.
    monkeypatch.undo()
    expected = io.BytesIO()
    without, _ = build([tracks[0], tracks[2]], expected)
    assert sink.getvalue() == expected.getvalue()
    assert report.feature_sums == without.feature_sums
    assert not without.has_unexpected_rejects


def test_a_reject_names_the_file(tmp_path):
    report, _ = build([track(tmp_path / "absent.mp3")], io.BytesIO())
    assert report.rejects == [
        Reject(
            track_id="absent.mp3",
            uri=str(tmp_path / "absent.mp3"),
            label="rock",
            split="train",
            stage="open",
            reason="missing",
            message="there is no such file",
            exception=f"FileNotFoundError: [Errno 2] No such file or directory: '{tmp_path / 'absent.mp3'}'",
        )
    ]
