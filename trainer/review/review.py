"""`beamtune review`: the suspected label errors of a data set, from the predictions of a cross-validation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TextIO

import numpy as np

from beam_pipelines.common.errors import UserError
from beam_pipelines.common.lease import holding
from beam_pipelines.common.terminal import counted
from trainer.common import files
from trainer.common.output_folder import check_output_dir, write_texts
from trainer.crossval.out_of_fold import OutOfFold, read_out_of_fold
from trainer.data.prepared import open_prepared
from trainer.explore.excerpts import Excerpt, MissingExcerpt, read_excerpts
from trainer.explore.prepared_tables import read_tables
from trainer.review.config import ReviewConfig
from trainer.review.label_errors import LabelReview, review_labels
from trainer.review.page import Entry, render_page
from trainer.review.tables import dataset_csv, dataset_rows, ranking, ranking_csv

PAGE_FILE, RANKING_FILE, TABLE_FILE = "index.html", "ranking.csv", "tracks.csv"


def review(crossval_dir: str, config: ReviewConfig, *, stream: TextIO) -> None:
    """Writes the page, the ranking of all tracks, and the data set as a table, and prints a summary.

    Args:
        crossval_dir: A finished cross-validation, or one learner of it, local or gs://.
        config: The settings.
        stream: Where the summary is printed.

    Raises:
        UserError: The cross-validation or its data set is missing, not finished or damaged, or the output cannot be
            written.
    """
    found = read_out_of_fold(crossval_dir)
    data_dir = found.data_dir if config.data_dir is None else config.data_dir
    data, tables = open_prepared(data_dir), read_tables(data_dir)
    tracks = {track.track_id: track for track in tables.tracks}
    if missing := [track_id for track_id in found.track_ids if track_id not in tracks]:
        raise UserError(f"{data_dir} has no track {missing[0]}, which {crossval_dir} predicts: give its own data_dir")
    reviewed = review_labels(found.probabilities, found.labels)
    rows = dataset_rows(found, tracks=tracks)
    check_output_dir(config.output_dir, written=RANKING_FILE, command="review")
    with holding(config.output_dir, key="output_dir") as lease:
        shown = _shown(reviewed, config)
        excerpts = read_excerpts(
            [tracks[found.track_ids[index]] for index in (*shown.suspects, *shown.uncertain)],
            data_dir=data_dir,
            preparation=tables.preparation,
            duration_s=config.excerpt_duration_s,
        )
        page = render_page(
            name=data.info.name,
            num_tracks=len(found.track_ids),
            num_suspected=int(reviewed.is_suspected.sum()),
            split_leak=found.split_leak,
            genres=found.genres,
            suspects=[_entry(index, found, reviewed, rows, excerpts) for index in shown.suspects],
            uncertain=[_entry(index, found, reviewed, rows, excerpts) for index in shown.uncertain],
            rows=rows,
        )
        lease.check()
        table = ranking_csv(found, reviewed, tracks=tracks)
        write_texts(config.output_dir, {RANKING_FILE: table, TABLE_FILE: dataset_csv(rows), PAGE_FILE: page})
    _print_summary(found, reviewed, excerpts=excerpts, output_dir=config.output_dir, stream=stream)


@dataclass(frozen=True)
class _Shown:
    """The indices of the tracks on the page."""

    suspects: Sequence[int]
    uncertain: Sequence[int]


def _shown(reviewed: LabelReview, config: ReviewConfig) -> _Shown:
    """Returns the suspected tracks, the clearest contradictions first, and the least certain of the others."""
    suspects = [index for index in ranking(reviewed) if reviewed.is_suspected[index]][: config.suspects]
    by_certainty = [int(index) for index in np.argsort(reviewed.certainty, kind="stable")]
    uncertain = [index for index in by_certainty if not reviewed.is_suspected[index]][: config.uncertain]
    return _Shown(suspects=suspects, uncertain=uncertain)


def _entry(
    index: int,
    found: OutOfFold,
    reviewed: LabelReview,
    rows: Sequence[tuple[str, str, str]],
    excerpts: Mapping[str, Excerpt | MissingExcerpt],
) -> Entry:
    track_id, suggested = found.track_ids[index], int(reviewed.suggested[index])
    excerpt = excerpts[track_id]
    return Entry(
        row=index,
        track_id=track_id,
        genre=rows[index][1],
        suggested=found.genres[suggested],
        probability_of_genre=float(found.probabilities[index, found.labels[index]]),
        probability_of_suggested=float(found.probabilities[index, suggested]),
        artist=rows[index][2],
        mp3=excerpt.mp3 if isinstance(excerpt, Excerpt) else None,
        problem=excerpt.problem if isinstance(excerpt, MissingExcerpt) else None,
    )


def _print_summary(
    found: OutOfFold,
    reviewed: LabelReview,
    *,
    excerpts: Mapping[str, Excerpt | MissingExcerpt],
    output_dir: str,
    stream: TextIO,
) -> None:
    if found.split_leak is not None:
        print(f"note: the models may have heard these artists: {found.split_leak}", file=stream)
    problems = [excerpt.problem for excerpt in excerpts.values() if isinstance(excerpt, MissingExcerpt)]
    if problems:
        num_excerpts = counted(len(excerpts), "excerpt")
        print(
            f"note: {len(problems)} of {num_excerpts} cannot be read, the first one because: {problems[0]}", file=stream
        )
    num_tracks = counted(len(found.track_ids), "track")
    print(f"{int(reviewed.is_suspected.sum())} of {num_tracks} may have a wrong genre", file=stream)
    for name, what in (
        (PAGE_FILE, "excerpts to hear, and the corrected table to save"),
        (RANKING_FILE, "all tracks, the most likely errors first"),
        (TABLE_FILE, "the data set as it is, for beamtune prepare dataset=csv"),
    ):
        print(f"{files.join(output_dir, name)}: {what}", file=stream)
