"""A training run as a run of MLflow."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict
from typing import TYPE_CHECKING

from beam_pipelines.common.errors import RunFailedError, UserError
from beam_pipelines.common.package_builds import beamtune_version
from beam_pipelines.common.saved_settings import flat_settings
from beam_pipelines.records.schema import TRAIN, VALIDATION
from trainer.common import files
from trainer.data.prepared import PreparedData
from trainer.metrics.level_metrics import LevelMetrics
from trainer.metrics.predictions import Predictions
from trainer.metrics.scalars import scalars_of_split
from trainer.model_card.model_card import CARD_FILE
from trainer.runs.run_dir import CONFIG_FILE, METRICS_FILE, RunDir
from trainer.tracking.config import MlflowConfig
from trainer.tracking.mlflow_session import (
    FAILED,
    FINISHED,
    KILLED,
    MlflowSession,
    check_is_installed,
    is_installed,
    read_saved_run,
)

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

# How long the end of a training waits until everything is sent, and how long one that was interrupted: supervisors kill
# a process some ten seconds after SIGTERM.
_END_WAIT_S, _INTERRUPTED_WAIT_S = 60.0, 4.0
_EVALUATION_WAIT_S = 30.0
# The scores of the best weights.
_BEST = "best"


class MlflowSink:
    """Sends the settings, the scalars and the files of a run to MLflow: a `RunSink`.

    A training that resumes continues the run of MLflow. A server that is away, slow or full changes nothing: there is
    one warning, and the end of the training waits for at most a minute.
    """

    def __init__(
        self,
        config: "DataclassInstance",
        mlflow: MlflowConfig,
        *,
        run: RunDir,
        data: PreparedData,
        is_writer: bool = True,
    ) -> None:
        """Sends nothing yet.

        Args:
            config: The settings of the run.
            mlflow: Where it is sent.
            run: The directory of the run.
            data: The data set that the model is trained on.
            is_writer: Whether this process sends.

        Raises:
            UserError: MLflow is not installed.
        """
        check_is_installed(mlflow)
        self._config = config
        self._mlflow = mlflow
        self._run = run
        self._data = data
        self._is_writer = is_writer
        self._session: MlflowSession | None = None

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Begins or continues the run of MLflow, and ends it with its status."""
        if not self._is_writer or self._mlflow.tracking_uri is None:
            yield
            return
        self._session = session = MlflowSession(self._mlflow.tracking_uri, self._run.path)
        session.begin(
            self._mlflow,
            name=self._run.path.rstrip("/").rpartition("/")[2],
            tags=tags_of(self._data, command="train"),
            settings=flat_settings(asdict(self._config)),
        )
        try:
            with ended_with_status(session, wait_s=_END_WAIT_S):
                yield
        finally:
            self._session = None

    def epochs(self, *, num_steps_done: int) -> AbstractContextManager[None]:
        """Returns an empty context: the server knows which steps it has."""
        return nullcontext()

    def write_epoch(self, *, step: int, training: Mapping[str, float], validation: Mapping[str, LevelMetrics]) -> None:
        """Sends the scalars of an epoch, with the split in front of their names."""
        if self._session is None:
            return
        metrics = {f"{TRAIN}/{name}": value for name, value in training.items()}
        if validation:
            scalars = scalars_of_split(validation, labels=self._data.labels)
            metrics |= {f"{VALIDATION}/{name}": value for name, value in scalars.items()}
        self._session.log(metrics, step=step)

    def write_end(self, predictions: Predictions, levels: Mapping[str, LevelMetrics], *, step: int) -> None:
        """Sends the scores of the best weights on the validation split."""
        if self._session is not None:
            self._session.log(_best_scores(VALIDATION, levels, data=self._data), step=step)

    def write_files(self) -> None:
        """Sends the settings, the scores and the model card, and the best weights if the settings say so."""
        if self._session is None:
            return
        _log_texts(self._session, self._run, (CONFIG_FILE, METRICS_FILE, CARD_FILE))
        if self._mlflow.log_weights:
            directory, _, name = self._run.best_checkpoint().rpartition("/")
            names = [one for one in files.list_dir(directory) if one.startswith(f"{name}.")]
            self._session.log_files([files.join(directory, one) for one in names], folder="checkpoints")


def log_evaluation(
    run: RunDir, split: str, levels: Mapping[str, LevelMetrics], *, data: PreparedData, step: int
) -> None:
    """Adds the scores of a split to the run of MLflow that belongs to a run, if there is one.

    Args:
        run: The run.
        split: The evaluated split.
        levels: Its metrics by level.
        data: The data set.
        step: Training steps up to the end of the best epoch.
    """
    saved = read_saved_run(run.path)
    if saved is None or not is_installed():
        return
    session = MlflowSession(saved.tracking_uri, run.path)
    session.resume()
    session.log(_best_scores(split, levels, data=data), step=step)
    _log_texts(session, run, (METRICS_FILE, CARD_FILE))
    session.close(wait_s=_EVALUATION_WAIT_S)


@contextmanager
def ended_with_status(session: MlflowSession, *, wait_s: float) -> Iterator[None]:
    """Ends a run of MLflow with the status of the body: finished, failed, or interrupted and to be continued."""
    status = KILLED
    try:
        yield
        status = FINISHED
    except (RunFailedError, UserError):
        status = FAILED
        raise
    finally:
        session.set_status(status)
        session.close(wait_s=_INTERRUPTED_WAIT_S if status == KILLED else wait_s)


def tags_of(data: PreparedData, *, command: str) -> dict[str, str]:
    """Returns the tags of a run of MLflow."""
    return {
        "mlflow.source.name": f"beamtune {command}",
        "mlflow.source.type": "LOCAL",
        "beamtune.version": beamtune_version(),
        "beamtune.data": data.info.name,
        "beamtune.data_cache_key": data.cache_key,
    }


def _best_scores(split: str, levels: Mapping[str, LevelMetrics], *, data: PreparedData) -> dict[str, float]:
    scalars = scalars_of_split(levels, labels=data.labels)
    return {f"{_BEST}/{split}/{name}": value for name, value in scalars.items()}


def _log_texts(session: MlflowSession, run: RunDir, names: tuple[str, ...]) -> None:
    for name in names:
        path = files.join(run.path, name)
        if files.exists(path):
            session.log_text(name, files.read_text(path))
