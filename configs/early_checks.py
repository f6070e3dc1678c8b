"""What commands check of the folders that they read before they import TensorFlow or Beam, which takes seconds.

The same checks follow when the command runs. Buckets are not asked twice: TensorFlow reads them.
"""

import os
from typing import TYPE_CHECKING

from beam_pipelines.common.errors import UserError
from beam_pipelines.common.output_streams import shown_names
from beam_pipelines.common.paths import is_local
from configs.nearby_runs import nearby_data, runs_in

if TYPE_CHECKING:
    from trainer.data.prepared import PreparedData


def check_music(root: str, *, key: str, output_dir: str) -> None:
    """Checks a local folder of music, except where the output exists already: what is finished needs no music.

    Args:
        root: The folder.
        key: The setting that names it.
        output_dir: Where the results go.

    Raises:
        UserError: There is no such folder.
    """
    if is_local(root) and is_local(output_dir) and not os.path.exists(output_dir) and not os.path.exists(root):
        raise UserError(f"{key}={root}: there is no such folder")


def check_dataset(dataset: object, *, output_dir: str) -> None:
    """Checks the folder of music of a data set, where it is one; see `check_music`."""
    from beam_pipelines.datasets.config import FolderDatasetConfig

    if isinstance(dataset, FolderDatasetConfig):
        check_music(dataset.root, key="dataset.root", output_dir=output_dir)


def check_data(data_dir: str) -> None:
    """Checks a local prepared data set.

    Raises:
        UserError: There is none, or it is not finished.
    """
    if is_local(data_dir):
        _open_prepared(data_dir)


def check_reported(path: str) -> None:
    """Checks that a local folder that `report` reads is there.

    Raises:
        UserError: It is not.
    """
    from trainer.report.config import REPORTED

    if is_local(path) and not os.path.exists(path):
        raise UserError(f"{path} does not exist: expected {REPORTED}")


def check_run(run_dir: str) -> None:
    """Checks a local run.

    Raises:
        UserError: There is none, or it has no weights yet.
    """
    if is_local(run_dir):
        from trainer.runs.run_dir import RunDir

        run = RunDir(run_dir)
        if not run.is_started() and (found := runs_in(run_dir)):
            raise UserError(f"{run_dir} is a folder of runs: expected one of them: {shown_names(found)}")
        run.best_checkpoint()


def check_model(directory: str) -> None:
    """Checks a local run or export.

    Raises:
        UserError: There is neither, or the run has no weights yet.
    """
    from trainer.evaluation.export_files import is_export

    if is_local(directory) and not is_export(directory):
        check_run(directory)


def check_search(search_dir: str, data_dir: str) -> None:
    """Checks the data of a new search.

    Raises:
        UserError: There is no such data set, or it is not finished.
    """
    from trainer.tuner.search_dir import SearchDir

    if is_local(search_dir) and not SearchDir(search_dir).is_started():
        check_data(data_dir)


def check_training(run_dir: str, data_dir: str) -> None:
    """Checks the data of a new run; a finished one needs none.

    Raises:
        UserError: There is no such data set, or no classifier can be trained on it.
    """
    if not (is_local(run_dir) and is_local(data_dir)):
        return
    from trainer.data.prepared import check_has_several_genres, check_has_tracks
    from trainer.runs.run_dir import RunDir

    if not RunDir(run_dir).is_started():
        data = _open_prepared(data_dir)
        check_has_several_genres(data)
        check_has_tracks(data)


def _open_prepared(data_dir: str) -> "PreparedData":
    """Returns a local prepared data set; where there is no such folder, the error names those that are near."""
    from trainer.data.prepared import open_prepared

    try:
        return open_prepared(data_dir)
    except UserError as error:
        raise UserError(f"{error}{'' if os.path.exists(data_dir) else nearby_data()}") from error
