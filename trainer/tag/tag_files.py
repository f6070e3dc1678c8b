"""Comparing the genres of files with predicted ones, and writing these, file by file."""

import os
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TextIO

from beam_pipelines.audio.decode import AudioError
from beam_pipelines.common.output_streams import reader_is_gone
from beam_pipelines.common.paths import check_regular
from beam_pipelines.common.progress import ProgressReporter
from trainer.evaluation.confidence import UNKNOWN
from trainer.tag.config import TagConfig
from trainer.tag.formats import read_tags
from trainer.tag.replace_genres import FileState, check_replaceable, file_state, replace_genres
from trainer.tag.rows import Row, State, Table
from trainer.tag.undo_file import TagChange, UndoWriter

# From a file to its most probable genres with their probabilities, the most probable first; raises AudioError.
Predict = Callable[[str], Sequence[tuple[str, float]]]


def tag_files(
    paths: Sequence[str],
    *,
    predict: Predict,
    config: TagConfig,
    table: Table,
    undo: UndoWriter,
    progress: ProgressReporter,
    stream: TextIO,
) -> Counter[State]:
    """Prints a row for each file, and writes the genres if `config.write`. A failed file does not end the work.

    Args:
        paths: Local files.
        predict: Predicts the genres of a file.
        config: Which genres are written.
        table: Makes the rows.
        undo: Takes the old genres.
        progress: Shows the progress, and errors.
        stream: Where the rows are printed.

    Returns:
        The number of files in each state.

    Raises:
        RunFailedError: The undo file cannot be written.
    """
    states: Counter[State] = Counter()
    for path in paths:
        try:
            row = _tag_file(path, predict=predict, config=config, undo=undo)
        except (AudioError, OSError) as error:
            progress.log(f"error: {path}: {error_text(error)}")
            states[State.FAILED] += 1
        else:
            progress.print_result(table.line(row), stream=stream)
            states[row.state] += 1
        progress.update(completed=states.total())
        if reader_is_gone(stream):
            break
    return states


def error_text(error: AudioError | OSError) -> str:
    """Returns the message of an error about a file, without its path if it is the system's."""
    return error.message if isinstance(error, AudioError) else error.strerror or str(error)


def chosen_genres(
    ranked: Sequence[tuple[str, float]], *, min_confidence: float, max_genres: int
) -> Sequence[tuple[str, float]]:
    """Returns the genres that are written: the most probable ones, none if a genre of the model called "unknown" leads.

    Args:
        ranked: Genres and their probabilities, the most probable first.
        min_confidence: The least probability.
        max_genres: The most genres.
    """
    if ranked and ranked[0][0] == UNKNOWN:
        return ()
    probable = [(genre, probability) for genre, probability in ranked if probability >= min_confidence]
    return [one for one in probable if one[0] != UNKNOWN][:max_genres]


def _tag_file(path: str, *, predict: Predict, config: TagConfig, undo: UndoWriter) -> Row:
    # The target of a symbolic link is changed; the link stays.
    target = os.path.realpath(path)
    check_regular(target)
    with open(target, "rb") as file:
        state = file_state(os.fstat(file.fileno()))
        existing = read_tags(file).genres
    if config.only_missing and existing:
        return Row(path, State.UNCHANGED, existing, [(genre, None) for genre in existing])
    ranked = predict(path)
    proposed = chosen_genres(ranked, min_confidence=config.min_confidence, max_genres=config.max_genres)
    if not proposed:
        return Row(path, State.UNKNOWN, existing, ranked[:1])
    genres = tuple(genre for genre, _ in proposed)
    if genres == existing:
        return Row(path, State.UNCHANGED, existing, proposed)
    if config.write:
        _write(target, genres, existing=existing, state=state, undo=undo)
    else:
        check_replaceable(target)
    return Row(path, State.CHANGED, existing, proposed)


def _write(
    target: str, genres: tuple[str, ...], *, existing: tuple[str, ...], state: FileState, undo: UndoWriter
) -> None:
    def save_old(audio_sha256: str) -> None:
        undo.add(
            TagChange(
                path=target,
                old_genres=existing,
                new_genres=genres,
                size_bytes=state.size_bytes,
                audio_sha256=audio_sha256,
            )
        )

    replace_genres(target, genres, state=state, before_change=save_old)
