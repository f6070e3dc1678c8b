"""Fixtures of the tests of `beamtune baselines`: prepared data sets of vectors and of frames."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prepared_data import track_record, write_prepared_data

from beam_pipelines.audio.config import AudioConfig, SegmentConfig
from beam_pipelines.features.config import FEATURE_CONFIGS
from beam_pipelines.records import schema
from beam_pipelines.records.example import encode_example
from trainer.baselines.config import BaselinesConfig

LABELS = ("blues", "funk", "waltz")


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
    features = splits["train"][0].features
    feature_configs = {name: asdict(FEATURE_CONFIGS[(kinds or {}).get(name, name)]()) for name in features}
    return write_prepared_data(
        directory,
        {
            split: [_records(splits[split][index::2]) for index in range(2)]
            for split in schema.SPLITS
            if split in splits
        },
        specs=[
            schema.FeatureSpec(name=name, shape=values.shape[1:], dtype=values.dtype.name)
            for name, values in features.items()
        ],
        labels=LABELS,
        tracks=[
            track_record(
                track.track_id,
                split=split,
                group=track.group,
                label=LABELS[track.label],
                duration_s=9.0,
                num_segments=track.num_segments,
            )
            for split, tracks in splits.items()
            for track in tracks
        ],
        config={"audio": asdict(AudioConfig()), "segment": asdict(SegmentConfig()), "features": feature_configs},
        split_leak=split_leak,
        cache_key=cache_key,
    )


def _records(tracks: Sequence[FakeTrack]) -> list[bytes]:
    return [
        encode_example(
            track_id=track.track_id,
            segment_index=segment,
            start_s=3.0 * segment,
            label=track.label,
            features={key: values[segment] for key, values in track.features.items()},
        )
        for track in tracks
        for segment in range(track.num_segments)
    ]


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
