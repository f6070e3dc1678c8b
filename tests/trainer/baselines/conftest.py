"""Fixtures of the tests of `beamtune baselines`: prepared data sets of vectors and of frames."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from beam_pipelines.audio.config import AudioConfig, SegmentConfig
from beam_pipelines.features.config import FEATURE_CONFIGS
from beam_pipelines.records import schema
from beam_pipelines.records.example import encode_example
from beam_pipelines.records.json_lines import TrackRecord, json_lines
from beam_pipelines.records.tfrecord import write_record
from trainer.baselines.config import BaselinesConfig

LABELS = ("blues", "funk", "waltz")
NAME = "tiny"


@dataclass(frozen=True)
class FakeTrack:
    """A track: its features are {name: (segments, *shape)}."""

    track_id: str
    label: int
    group: str
    features: Mapping[str, np.ndarray]

    @property
    def num_segments(self) -> int:
        return len(next(iter(self.features.values())))


def _make_tracks(split: str, *, num_tracks: int, labels: Sequence[int] = (0, 1, 2), seed: int = 0) -> list[FakeTrack]:
    """Returns tracks of three segments, six by each artist, whose genres overlap a little.

    spectral_stats is a vector (6,) of very different scales, yamnet frames (4, 5).
    """
    rng = np.random.default_rng([seed, schema.SPLITS.index(split)])
    tracks = []
    for index in range(num_tracks):
        label = labels[index % len(labels)]
        vectors = rng.normal(size=(3, 6)) + 1.2 * np.eye(6)[label]
        frames = rng.normal(size=(3, 4, 5)) + 0.8 * np.eye(5)[label]
        features = {
            "spectral_stats": (vectors * [1.0, 10.0, 1e6, 1e-3, 1.0, 1.0] + 5.0).astype(np.float32),
            "yamnet": frames.astype(np.float16),
        }
        tracks.append(FakeTrack(f"{split}{index}.mp3", label, f"{split} artist {index // 6}", features))
    return tracks


_DEFAULT_SPLITS = {
    "train": _make_tracks("train", num_tracks=24),
    "validation": _make_tracks("validation", num_tracks=9),
    "test": _make_tracks("test", num_tracks=12),
}


def _write_data_set(
    directory: Path,
    splits: Mapping[str, Sequence[FakeTrack]],
    *,
    cache_key: str = "abc",
    split_leak: str | None = None,
    kinds: Mapping[str, str] | None = None,
) -> Path:
    """Writes a prepared directory, each split in two shards; `kinds` are those of features named otherwise."""
    directory.mkdir(parents=True, exist_ok=True)
    features = splits["train"][0].features
    specs = [
        schema.FeatureSpec(name=name, shape=values.shape[1:], dtype=values.dtype.name)
        for name, values in features.items()
    ]
    infos = [_write_split(directory, split, splits[split]) for split in schema.SPLITS if split in splits]
    num_segments = {
        split: {
            label: sum(track.num_segments for track in tracks if track.label == index)
            for index, label in enumerate(LABELS)
        }
        for split, tracks in splits.items()
    }
    stats = schema.DatasetStats(
        split_source="group",
        split_leak=split_leak,
        audio_s={},
        num_tracks={},
        num_segments=num_segments,
        features={},
    )
    feature_configs = {name: asdict(FEATURE_CONFIGS[(kinds or {}).get(name, name)]()) for name in features}
    prepare = {
        "config": {"audio": asdict(AudioConfig()), "segment": asdict(SegmentConfig()), "features": feature_configs}
    }
    for name, text in {
        schema.DATASET_INFO_FILE: schema.info_to_json(schema.DatasetInfo(name=NAME, splits=tuple(infos))),
        schema.FEATURES_FILE: schema.features_to_json(specs, num_classes=len(LABELS)),
        schema.LABELS_FILE: "".join(f"{label}\n" for label in LABELS),
        schema.STATS_FILE: schema.stats_to_json(stats),
        schema.CONFIG_FILE: yaml.safe_dump(prepare),
        schema.TRACKS_FILE: "".join(json_lines(_record(track, split) for split in splits for track in splits[split])),
        schema.SUCCESS_FILE: schema.success_to_json(cache_key),
    }.items():
        (directory / name).write_text(text)
    return directory


def _write_split(directory: Path, split: str, tracks: Sequence[FakeTrack]) -> schema.SplitInfo:
    lengths, num_bytes = [], 0
    for index in range(2):
        name = schema.shard_filename(dataset_name=NAME, split=split, index=index, num_shards=2)
        with (directory / name).open("wb") as sink:
            for track in tracks[index::2]:
                for segment in range(track.num_segments):
                    record = encode_example(
                        track_id=track.track_id,
                        segment_index=segment,
                        start_s=3.0 * segment,
                        label=track.label,
                        features={key: values[segment] for key, values in track.features.items()},
                    )
                    num_bytes += write_record(sink, record)
        lengths.append(sum(track.num_segments for track in tracks[index::2]))
    return schema.SplitInfo(name=split, shard_lengths=tuple(lengths), num_bytes=num_bytes)


def _record(track: FakeTrack, split: str) -> TrackRecord:
    return TrackRecord(
        track_id=track.track_id,
        uri=f"/music/{track.track_id}",
        split=split,
        group=track.group,
        label=LABELS[track.label],
        content_hash=track.track_id,
        duration_s=9.0,
        padded_s=0.0,
        cut_s=0.0,
        is_truncated=False,
        rms_dbfs=-20.0,
        peak_dbfs=-1.0,
        num_segments=track.num_segments,
        num_silent_segments=0,
    )


@pytest.fixture
def make_tracks() -> Callable[..., list[FakeTrack]]:
    """The function that makes the tracks of a split: (split, *, num_tracks, labels=(0, 1, 2), seed=0)."""
    return _make_tracks


@pytest.fixture
def write_data_set(tmp_path: Path) -> Callable[..., Path]:
    """Writes a prepared data set; splits that are given take the place of the default ones."""

    def write(
        splits: Mapping[str, Sequence[FakeTrack]] | None = None, *, directory_name: str = "data", **options: Any
    ) -> Path:
        return _write_data_set(tmp_path / directory_name, {**_DEFAULT_SPLITS, **(splits or {})}, **options)

    return write


@pytest.fixture
def data_dir(write_data_set: Callable[..., Path]) -> Path:
    """A prepared data set of 24, 9 and 12 tracks of three segments, six by each artist."""
    return write_data_set()


@pytest.fixture
def make_config(tmp_path: Path, data_dir: Path) -> Callable[..., BaselinesConfig]:
    """Returns configs for `data_dir`; keywords replace values."""

    def make(**changes: Any) -> BaselinesConfig:
        return BaselinesConfig(**{"data_dir": str(data_dir), "output_dir": str(tmp_path / "out"), **changes})

    return make
