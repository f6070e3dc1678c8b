"""A search or a cross-validation as a run of MLflow, below which its runs are shown."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING

from beam_pipelines.common.saved_settings import flat_settings
from trainer.data.prepared import open_prepared
from trainer.tracking.config import MlflowConfig
from trainer.tracking.mlflow_session import MlflowSession, check_is_installed
from trainer.tracking.mlflow_sink import ended_with_status, tags_of

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

# How long to wait until the run is made, whose number the runs below it need, and at the end.
_BEGIN_WAIT_S, _END_WAIT_S = 30.0, 30.0


@contextmanager
def group_run(
    config: "DataclassInstance", mlflow: MlflowConfig, *, command: str, directory: str, data_dir: str
) -> Iterator[MlflowSession | None]:
    """Begins or continues the run of MLflow of a directory, and ends it with its status; yields what sends to it.

    Args:
        config: The settings of the command.
        mlflow: Where it is sent.
        command: The name of the command.
        directory: The directory, which exists.
        data_dir: The data set.

    Yields:
        The session; None if nothing is sent to MLflow.

    Raises:
        UserError: MLflow is not installed, or the data set cannot be read.
    """
    check_is_installed(mlflow)
    if mlflow.tracking_uri is None:
        yield None
        return
    session = MlflowSession(mlflow.tracking_uri, directory)
    session.begin(
        mlflow,
        name=directory.rstrip("/").rpartition("/")[2],
        tags=tags_of(open_prepared(data_dir), command=command),
        settings=flat_settings(asdict(config)),
    )
    session.wait(at_most_s=_BEGIN_WAIT_S)
    with ended_with_status(session, wait_s=_END_WAIT_S):
        yield session
