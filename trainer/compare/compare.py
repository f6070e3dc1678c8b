"""`beamtune compare`: a table of runs, with a row for each."""

from collections.abc import Sequence
from typing import TextIO

import tensorflow as tf

from beam_pipelines.common.errors import UserError
from trainer.common import files
from trainer.compare.comparison_table import print_comparison, sort_rows, to_csv, to_markdown
from trainer.compare.config import CompareConfig
from trainer.compare.result_rows import expand_directory, read_result_row


def compare(paths: Sequence[str], *, config: CompareConfig, stream: TextIO) -> None:
    """Prints a table of runs and cross-validations, and writes it to the files that the config names.

    Args:
        paths: Their directories, local or gs://; that of a cross-validation of several learners stands for all of them.
        config: Which split, in which order, and where to.
        stream: Where to print.

    Raises:
        UserError: One of them cannot be compared, or a file cannot be written.
    """
    directories = [directory for path in paths for directory in expand_directory(path)]
    entries = sort_rows([read_result_row(path, split=config.split) for path in directories], by=config.sort)
    print_comparison(entries, split=config.split, stream=stream)
    _write("output.markdown", config.output.markdown, to_markdown(entries, split=config.split))
    _write("output.csv", config.output.csv, to_csv(entries))


def _write(key: str, path: str | None, text: str) -> None:
    if path is None:
        return
    try:
        files.write_text(path, text)
    except tf.errors.OpError as error:
        raise UserError(f"{key}={path} cannot be written: {error.message}") from error
