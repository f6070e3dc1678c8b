"""Songs with an embedding of shape (1, values) for each segment, in memory and as prepared data."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from prepared_data import track_record, write_prepared_data

from beam_pipelines.audio.config import AudioConfig, SegmentConfig
from beam_pipelines.features.config import MusicnnConfig
from beam_pipelines.records import schema
from beam_pipelines.records.example import encode_example
from beam_pipelines.records.json_lines import TrackRecord
from trainer.baselines.vectors import Vectors
from trainer.quick.labelled_tracks import LabelledTracks

LABELS = ("blues", "funk", "waltz")
SEGMENTS_PER_TRACK = 3
SIZE = 6


def _make_songs(
    *, artists: int = 4, songs: int = 2, num_genres: int = 3, without_artist: bool = False, seed: int = 0
) -> LabelledTracks:
    """Returns songs of genres that overlap a little: each artist has an offset of its own."""
    rng = np.random.default_rng(seed)
    tracks: list[TrackRecord] = []
    values: list[np.ndarray] = []
    for label in range(num_genres):
        for artist in range(artists):
            offset = 0.7 * rng.normal(size=SIZE) + 1.5 * np.eye(SIZE)[label]
            for song in range(songs):
                track_id = f"{LABELS[label]}/{artist}/{song}.mp3"
                tracks.append(
                    track_record(
                        track_id,
                        split="train",
                        group=track_id if without_artist else f"{LABELS[label]} artist {artist}",
                        label=LABELS[label],
                        num_segments=SEGMENTS_PER_TRACK,
                    )
                )
                values.append(offset + rng.normal(size=(SEGMENTS_PER_TRACK, SIZE)))
    num_segments = len(tracks) * SEGMENTS_PER_TRACK
    return LabelledTracks(
        vectors=Vectors(
            values=np.concatenate(values).astype(np.float16).astype(np.float32),
            labels=np.repeat([LABELS.index(track.label) for track in tracks], SEGMENTS_PER_TRACK),
            track_ids=tuple(track.track_id for track in tracks for _ in range(SEGMENTS_PER_TRACK)),
            starts_s=np.arange(num_segments, dtype=np.float32) % SEGMENTS_PER_TRACK * 3.0,
        ),
        tracks=tracks,
        joined={},
        num_classes=num_genres,
    )


@pytest.fixture(scope="session")
def make_songs() -> Callable[..., LabelledTracks]:
    """Makes songs: (*, artists=4, songs=2, num_genres=3, without_artist=False, seed=0)."""
    return _make_songs


@pytest.fixture(scope="session")
def songs() -> LabelledTracks:
    """Three genres of four artists with two songs each."""
    return _make_songs()


@pytest.fixture(scope="session")
def write_songs() -> Callable[..., Path]:
    """Writes songs as the data that `beamtune quick` prepares: (directory, songs)."""

    def write(directory: Path, songs: LabelledTracks) -> Path:
        vectors = songs.vectors
        labels = LABELS[: songs.num_classes]
        records = [
            encode_example(
                track_id=track_id,
                segment_index=index % SEGMENTS_PER_TRACK,
                start_s=float(vectors.starts_s[index]),
                label=int(vectors.labels[index]),
                features={"musicnn": vectors.values[index][np.newaxis].astype(np.float16)},
            )
            for index, track_id in enumerate(vectors.track_ids)
        ]
        config = {
            "dataset": {"name": "folder", "root": "/music"},
            "audio": asdict(AudioConfig()),
            "segment": asdict(SegmentConfig()),
            "features": {"musicnn": asdict(MusicnnConfig())},
        }
        stats = schema.BandStats(
            num_frames=len(records),
            mean=tuple(vectors.values.mean(axis=0).tolist()),
            std=tuple(vectors.values.std(axis=0).tolist()),
        )
        return write_prepared_data(
            directory,
            {"train": [records]},
            specs=[schema.FeatureSpec(name="musicnn", shape=(1, SIZE), dtype="float16")],
            labels=labels,
            tracks=songs.tracks,
            config=config,
            stats={"musicnn": stats},
        )

    return write
