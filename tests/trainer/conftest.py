"""Fixtures of the trainer's tests: tiny prepared data sets."""

import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prepared_data import track_record, write_prepared_data

from beam_pipelines.audio.config import AudioConfig, SegmentConfig
from beam_pipelines.features.config import LogMelConfig
from beam_pipelines.records import schema
from beam_pipelines.records.example import encode_example
from beam_pipelines.records.json_lines import TrackRecord
from trainer.board.config import BoardConfig
from trainer.models.architectures.cnn2d import Cnn2dConfig
from trainer.training.config import OptimizerConfig, TrainConfig
from trainer.training.train import train

LABELS = ("blues", "funk", "waltz")
SHAPE = (8, 16)
SEGMENTS_PER_TRACK = 3
# Half a second of audio at 8 kHz gives the (8, 16) of SHAPE.
AUDIO = AudioConfig(sample_rate_hz=8000)
SEGMENT = SegmentConfig(duration_s=0.5, hop_s=0.5)
LOG_MEL = LogMelConfig(n_fft=512, hop_length=512, n_mels=16)


@dataclass(frozen=True)
class Row:
    """One segment of a tiny data set."""

    track_id: str
    segment_index: int
    label: int
    values: np.ndarray


def _make_rows(split: str, *, num_tracks: int, labels: Sequence[int] = (0, 1, 2), seed: int = 0) -> list[Row]:
    """Returns segments of genres that a small network separates: louder in every other frame or band, or nowhere."""
    rng = np.random.default_rng([seed, schema.SPLITS.index(split)])
    rows = []
    for track in range(num_tracks):
        label = labels[track % len(labels)]
        for segment in range(SEGMENTS_PER_TRACK):
            values = rng.normal(-40.0, 6.0, SHAPE)
            if label == 0:
                values[::2] += 20.0
            elif label == 1:
                values[:, ::2] += 20.0
            rows.append(Row(f"{split}{track}.mp3", segment, label, values.astype(np.float16)))
    return rows


_DEFAULT_SPLITS = {
    "train": _make_rows("train", num_tracks=10),
    "validation": _make_rows("validation", num_tracks=5),
    "test": _make_rows("test", num_tracks=4),
}


def _write_prepared(
    directory: Path,
    splits: Mapping[str, Sequence[Row]],
    *,
    num_shards: int = 3,
    cache_key: str = "abc",
    feature: str = "log_mel",
    split_leak: str | None = None,
) -> Path:
    """Writes a prepared directory of these splits; a track's rows follow one another in one shard."""
    train_values = np.concatenate([row.values for row in splits["train"]]).astype(np.float64)
    return write_prepared_data(
        directory,
        {split: _shards(splits.get(split, []), num_shards, feature) for split in schema.SPLITS},
        specs=[schema.FeatureSpec(name=feature, shape=SHAPE, dtype="float16")],
        labels=LABELS,
        tracks=_track_records(splits),
        config={"audio": asdict(AUDIO), "segment": asdict(SEGMENT), "features": {feature: asdict(LOG_MEL)}},
        stats={
            feature: schema.BandStats(
                num_frames=len(train_values),
                mean=tuple(train_values.mean(axis=0).tolist()),
                std=tuple(train_values.std(axis=0).tolist()),
            )
        },
        split_leak=split_leak,
        cache_key=cache_key,
    )


def _track_records(splits: Mapping[str, Sequence[Row]]) -> list[TrackRecord]:
    """Returns the tracks of all splits, two of each artist; no artist is in two splits."""
    num_segments = Counter(row.track_id for rows in splits.values() for row in rows)
    return [
        track_record(
            track_id,
            split=split,
            group=f"{split} artist {index // 2}",
            label=LABELS[label],
            duration_s=SEGMENTS_PER_TRACK * SEGMENT.duration_s,
            num_segments=num_segments[track_id],
        )
        for split, rows in splits.items()
        for index, (track_id, label) in enumerate({row.track_id: row.label for row in rows}.items())
    ]


def _shards(rows: Sequence[Row], num_shards: int, feature: str) -> list[list[bytes]]:
    tracks = list(dict.fromkeys(row.track_id for row in rows))
    return [
        [
            encode_example(
                track_id=row.track_id,
                segment_index=row.segment_index,
                start_s=row.segment_index * SEGMENT.hop_s,
                label=row.label,
                features={feature: row.values},
            )
            for row in rows
            if tracks.index(row.track_id) % num_shards == index
        ]
        for index in range(num_shards)
    ]


@pytest.fixture
def make_rows() -> Callable[..., list[Row]]:
    """The function that makes the segments of a split: (split, *, num_tracks, labels=(0, 1, 2), seed=0)."""
    return _make_rows


@pytest.fixture
def write_prepared(tmp_path: Path) -> Callable[..., Path]:
    """Writes a prepared directory and returns it; keywords replace its splits, name and other properties."""

    def write(
        splits: Mapping[str, Sequence[Row]] | None = None, *, directory_name: str = "data", **options: Any
    ) -> Path:
        return _write_prepared(tmp_path / directory_name, {**_DEFAULT_SPLITS, **(splits or {})}, **options)

    return write


@pytest.fixture
def prepared_dir(write_prepared: Callable[..., Path]) -> Path:
    """A prepared directory of 30 train, 15 validation and 12 test segments, in 3 shards each."""
    return write_prepared()


def _tiny_config(directory: Path) -> TrainConfig:
    return TrainConfig(
        run_dir=str(directory / "run"),
        data_dir=str(directory / "data"),
        epochs=3,
        global_batch_size=8,
        steps_per_call=3,
        model=Cnn2dConfig(filters=[8, 8], time_pools=[2, 2], band_pools=[2, 2], hidden_units=16, dropout=0.1),
        optimizer=OptimizerConfig(learning_rate=0.01),
        # Drawing and computing embeddings take longer than learning here. The finished run has all of them.
        board=BoardConfig(confusion_matrix=False, num_spectrograms=0, num_embeddings=0),
    )


@pytest.fixture
def make_config(tmp_path: Path, prepared_dir: Path) -> Callable[..., TrainConfig]:
    """Returns the config of a short run on `prepared_dir`; keywords replace values."""
    return lambda **changes: replace(_tiny_config(tmp_path), **changes)


@pytest.fixture(scope="session")
def _finished_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("finished")
    _write_prepared(directory / "data", _DEFAULT_SPLITS)
    train(replace(_tiny_config(directory), board=BoardConfig()))
    return directory


@pytest.fixture(scope="session")
def shared_config(_finished_run: Path) -> TrainConfig:
    """The config of a finished run that all tests share: they must not write to its data or its run directory."""
    return _tiny_config(_finished_run)


@pytest.fixture
def finished(tmp_path: Path, _finished_run: Path) -> TrainConfig:
    """The config of a finished run, a copy of the shared one that the test may change."""
    shutil.copytree(_finished_run, tmp_path, dirs_exist_ok=True)
    config_path = tmp_path / "run" / "config.yaml"
    config_path.write_text(config_path.read_text().replace(str(_finished_run), str(tmp_path)))
    return _tiny_config(tmp_path)
