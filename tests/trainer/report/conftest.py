"""Fixtures of the tests of `beamtune report`: finished runs of given predictions, and their reports."""

import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from page_parser import PageParts, parse_page
from prepared_data import track_record, write_prepared_data

from beam_pipelines.audio.config import AudioConfig, SegmentConfig
from beam_pipelines.features.config import LogMelConfig
from beam_pipelines.records import schema
from beam_pipelines.records.json_lines import DuplicatePair, Reject, TrackRecord
from trainer.data.prepared import open_prepared
from trainer.metrics.calibration import Calibration, calibrated
from trainer.metrics.levels import evaluated_levels
from trainer.metrics.predictions import Predictions
from trainer.report.config import ReportConfig
from trainer.report.report import report
from trainer.runs.prediction_files import write_predictions
from trainer.runs.run_dir import RunDir
from trainer.runs.run_metrics import ModelSummary
from trainer.training.config import TrainConfig

LABELS = ("blues", "funk", "waltz")
AUDIO = AudioConfig(sample_rate_hz=8000)
SEGMENT = SegmentConfig(duration_s=0.5, hop_s=0.5)
LOG_MEL = LogMelConfig(n_fft=512, hop_length=512, n_mels=16)
MODEL = ModelSummary(name="cnn2d", features=("log_mel",), num_parameters=12, train_duration_s=3.0)


@dataclass(frozen=True)
class Predicted:
    """A track of the test split and its prediction.

    Attributes:
        track_id: The track.
        label: The index of its genre.
        probabilities: Those of its two segments, which are equal.
        group: Its group; None for one of its own.
        uri: Its audio file.
    """

    track_id: str
    label: int
    probabilities: Sequence[float]
    group: str | None = None
    uri: str = "/absent"


# Right: a, b, c, e. Wrong: d and f are taken for blues.
TRACKS = (
    Predicted("a", 0, (0.9, 0.06, 0.04), "ann"),
    Predicted("b", 0, (0.6, 0.3, 0.1), "ann"),
    Predicted("c", 1, (0.2, 0.7, 0.1), "bob"),
    Predicted("d", 1, (0.8, 0.15, 0.05), "bob"),
    Predicted("e", 2, (0.2, 0.3, 0.5), "cat"),
    Predicted("f", 2, (0.45, 0.15, 0.4), "dan"),
)


def predictions_of(tracks: Sequence[Predicted]) -> Predictions:
    """Returns predictions of tracks with two equal segments each."""
    tracks = sorted(tracks, key=lambda track: track.track_id)
    return Predictions(
        track_ids=tuple(track.track_id for track in tracks),
        groups=tuple(track.track_id if track.group is None else track.group for track in tracks),
        labels=np.array([track.label for track in tracks], dtype=np.int64),
        segment_probabilities=np.repeat([track.probabilities for track in tracks], 2, axis=0),
        segment_tracks=np.repeat(np.arange(len(tracks)), 2),
        segment_starts_s=np.tile(np.array([0.0, 0.5], dtype=np.float32), len(tracks)),
    )


def write_data(
    directory: Path,
    tracks: Sequence[Predicted],
    *,
    labels: Sequence[str] = LABELS,
    leak: str | None = None,
    cache_key: str = "abc",
    rejects: Sequence[Reject] = (),
    duplicates: Sequence[DuplicatePair] = (),
) -> Path:
    """Writes a prepared data set with these tracks in the test split, and two in the train split."""
    records: list[TrackRecord] = [
        track_record(
            track.track_id,
            split="test",
            group=track.track_id if track.group is None else track.group,
            label=labels[track.label],
            num_segments=2,
            uri=track.uri,
        )
        for track in tracks
    ]
    group = "train {}" if all(track.group is None for track in tracks) else "t{}"
    in_train = [
        track_record(
            f"train {number}", split="train", group=group.format(number), label=labels[min(number, 1)], num_segments=2
        )
        for number in range(3)
    ]
    return write_prepared_data(
        directory,
        {split: [] for split in schema.SPLITS},
        specs=[schema.FeatureSpec(name="log_mel", shape=(8, 16), dtype="float16")],
        labels=labels,
        tracks=[*records, *in_train],
        config={
            "audio": asdict(AUDIO),
            "segment": asdict(SEGMENT),
            "features": {"log_mel": asdict(LOG_MEL)},
            "dataset": {"name": "tiny", "path": "/music/tiny.csv"},
        },
        split_leak=leak,
        cache_key=cache_key,
        rejects=rejects,
        duplicates=duplicates,
    )


def write_run(
    directory: Path,
    tracks: Sequence[Predicted] = TRACKS,
    *,
    calibration: Calibration | None = None,
    splits: Sequence[str] = ("test",),
    model: ModelSummary = MODEL,
    config: Any = None,
    is_finished: bool = True,
    **data_options: Any,
) -> RunDir:
    """Writes a run and its data set `<directory>-data`."""
    data_dir = write_data(directory.with_name(f"{directory.name}-data"), tracks, **data_options)
    data, run = open_prepared(str(data_dir)), RunDir(str(directory))
    run.start(TrainConfig(run_dir=run.path, data_dir=str(data_dir)) if config is None else config, data)
    predictions = predictions_of(tracks)
    for split in splits:
        run.merge_metrics(split, evaluated_levels(predictions, calibration=calibration), data=data, model=model)
        write_predictions(run, split, calibrated(predictions, calibration), labels=data.labels)
    if is_finished:
        run.mark_finished()
    return run


@dataclass(frozen=True)
class Reported:
    """A written report: its numbers, its parsed page, the text of the page, and what was printed."""

    numbers: Mapping[str, Any]
    page: PageParts
    text: str
    printed: str


def report_on(path: str, output_dir: Path, **settings: Any) -> Reported:
    """Writes and reads a report."""
    stream = io.StringIO()
    config = ReportConfig(output_dir=str(output_dir), **settings)
    report(path, config, to_command=lambda name, _: f"beamtune {name}", stream=stream)
    text = (output_dir / "index.html").read_text(encoding="utf-8")
    numbers = json.loads((output_dir / "report.json").read_text(encoding="utf-8"))
    return Reported(numbers=numbers, page=parse_page(text), text=text, printed=stream.getvalue())


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., RunDir]:
    """Writes a run below tmp_path: (name, tracks=TRACKS, *, calibration, splits, model, config, is_finished, …)."""
    return lambda name="run", *arguments, **options: write_run(tmp_path / name, *arguments, **options)


@pytest.fixture
def reported(tmp_path: Path) -> Callable[..., Reported]:
    """Writes and reads the report of a directory: (path, name="report", **settings)."""
    return lambda path, name="report", **settings: report_on(path, tmp_path / name, **settings)


@pytest.fixture(scope="session")
def tracks() -> tuple[Predicted, ...]:
    """Six tracks of three genres, of which two are wrong."""
    return TRACKS


@pytest.fixture(scope="session")
def make_track() -> type[Predicted]:
    """Makes a track: (track_id, label, probabilities, group=None, uri="/absent")."""
    return Predicted
