"""What commands check of the folders that they read before they import TensorFlow, which takes seconds.

The same checks follow when the command runs. Buckets are not asked twice: TensorFlow reads them.
"""

import os

from beam_pipelines.common.paths import is_local

# trainer.evaluation.exported_model, which imports TensorFlow, has the same name.
_SIGNATURE_FILE = "signature.json"


def check_data(data_dir: str) -> None:
    """Checks a local prepared data set.

    Raises:
        UserError: There is none, or it is not finished.
    """
    if is_local(data_dir):
        from trainer.data.prepared import open_prepared

        open_prepared(data_dir)


def check_run(run_dir: str) -> None:
    """Checks a local run.

    Raises:
        UserError: There is none, or it has no weights yet.
    """
    if is_local(run_dir):
        from trainer.runs.run_dir import RunDir

        RunDir(run_dir).best_checkpoint()


def check_model(directory: str) -> None:
    """Checks a local run or export.

    Raises:
        UserError: There is neither, or the run has no weights yet.
    """
    if is_local(directory) and not os.path.exists(os.path.join(directory, _SIGNATURE_FILE)):
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
    from trainer.data.prepared import check_has_several_genres, check_has_tracks, open_prepared
    from trainer.runs.run_dir import RunDir

    if not RunDir(run_dir).is_started():
        data = open_prepared(data_dir)
        check_has_several_genres(data)
        check_has_tracks(data)
