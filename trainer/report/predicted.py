"""The sections of a report that come from the predictions for tracks: of a run, or out of fold."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from beam_pipelines.prepare.prepare_yaml import PrepareYaml
from trainer.data.group_word import group_word_of_preparation
from trainer.metrics.calibration import with_temperature
from trainer.metrics.level_metrics import LevelMetrics
from trainer.metrics.metrics import CalibrationBin, calibration_bins
from trainer.metrics.predictions import TrackPredictions
from trainer.metrics.score_tables import frequent_confusions, score_text
from trainer.metrics.selective import CoveragePoint, at_coverages, coverage_curve
from trainer.report.config import ReportConfig
from trainer.report.mistakes import (
    ConfusedPair,
    WrongTrack,
    confident_from,
    confused_pairs,
    errors_by_group,
    least_certain,
    wrong_tracks,
)

# Below this number, intervals over groups rest on so few that another choice of artists may give another result.
FEW_GROUPS = 30
_COVERAGES = tuple(share / 10 for share in range(10, 0, -1))
_MOST_GROUP_ROWS = 30


@dataclass(frozen=True)
class PredictedTracks:
    """Predictions, and their metrics.

    Attributes:
        tracks: The predictions, calibrated if the model is.
        labels: The genres.
        metrics: The metrics of the level of tracks.
    """

    tracks: TrackPredictions
    labels: tuple[str, ...]
    metrics: LevelMetrics

    @property
    def has_groups(self) -> bool:
        """Whether tracks have groups, such as artists, other than themselves."""
        return self.tracks.groups != self.tracks.track_ids

    @property
    def num_groups(self) -> int:
        return len(set(self.tracks.groups))


def predicted_sections(
    predicted: PredictedTracks, config: ReportConfig, *, preparation: PrepareYaml | None
) -> dict[str, Any]:
    """Returns the sections of the page, by name.

    Args:
        predicted: The predictions.
        config: The settings.
        preparation: How the data were prepared; None if there is no record of it.
    """
    tracks, labels = predicted.tracks, predicted.labels
    groups, curve = errors_by_group(tracks), coverage_curve(tracks.probabilities, tracks.labels)
    pairs = confused_pairs(tracks, labels, most=config.confused_pairs)
    return {
        "num_tracks": len(tracks.track_ids),
        "group_word": group_word_of_preparation(preparation, has_groups=predicted.has_groups),
        "num_groups": predicted.num_groups if predicted.has_groups else None,
        "confusion_matrix": predicted.metrics.confusion_matrix,
        "confusion_shares": [_shares(counts) for counts in predicted.metrics.confusion_matrix],
        "frequent_confusions": [
            {"label": labels[true], "predicted": labels[guess], "num_tracks": count}
            for true, guess, count in frequent_confusions(predicted.metrics.confusion_matrix)
        ],
        "genres": _genres(predicted),
        "calibration": _calibration(predicted),
        "coverage": {
            "curve": [asdict(point) for point in curve],
            "table": [asdict(point) for point in _legible(at_coverages(curve, _COVERAGES))],
        },
        "confused_pairs": [asdict(pair) for pair in pairs],
        **_mistakes(predicted, config, pairs=pairs),
        "num_wrong_groups": None if groups is None else len(groups),
        "groups": None if groups is None else [asdict(group) for group in groups[:_MOST_GROUP_ROWS]],
    }


def _legible(points: Sequence[CoveragePoint]) -> list[CoveragePoint]:
    """Returns, of the points whose least probability reads the same, the one that answers the most tracks.

    Args:
        points: The point with the largest coverage first.
    """
    found: dict[str, CoveragePoint] = {}
    for point in points:
        found.setdefault(score_text(point.min_confidence), point)
    return list(found.values())


def _mistakes(predicted: PredictedTracks, config: ReportConfig, *, pairs: Sequence[ConfusedPair]) -> dict[str, Any]:
    """Returns the lists of wrong tracks: each track is in one of them, or the example of a pair."""
    tracks, labels = predicted.tracks, predicted.labels
    wrong, least = wrong_tracks(tracks, labels), confident_from(len(labels))
    shown = {pair.example.track_id for pair in pairs}
    confident = [track for track in wrong if track.predicted_probability >= least and track.track_id not in shown]
    confident = confident[: config.confident_mistakes]
    shown |= {track.track_id for track in confident}
    uncertain = [track for track in least_certain(tracks, labels) if track.track_id not in shown]
    return {
        "num_wrong": len(wrong),
        "confident_from": least,
        "confident_mistakes": _rows(confident),
        "uncertain_mistakes": _rows(uncertain[: config.uncertain_mistakes]),
    }


def _shares(counts: Sequence[int]) -> list[float | None]:
    total = sum(counts)
    return [count / total if total else None for count in counts]


def shown_track_ids(sections: Mapping[str, Any]) -> list[str]:
    """Returns the tracks that the page shows with an excerpt, in its order."""
    rows = [pair["example"] for pair in sections["confused_pairs"]]
    rows += [*sections["confident_mistakes"], *sections["uncertain_mistakes"]]
    return [row["track_id"] for row in rows]


def _rows(tracks: Sequence[WrongTrack]) -> list[dict[str, Any]]:
    return [asdict(track) for track in tracks]


def _genres(predicted: PredictedTracks) -> list[dict[str, Any]]:
    """Returns precision, recall and errors of each genre."""
    tracks, labels = predicted.tracks, predicted.labels
    predictions = tracks.probabilities.argmax(axis=1)
    rows = []
    for number, (label, metrics) in enumerate(zip(labels, predicted.metrics.per_class, strict=True)):
        members = np.flatnonzero(tracks.labels == number)
        wrong = Counter(labels[predictions[index]] for index in members if predictions[index] != number)
        most_frequent = min(wrong.items(), key=lambda entry: (-entry[1], entry[0]), default=(None, 0))
        rows.append(
            {
                "genre": label,
                **asdict(metrics),
                "num_groups": len({tracks.groups[index] for index in members}) if predicted.has_groups else None,
                "num_wrong": metrics.num_true - predicted.metrics.confusion_matrix[number][number],
                "taken_for": most_frequent[0],
                "num_taken_for": most_frequent[1],
            }
        )
    return rows


def _calibration(predicted: PredictedTracks) -> dict[str, Any]:
    """Returns the bins before and after scaling. The predictions are scaled: the inverse gives those before."""
    tracks, metrics = predicted.tracks, predicted.metrics
    after = metrics.calibrated
    series = {"as predicted": tracks.probabilities}
    if after is not None:
        before = with_temperature(tracks.probabilities, 1 / after.temperature)
        series = {"before scaling": before, "after scaling": tracks.probabilities}
    bins = [{one.low: one for one in calibration_bins(values, tracks.labels)} for values in series.values()]
    return {
        "temperature": None if after is None else after.temperature,
        "error_before": metrics.expected_calibration_error,
        "error_after": None if after is None else after.expected_calibration_error,
        "series": list(series),
        "bins": [
            {
                "low": one.low,
                "high": one.high,
                "series": [_bin_row(of_series.get(one.low)) for of_series in bins],
            }
            for one in sorted({low: one for of_series in bins for low, one in of_series.items()}.values(), key=_low)
        ],
    }


def _low(one: CalibrationBin) -> float:
    return one.low


def _bin_row(one: CalibrationBin | None) -> dict[str, Any]:
    """Returns the numbers of a bin; None stands for one without tracks."""
    if one is None:
        return {"num_examples": 0, "confidence": None, "accuracy": None}
    return {"num_examples": one.num_examples, "confidence": one.confidence, "accuracy": one.accuracy}
