"""`beamtune tag`: the predicted genres of music files into their tags."""

import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from beam_pipelines.common.progress import ProgressReporter
from beam_pipelines.common.terminal import stderr, stdout
from trainer.evaluation.config import PredictConfig
from trainer.evaluation.open_model import open_model
from trainer.evaluation.predict import predict_file
from trainer.tag.config import TagConfig
from trainer.tag.find_files import find_files
from trainer.tag.rows import State, Table, summary
from trainer.tag.tag_files import tag_files
from trainer.tag.undo_file import UndoWriter, default_undo_file


def tag(run_dir: str, given: Sequence[str], config: TagConfig) -> int:
    """Shows the genres of music files beside the predicted ones, and writes these if `config.write`.

    A row for each file is printed on standard output before the next file is read; errors, notes and a summary on
    standard error.

    Args:
        run_dir: The run or the export, local or gs://.
        given: Local music files, folders of them, and patterns.
        config: Which genres are written, and whether.

    Returns:
        The number of files that failed.

    Raises:
        UserError: There is no such run or export, there are no music files, or the undo file is another file.
        RunFailedError: A checkpoint or a saved model is damaged, or the undo file cannot be written.
    """
    found = find_files(given)
    undo_file = default_undo_file() if config.undo_file is None else config.undo_file
    stream = stdout()
    with UndoWriter(undo_file) as undo, _naming_undo_file(undo):
        inference = open_model(run_dir, batch_size=config.batch_size)
        # One more than are written: a genre of the model may be called "unknown".
        predicting = PredictConfig(batch_size=config.batch_size, top_k=config.max_genres + 1)
        with ProgressReporter("tagging", total=len(found.paths), unit="files") as progress:
            for note in found.notes:
                progress.log(f"note: {note}")
            states = tag_files(
                found.paths,
                predict=lambda path: predict_file(path, model=inference, config=predicting, progress=progress).genres,
                config=config,
                table=Table(found.paths, genres=inference.labels, write=config.write),
                undo=undo,
                progress=progress,
                stream=stream,
            )
        print(summary(states, write=config.write), file=stderr())
        if not config.write and states[State.CHANGED]:
            print("nothing was written: write=true writes these genres", file=stderr())
    return states[State.FAILED]


@contextmanager
def _naming_undo_file(undo: UndoWriter) -> Iterator[None]:
    """Says at the end, also of work that is interrupted, how changes are undone."""
    try:
        yield
    finally:
        if undo.num_changes:
            command = f"beamtune tag undo={shlex.quote(undo.path)} write=true"
            print(f"old genres: {undo.path}; {command} restores them", file=stderr())
