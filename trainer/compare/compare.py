"""`beamtune compare`: a table of the scores of runs and cross-validations."""

from collections.abc import Sequence
from typing import TextIO

from beam_pipelines.common.errors import UserError
from trainer.common import files
from trainer.compare.compared_results import expand_directory, read_result
from trainer.compare.comparison_table import print_comparison, sort_results, to_csv, to_markdown
from trainer.compare.config import CompareConfig


def compare(paths: Sequence[str], *, config: CompareConfig, stream: TextIO) -> None:
    """Prints a table of runs and cross-validations, and writes it to the files in `config.output`.

    Args:
        paths: Their directories, local or gs://; a cross-validation of several learners has a row for each of them.
        config: The settings.
        stream: The stream to print to.

    Raises:
        UserError: One of them cannot be compared, or a file cannot be written.
    """
    directories = [directory for path in paths for directory in expand_directory(path)]
    results = sort_results([read_result(path, split=config.split) for path in directories], by=config.sort)
    print_comparison(results, split=config.split, stream=stream)
    _write("output.markdown", config.output.markdown, to_markdown(results, split=config.split))
    _write("output.csv", config.output.csv, to_csv(results))


def _write(key: str, path: str | None, text: str) -> None:
    if path is None:
        return
    try:
        files.write_text(path, text)
    except files.FileError as error:
        raise UserError(f"{key}={path} cannot be written: {error.message}") from error
