"""`beamtune tag undo=FILE`: the old genres of files into their tags again."""

import os
from collections import Counter, defaultdict
from collections.abc import Sequence

from beam_pipelines.audio.decode import AudioError
from beam_pipelines.common.errors import UserError
from beam_pipelines.common.paths import check_regular
from beam_pipelines.common.progress import ProgressReporter
from beam_pipelines.common.terminal import stderr, stdout
from trainer.tag.config import TagConfig
from trainer.tag.formats import read_tags
from trainer.tag.replace_genres import check_replaceable, file_state, replace_genres
from trainer.tag.rows import Row, State, Table, summary
from trainer.tag.tag_files import error_text
from trainer.tag.undo_file import TagChange, read_changes


def undo(undo_file: str, config: TagConfig) -> int:
    """Shows the genres of changed files beside their old ones, and restores these if `config.write`.

    A file whose genre is not the one that was written, or whose audio is another, is left as it is, and has failed.

    Args:
        undo_file: The file that `beamtune tag` has written.
        config: Whether to write.

    Returns:
        The number of files that failed.

    Raises:
        UserError: The file cannot be read, is no undo file, or holds no changes.
    """
    changes_of: dict[str, list[TagChange]] = defaultdict(list)
    for change in read_changes(undo_file):
        changes_of[change.path].append(change)
    if not changes_of:
        raise UserError(f"undo={undo_file}: the file holds no changes")
    genres = [genre for changes in changes_of.values() for change in changes for genre in change.new_genres]
    table = Table(list(changes_of), genres=genres, write=config.write)
    stream = stdout()
    states: Counter[State] = Counter()
    with ProgressReporter("restoring", total=len(changes_of), unit="files") as progress:
        for path, changes in changes_of.items():
            try:
                row = _undo_changes(path, changes, write=config.write)
            except (AudioError, OSError) as error:
                progress.log(f"error: {path}: {error_text(error)}")
                states[State.FAILED] += 1
            else:
                progress.print_result(table.line(row), stream=stream)
                states[row.state] += 1
            progress.update(completed=states.total())
    print(summary(states, write=config.write), file=stderr())
    if not config.write and states[State.CHANGED]:
        print("nothing was written: write=true restores these genres", file=stderr())
    return states[State.FAILED]


def _undo_changes(path: str, changes: Sequence[TagChange], *, write: bool) -> Row:
    check_regular(path)
    with open(path, "rb") as file:
        state = file_state(os.fstat(file.fileno()))
        current = read_tags(file).genres
    old = _old_genres(current, changes)
    if old == current:
        return Row(path, State.UNCHANGED, current, [(genre, None) for genre in current])
    if write:
        replace_genres(
            path, old, state=state, before_change=lambda audio: _check_audio(audio, changes[-1].audio_sha256)
        )
    else:
        check_replaceable(path)
    return Row(path, State.CHANGED, current, [(genre, None) for genre in old])


def _old_genres(current: tuple[str, ...], changes: Sequence[TagChange]) -> tuple[str, ...]:
    """Returns the genres before the changes of a file, of which the last one may not have been made.

    Raises:
        AudioError: The genres are neither those before nor those after the last change.
    """
    genres = current
    for change in reversed(changes):
        if genres == change.new_genres:
            genres = change.old_genres
        elif genres != change.old_genres:
            break
    last = changes[-1]
    if genres == current and current not in (last.old_genres, last.new_genres):
        raise AudioError(
            "changed",
            f"its genre is {', '.join(current) or 'none'}, and not {', '.join(last.new_genres)}, which was written",
            stage="tags",
        )
    return genres


def _check_audio(found: str, expected: str) -> None:
    if found != expected:
        raise AudioError("changed", "its audio is not that of the file whose genre was changed", stage="tags")
