"""Fixtures of the tests of `beamtune explore`: writes prepared data sets, and parses pages."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from page_parser import PageParts, parse_page
from prepared_data import track_record, write_prepared_data

from beam_pipelines.audio.config import AudioConfig, SegmentConfig
from beam_pipelines.features.config import FeatureConfig, LogMelConfig
from beam_pipelines.records import schema
from beam_pipelines.records.example import encode_example
from beam_pipelines.records.json_lines import DuplicatePair, Reject, TrackRecord
from beam_pipelines.splits.config import DuplicatesConfig
from trainer.common import drawing
from trainer.explore.config import ExploreConfig
from trainer.explore.explore import explore

SHAPE = (8, 16)
# Half a second of audio at 8 kHz gives the (8, 16) of SHAPE.
AUDIO = AudioConfig(sample_rate_hz=8000)
SEGMENT = SegmentConfig(duration_s=0.5, hop_s=0.5)
LOG_MEL = LogMelConfig(n_fft=512, hop_length=512, n_mels=16)


@dataclass(frozen=True)
class FakeTrack:
    """A line of `tracks.jsonl`, and the arrays of its segments by feature: (segments, *shape)."""

    record: TrackRecord
    features: Mapping[str, np.ndarray]


def _make_track(
    track_id: str,
    *,
    label: str = "blues",
    split: str = "train",
    num_segments: int = 2,
    features: Mapping[str, np.ndarray] | None = None,
    **fields: Any,
) -> FakeTrack:
    if features is None:
        rng = np.random.default_rng(list(f"{label}{track_id}".encode()))
        features = {"log_mel": rng.normal(-40.0, 10.0, (num_segments, *SHAPE)).astype(np.float16)}
    values = {
        "uri": f"/absent/{track_id}",
        "group": f"group of {track_id}",
        "content_hash": "0",
        "duration_s": 30.0,
        "num_segments": len(next(iter(features.values()))),
    }
    record = track_record(track_id, label=label, split=split, **{**values, **fields})
    return FakeTrack(record=record, features=features)


def _records(tracks: Sequence[FakeTrack], labels: Sequence[str]) -> list[bytes]:
    return [
        encode_example(
            track_id=track.record.track_id,
            segment_index=segment,
            start_s=segment * SEGMENT.hop_s,
            label=labels.index(track.record.label),
            features={key: values[segment] for key, values in track.features.items()},
        )
        for track in tracks
        for segment in range(track.record.num_segments)
    ]


def _write_data_set(
    directory: Path,
    tracks: Sequence[FakeTrack],
    *,
    labels: Sequence[str] | None = None,
    configs: Mapping[str, FeatureConfig | Mapping[str, Any]] | None = None,
    rejects: Sequence[Reject] = (),
    duplicates: Sequence[DuplicatePair] | None = (),
    split_leak: str | None = None,
    name: str = "tiny",
    keep: str = "none",
    num_shards: int = 2,
) -> Path:
    """Writes a prepared directory; `configs` has the settings of features, log_mel's where None."""
    labels = sorted({track.record.label for track in tracks}) if labels is None else labels
    configs = {"log_mel": LOG_MEL} if configs is None else configs
    by_split = {split: [track for track in tracks if track.record.split == split] for split in schema.SPLITS}
    return write_prepared_data(
        directory,
        {
            split: [_records(members[index::num_shards], labels) for index in range(num_shards)]
            for split, members in by_split.items()
            if members
        },
        specs=[
            schema.FeatureSpec(name=key, shape=values.shape[1:], dtype=str(values.dtype))
            for key, values in tracks[0].features.items()
        ],
        labels=labels,
        tracks=[track.record for track in tracks],
        config={
            "audio": asdict(replace(AUDIO, keep=keep)),
            "segment": asdict(SEGMENT),
            "duplicates": asdict(DuplicatesConfig(mode="off" if duplicates is None else "keep_together")),
            "features": {
                key: asdict(config) if isinstance(config, FeatureConfig) else config for key, config in configs.items()
            },
        },
        split_leak=split_leak,
        cache_key="abc123",
        rejects=rejects,
        duplicates=duplicates or (),
        name=name,
    )


@pytest.fixture(scope="session")
def make_track() -> Callable[..., FakeTrack]:
    """Makes a track: (track_id, *, label, split, num_segments, features, and fields of TrackRecord)."""
    return _make_track


@pytest.fixture(scope="session")
def write_data_set_to() -> Callable[..., Path]:
    """Writes a prepared directory and returns it: (directory, tracks, *, labels, configs, rejects, …)."""
    return _write_data_set


@pytest.fixture
def write_data_set(tmp_path: Path) -> Callable[..., Path]:
    """Writes a prepared directory below tmp_path and returns it: (tracks, *, labels, configs, rejects, …)."""

    def write(tracks: Sequence[FakeTrack], *, directory_name: str = "data", **options: Any) -> Path:
        return _write_data_set(tmp_path / directory_name, tracks, **options)

    return write


@pytest.fixture(scope="session", name="parse_page")
def _parse_page() -> Callable[[str], PageParts]:
    """Parses a page; fails if its elements are not closed in order."""
    return parse_page


@pytest.fixture
def explored_page_of(write_data_set, parse_page, tmp_path):
    """Explores a data set of these tracks and returns its parsed page."""

    def run(tracks, *, config=None, **options):
        directory = write_data_set(tracks, **options)
        settings = {"data_dir": str(directory), "output_dir": str(tmp_path / "page"), **(config or {})}
        explore(ExploreConfig(**settings))
        return parse_page((tmp_path / "page" / "index.html").read_text(encoding="utf-8"))

    return run


@pytest.fixture
def painted(monkeypatch):
    """The figures that are saved as PNG, as matplotlib objects."""
    drawn, saved = [], drawing._saved

    def keep(figure, **options):
        if options["format"] == "png":
            drawn.append(figure)
        return saved(figure, **options)

    monkeypatch.setattr(drawing, "_saved", keep)
    return drawn
