"""Fixtures of the tests of cross-validation: small prepared data sets of several artists and shards."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prepared_data import track_record, write_prepared_data

from beam_pipelines.audio.config import AudioConfig, SegmentConfig
from beam_pipelines.features.config import LogMelConfig, WaveformConfig
from beam_pipelines.prepare.config import ShardConfig
from beam_pipelines.records import schema
from beam_pipelines.records.example import encode_example
from beam_pipelines.records.json_lines import DuplicatePair, DuplicateTrack, TrackRecord
from beam_pipelines.splits.config import DuplicatesConfig
from trainer.board.config import BoardConfig
from trainer.crossval.config import CrossvalConfig
from trainer.crossval.source import Source, open_source
from trainer.models.architectures.cnn2d import Cnn2dConfig
from trainer.training.config import OptimizerConfig

LABELS = ("blues", "funk")
SHAPE = (8, 16)
NUM_SAMPLES = 4000  # half a second at 8 kHz
SEGMENT = SegmentConfig(duration_s=0.5, hop_s=0.5)
SPECS = (
    schema.FeatureSpec(name="log_mel", shape=SHAPE, dtype="float16"),
    schema.FeatureSpec(name="waveform", shape=(NUM_SAMPLES,), dtype="int16"),
)


@dataclass(frozen=True)
class Segment:
    """One segment of a shard."""

    track: TrackRecord
    segment_index: int
    log_mel: np.ndarray
    waveform: np.ndarray

    @property
    def record(self) -> bytes:
        return encode_example(
            track_id=self.track.track_id,
            segment_index=self.segment_index,
            start_s=self.segment_index * SEGMENT.hop_s,
            label=LABELS.index(self.track.label),
            features={"log_mel": self.log_mel, "waveform": self.waveform},
        )


def _tracks(num_groups: int, tracks_per_group: int) -> list[TrackRecord]:
    """Returns tracks of 1 to 4 segments in the order of shards: split by split, the genres in turn."""
    tracks = []
    for split in schema.SPLITS:
        for group in range(num_groups):
            for number in range(tracks_per_group):
                for label in LABELS:
                    if schema.SPLITS[min(2, group * 3 // num_groups)] == split:
                        tracks.append(
                            track_record(
                                f"{label}/{group}/{number}.mp3",
                                split=split,
                                group=f"{label} artist {group}",
                                label=label,
                                num_segments=1 + (3 * group + number + len(label)) % 4,
                                num_silent_segments=1,
                            )
                        )
    return tracks


def _examples(tracks: Sequence[TrackRecord]) -> list[Segment]:
    """Returns the segments of tracks; those of one genre are louder every other frame. The first segment was silent."""
    rng = np.random.default_rng(0)
    examples = []
    for track in tracks:
        for number in range(track.num_segments):
            log_mel = rng.normal(-40.0, 6.0, SHAPE)
            if track.label == LABELS[0]:
                log_mel[::2] += 20.0
            waveform = rng.integers(-1000, 1000, NUM_SAMPLES)
            examples.append(Segment(track, number + 1, log_mel.astype(np.float16), waveform.astype(np.int16)))
    return examples


def _pair(first: TrackRecord, second: TrackRecord) -> DuplicatePair:
    sides = [
        DuplicateTrack(track_id=track.track_id, uri=track.uri, label=track.label, group=track.group, split=track.split)
        for track in (first, second)
    ]
    return DuplicatePair(
        kind="near", first=sides[0], second=sides[1], offset_s=0.0, overlap_s=1.0, bit_error_rate=0.1, outcome="joined"
    )


def _write_source(
    directory: Path,
    *,
    num_groups: int = 4,
    tracks_per_group: int = 2,
    num_shards: int = 2,
    min_shards: int = 2,
    target_mib: int = 128,
    duplicates: Sequence[tuple[str, str]] = (),
    duplicates_mode: str = "keep_together",
    cache_key: str = "of the source",
) -> Path:
    """Writes a prepared data set; `duplicates` are pairs of track ids."""
    tracks = _tracks(num_groups, tracks_per_group)
    examples = _examples(tracks)
    by_id = {track.track_id: track for track in tracks}
    shards = {}
    for split in schema.SPLITS:
        members = [track for track in tracks if track.split == split]
        ends = [index * len(members) // num_shards for index in range(num_shards + 1)]
        parts = [{track.track_id for track in members[first:end]} for first, end in pairwise(ends)]
        shards[split] = [[each.record for each in examples if each.track.track_id in part] for part in parts]
    return write_prepared_data(
        directory,
        shards,
        specs=SPECS,
        labels=LABELS,
        tracks=tracks,
        config={
            "audio": asdict(AudioConfig(sample_rate_hz=8000)),
            "segment": asdict(SEGMENT),
            "duplicates": asdict(DuplicatesConfig(mode=duplicates_mode)),
            "features": {
                "log_mel": asdict(LogMelConfig(n_fft=512, hop_length=512, n_mels=16)),
                "waveform": asdict(WaveformConfig()),
            },
            "shards": asdict(ShardConfig(target_mib=target_mib, min_shards=min_shards)),
        },
        cache_key=cache_key,
        duplicates=[_pair(by_id[first], by_id[second]) for first, second in duplicates],
    )


@pytest.fixture
def write_source(tmp_path: Path) -> Callable[..., Path]:
    """Writes a prepared data set of two genres, four artists each, and returns its directory."""
    return lambda name="data", **options: _write_source(tmp_path / name, **options)


@pytest.fixture
def make_source(write_source: Callable[..., Path]) -> Callable[..., Source]:
    """Writes a prepared data set and opens it."""
    return lambda name="data", **options: open_source(str(write_source(name, **options)))


@pytest.fixture
def examples_of() -> Callable[[Source], list[Segment]]:
    """The segments of a data set, in the order of its shards."""
    return lambda source: _examples(source.tracks)


@pytest.fixture
def make_config(tmp_path: Path) -> Callable[..., CrossvalConfig]:
    """Returns configs whose runs take a second each; keywords replace values."""

    def make(**changes: Any) -> CrossvalConfig:
        values: dict[str, Any] = {
            "data_dir": str(tmp_path / "data"),
            "output_dir": str(tmp_path / "out"),
            "folds": 3,
            "seeds": [0],
            "epochs": 2,
            "global_batch_size": 8,
            "steps_per_call": 1,
            "model": Cnn2dConfig(filters=[8, 8], time_pools=[2, 2], band_pools=[2, 2], hidden_units=16, dropout=0.1),
            "optimizer": OptimizerConfig(learning_rate=0.01),
            # Drawing takes longer than learning here.
            "board": BoardConfig(confusion_matrix=False, num_spectrograms=0, num_mistakes=0, num_embeddings=0),
        }
        return CrossvalConfig(**{**values, **changes})

    return make


@pytest.fixture
def quick(write_source: Callable[..., Path], make_config: Callable[..., CrossvalConfig]) -> CrossvalConfig:
    """A cross-validation of a classical learner, on data of its own; networks take seconds to build."""
    baselines = replace(make_config().baselines, learners=["naive_bayes"], feature="log_mel")
    return make_config(
        data_dir=str(write_source(tracks_per_group=3)), learner="baselines", baselines=baselines, seeds=[0, 1]
    )
