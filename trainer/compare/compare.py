"""`beamtune compare`: a table of the scores of runs and cross-validations."""

from collections.abc import Iterator, Sequence
from typing import TextIO

from beam_pipelines.common.errors import UserError
from beam_pipelines.common.output_streams import visible_line
from beam_pipelines.common.terminal import stderr
from trainer.common import files
from trainer.compare.compared_results import (
    ComparedResult,
    expand_directory,
    find_results,
    is_result,
    read_result,
)
from trainer.compare.comparison_table import print_comparison, sort_results, to_csv, to_markdown
from trainer.compare.config import CompareConfig


def compare(paths: Sequence[str], *, config: CompareConfig, stream: TextIO) -> None:
    """Prints a table of runs and cross-validations, and writes it to the files in `config.output`.

    Args:
        paths: Their directories, or folders of such directories, local or gs://; a cross-validation of several learners
            has a row for each of them. What is not finished in a folder is left out, with a note.
        config: The settings.
        stream: The stream to print to.

    Raises:
        UserError: One of them cannot be compared, a folder has none, or a file cannot be written.
    """
    found = [result for path in paths for result in _results(path, split=config.split)]
    results = sort_results(found, by=config.sort)
    print_comparison(results, split=config.split, stream=stream)
    _write("output.markdown", config.output.markdown, to_markdown(results, split=config.split))
    _write("output.csv", config.output.csv, to_csv(results))


def _results(path: str, *, split: str) -> Iterator[ComparedResult]:
    """Yields the results in a directory, or in the directories below a folder."""
    if is_result(path):
        yield from (read_result(directory, split=split) for directory in expand_directory(path))
        return
    directories = find_results(path)
    if not directories:
        read_result(path, split=split)  # raises
    num_read = 0
    for directory in directories:
        try:
            yield read_result(directory, split=split)
            num_read += 1
        except UserError as error:
            print(f"note: left out: {visible_line(str(error))}", file=stderr())
    if not num_read:
        raise UserError(f"{path}: nothing below it has scores of split {split}: see the notes above")


def _write(key: str, path: str | None, text: str) -> None:
    if path is None:
        return
    try:
        files.write_text(path, text)
    except files.FileError as error:
        raise UserError(f"{key}={path} cannot be written: {error.message}") from error
