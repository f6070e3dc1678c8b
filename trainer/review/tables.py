"""The tables of a review: all tracks by how likely their genre is wrong, and the data set as `prepare` reads it."""

import csv
import io
import os
from collections.abc import Mapping, Sequence

import numpy as np

from beam_pipelines.common.paths import is_local
from beam_pipelines.records.json_lines import TrackRecord
from trainer.crossval.out_of_fold import OutOfFold
from trainer.review.label_errors import LabelReview

# Of a table that `prepare dataset=csv` reads with its default settings.
TABLE_COLUMNS = ("path", "genre", "artist")


def ranking(review: LabelReview) -> list[int]:
    """Returns the indices of the tracks, the most likely label errors first."""
    return [int(index) for index in np.argsort(review.margins, kind="stable")]


def ranking_csv(found: OutOfFold, review: LabelReview, *, tracks: Mapping[str, TrackRecord]) -> str:
    """Returns a row for each track, the most likely label errors first."""
    rows: list[Sequence[object]] = [
        (
            "rank",
            "track_id",
            "path",
            "genre",
            "suggested",
            "probability_of_genre",
            "probability_of_suggested",
            "suspected",
        )
    ]
    for rank, index in enumerate(ranking(review), start=1):
        track_id, label, suggested = found.track_ids[index], found.labels[index], review.suggested[index]
        rows.append(
            (
                rank,
                track_id,
                path_of(tracks[track_id]),
                found.genres[label],
                found.genres[suggested],
                f"{found.probabilities[index, label]:.6f}",
                f"{found.probabilities[index, suggested]:.6f}",
                int(review.is_suspected[index]),
            )
        )
    return _csv(rows)


def dataset_rows(found: OutOfFold, *, tracks: Mapping[str, TrackRecord]) -> list[tuple[str, str, str]]:
    """Returns the path, genre and artist of each track, in the order of `found`."""
    return [
        (
            path_of(track),
            track.label,
            # A track without an artist is a group of its own, also in the new table.
            "" if track.group == track.track_id else track.group,
        )
        for track in (tracks[track_id] for track_id in found.track_ids)
    ]


def dataset_csv(rows: Sequence[tuple[str, str, str]]) -> str:
    """Returns the table of `dataset_rows`."""
    return _csv([TABLE_COLUMNS, *rows])


def path_of(track: TrackRecord) -> str:
    """Returns the absolute path of a track's audio file: a table has paths relative to its own folder."""
    return os.path.abspath(track.uri) if is_local(track.uri) else track.uri


def _csv(rows: Sequence[Sequence[object]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
