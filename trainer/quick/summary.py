"""The table that ends `beamtune quick`, read from the files that it has written."""

import json
import shlex
from typing import TextIO

from beam_pipelines.common.errors import UserError
from beam_pipelines.common.extras import is_installed
from beam_pipelines.common.tables import TextTable
from beam_pipelines.common.terminal import make_console, print_line
from trainer.common import files
from trainer.crossval.file_names import RESULT_FILE
from trainer.crossval.out_of_fold import read_out_of_fold
from trainer.data.prepared import open_prepared, read_tracks
from trainer.metrics.levels import evaluated_tracks
from trainer.metrics.predictions import TrackPredictions
from trainer.metrics.score_tables import few_groups_notes, leak_note, one_genre_notes, with_interval
from trainer.quick.labelled_tracks import artists_text, read_artist_word
from trainer.quick.quick_dir import QuickDir
from trainer.runs.run_dir import RunDir

NO_SCORES = "no scores: a genre has one artist only, and scores on an artist that was learned from are too high"


def print_summary(directory: QuickDir, *, stream: TextIO) -> None:
    """Prints the scores, what was written, and the commands that use it.

    Args:
        directory: The folder, whose steps are finished.
        stream: The stream to print to.

    Raises:
        UserError: A file is damaged.
    """
    console = make_console(stream)
    data = open_prepared(directory.prepared)
    tracks = read_tracks(data)
    table = TextTable(f"{len(tracks)} songs, {len(data.labels)} genres", "what", "value", text=["value"])
    notes = []
    has_scores = files.exists(files.join(directory.crossval, RESULT_FILE))
    word = read_artist_word(directory.prepared, tracks)
    if has_scores:
        notes = _add_scores(table, directory, group_word=word)
    table.add_row(f"{word}s", artists_text(tracks, word))
    table.add_row("model", _model_text(directory))
    console.print(table)
    for note in notes if has_scores else [NO_SCORES]:
        print_line(console, note)
    written = [directory.prepared, directory.crossval, directory.run, directory.export, directory.report]
    for path in written:
        if files.exists(path):
            print_line(console, f"written: {path}")
    for line in _next_lines(directory, has_scores=has_scores):
        print_line(console, line)


def _next_lines(directory: QuickDir, *, has_scores: bool) -> list[str]:
    """Returns the page to open, and the commands that may follow."""
    missing = "" if is_installed("fastapi") else "   (first: pip install 'beamtune[serve]')"
    lines = [
        f"predict: {shlex.join(['beamtune', 'predict', directory.run])} song.mp3",
        f"serve:   {shlex.join(['beamtune', 'serve', directory.run])}{missing}",
    ]
    if not has_scores:
        return lines
    compared = shlex.join(["beamtune", "compare", directory.crossval])
    return [
        f"report:  {files.join(directory.report, 'index.html')}",
        *lines,
        f"compare: {compared} OTHER/crossval   (OTHER: a second output_dir, with other settings such as "
        "'features=[musicnn,yamnet]')",
    ]


def _add_scores(table: TextTable, directory: QuickDir, *, group_word: str) -> list[str]:
    """Adds the scores of the cross-validation to the table; returns the lines below it."""
    found = read_out_of_fold(directory.crossval)
    result = json.loads(files.read_text(files.join(directory.crossval, RESULT_FILE)))
    level = evaluated_tracks(
        TrackPredictions(
            track_ids=found.track_ids, groups=found.groups, labels=found.labels, probabilities=found.probabilities
        )
    )
    title = "songs" if found.split_leak is None else "songs (leaky split)"
    table.add_row(f"accuracy of {title}", with_interval(level, "accuracy"))
    table.add_row(f"macro-F1 of {title}", with_interval(level, "macro_f1"))
    largest = max(genre.num_true for genre in level.per_class) / level.num_examples
    table.add_row("always the largest genre", f"{largest:.3f}")
    table.add_row("folds", str(result["folds"]))
    leak = [] if found.split_leak is None else [leak_note(found.split_leak)]
    same = one_genre_notes("out-of-fold", level, labels=found.genres, is_network=False)
    return [*few_groups_notes([level], group_word=group_word), *same, *leak, *result["contamination"]]


def _model_text(directory: QuickDir) -> str:
    metrics = RunDir(directory.run).metrics()
    if metrics is None:
        raise UserError(f"{directory.run} has no scores: delete {directory.path} and run beamtune quick again")
    model = metrics.model
    c = (model.hyperparameters or {}).get("C")
    return f"logistic regression on {' + '.join(model.features)}, C {c:g}"
