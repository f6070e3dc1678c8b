"""One run of MLflow, which belongs to a directory: a run, a search or a cross-validation.

`mlflow.json` in the directory names the run, so that a training that resumes, an evaluation and the runs below it find
it. All requests are made by the thread of an outbox, which also imports MLflow: that takes seconds.
"""

import importlib.util
import json
import logging
import os
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from beam_pipelines.common.errors import UserError
from trainer.common import files
from trainer.tracking.config import MlflowConfig
from trainer.tracking.mlflow_names import mlflow_name, mlflow_params
from trainer.tracking.outbox import Outbox

RUNNING, FINISHED, FAILED, KILLED = "RUNNING", "FINISHED", "FAILED", "KILLED"

_FILE = "mlflow.json"
# Requests that one batch may hold.
_BATCH_PARAMS, _BATCH_METRICS = 100, 900
_PASSING_CODES = (None, "INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED")
# Short, because the outbox repeats requests; the variables of the user come first.
_ENVIRONMENT = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "10", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1"}


@dataclass(frozen=True)
class SavedRun:
    """The content of `mlflow.json`."""

    tracking_uri: str
    run_id: str


def read_saved_run(directory: str) -> SavedRun | None:
    """Returns the run of MLflow that belongs to a directory; None without one, or if the file is damaged."""
    try:
        content = json.loads(files.read_text(files.join(directory, _FILE)))
        return SavedRun(tracking_uri=str(content["tracking_uri"]), run_id=str(content["run_id"]))
    except (files.MissingFileError, ValueError, KeyError, TypeError):
        return None


def below(config: MlflowConfig, directory: str) -> MlflowConfig:
    """Returns settings with which a run is shown below the run of MLflow that belongs to a directory, if it has one."""
    saved = None if config.tracking_uri is None else read_saved_run(directory)
    if saved is None or saved.tracking_uri != config.tracking_uri:
        return config
    return replace(config, parent_run_id=saved.run_id)


def check_is_installed(config: MlflowConfig) -> None:
    """Raises a UserError if something is to be sent to MLflow, which is not installed."""
    if config.tracking_uri is not None and not is_installed():
        raise UserError(
            f"mlflow.tracking_uri={config.tracking_uri} needs MLflow: pip install 'beamtune[mlflow]', or set it to null"
        )


def is_installed() -> bool:
    """Returns whether MLflow is installed, without importing it."""
    return importlib.util.find_spec("mlflow") is not None


class MlflowSession:
    """Sends to the run of MLflow that belongs to a directory.

    No method fails because of the server, and none but `wait` and `close` waits for it.
    """

    def __init__(self, tracking_uri: str, directory: str) -> None:
        """Sends nothing yet.

        Args:
            tracking_uri: The server.
            directory: The directory, local or gs://.
        """
        self._tracking_uri = tracking_uri
        self._directory = directory
        self._outbox = Outbox(f"MLflow at {tracking_uri}", may_pass=_may_pass)
        self._keeps_status = False
        # Of the thread of the outbox.
        self._client: Any = None
        self._run_id: str | None = None
        self._last_values: dict[str, float] = {}
        self._last_steps: dict[str, int] = {}

    def begin(self, config: MlflowConfig, *, name: str, tags: Mapping[str, str], settings: Mapping[str, Any]) -> None:
        """Continues the run of the directory, or makes one.

        Args:
            config: The experiment, and the parent.
            name: The name of a new run.
            tags: The tags of a new run.
            settings: By dotted key; the parameters of a new run.
        """
        parent = {} if config.parent_run_id is None else {"mlflow.parentRunId": config.parent_run_id}
        self._outbox.put(
            lambda: self._begin(config.experiment, name=name, tags={**tags, **parent}, params=mlflow_params(settings))
        )

    def resume(self) -> None:
        """Continues the run of the directory, which stays in its state."""

        def find() -> None:
            self._find()

        self._outbox.put(find)

    def log(self, metrics: Mapping[str, float], *, step: int) -> None:
        """Sends numbers by name; those of a step that the run has already are left out."""
        time_ms = int(1000 * time.time())
        self._put(lambda run_id: self._log(run_id, dict(metrics), step=step, time_ms=time_ms))

    def log_text(self, name: str, text: str) -> None:
        """Sends a file of this name."""
        self._put(lambda run_id: self._client.log_text(run_id, text, name))

    def log_files(self, paths: Sequence[str], *, folder: str) -> None:
        """Sends files, local or gs://, into a folder."""
        self._put(lambda run_id: self._log_files(run_id, paths, folder))

    def keep_status(self) -> None:
        """Leaves the status of the run to another process, which continues it: `set_status` does nothing then."""
        self._keeps_status = True

    def set_status(self, status: str) -> None:
        """Ends the run with a status."""
        if not self._keeps_status:
            self._put(lambda run_id: self._client.set_terminated(run_id, status))

    def wait(self, *, at_most_s: float) -> None:
        """Waits until everything is sent."""
        self._outbox.wait(at_most_s=at_most_s)

    def close(self, *, wait_s: float) -> None:
        """Waits until everything is sent, and ends the thread.

        Args:
            wait_s: How long to wait at most.
        """
        self._outbox.close(wait_s=wait_s)

    def _put(self, call: Callable[[str], None]) -> None:
        def call_with_run() -> None:
            if self._run_id is not None:  # the server has refused to make one
                call(self._run_id)

        self._outbox.put(call_with_run)

    def _connect(self) -> None:
        if self._client is None:
            self._client = make_client(self._tracking_uri)

    def _find(self) -> bool:
        """Finds the run of the directory; returns whether there is one."""
        self._connect()
        saved = read_saved_run(self._directory)
        if saved is None or saved.tracking_uri != self._tracking_uri:
            return False
        try:
            run = self._client.get_run(saved.run_id)
        except Exception as error:
            if _may_pass(error):
                raise
            return False  # it was deleted
        if run.info.lifecycle_stage == "deleted":
            return False
        self._run_id = saved.run_id
        self._last_values = dict(run.data.metrics)
        return True

    def _begin(self, experiment: str, *, name: str, tags: Mapping[str, str], params: Mapping[str, str]) -> None:
        # After a failure, this is called again: it must not make a second run then.
        if self._run_id is not None or self._find():
            self._client.update_run(self._run_id, RUNNING)
        else:
            run = self._client.create_run(self._experiment_id(experiment), run_name=name, tags=dict(tags))
            self._run_id = run.info.run_id
        content = {"tracking_uri": self._tracking_uri, "run_id": self._run_id}
        files.write_text(files.join(self._directory, _FILE), json.dumps(content, indent=2) + "\n")
        if not self._client.get_run(self._run_id).data.params:
            self._log_params(params)

    def _experiment_id(self, name: str) -> str:
        found = self._client.get_experiment_by_name(name)
        if found is None:
            try:
                return str(self._client.create_experiment(name))
            except Exception:
                found = self._client.get_experiment_by_name(name)
                if found is None:  # another process has not made it meanwhile
                    raise
        return str(found.experiment_id)

    def _log_params(self, params: Mapping[str, str]) -> None:
        from mlflow.entities import Param

        entries = [Param(key, value) for key, value in params.items()]
        for start in range(0, len(entries), _BATCH_PARAMS):
            self._client.log_batch(self._run_id, params=entries[start : start + _BATCH_PARAMS])

    def _log(self, run_id: str, metrics: Mapping[str, float], *, step: int, time_ms: int) -> None:
        from mlflow.entities import Metric

        named = {mlflow_name(name): float(value) for name, value in metrics.items()}
        new = {name: value for name, value in named.items() if step > self._last_step(run_id, name)}
        entries = [Metric(name, value, time_ms, step) for name, value in new.items()]
        for start in range(0, len(entries), _BATCH_METRICS):
            self._client.log_batch(run_id, metrics=entries[start : start + _BATCH_METRICS])
        self._last_steps |= dict.fromkeys(new, step)

    def _last_step(self, run_id: str, name: str) -> int:
        """Returns the last step of a metric on the server, −1 if there is none."""
        if name not in self._last_steps:
            # Only metrics that the run had when this process found it may have steps there.
            history = self._client.get_metric_history(run_id, name) if name in self._last_values else []
            self._last_steps[name] = max((point.step for point in history), default=-1)
        return self._last_steps[name]

    def _log_files(self, run_id: str, paths: Sequence[str], folder: str) -> None:
        with tempfile.TemporaryDirectory(prefix="beamtune-mlflow-") as scratch_dir:
            for path in paths:
                copy = os.path.join(scratch_dir, os.path.basename(path))
                files.copy(path, copy)
                self._client.log_artifact(run_id, copy, folder)


def make_client(tracking_uri: str) -> Any:
    """Returns MLflow's client of a server. It imports MLflow, which takes seconds."""
    # MLflow reports its use to its makers, and prints where to see a run.
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    from mlflow.tracking.client import MlflowClient

    # The outbox says once that a server cannot be reached.
    for logger in ("mlflow", "urllib3.connectionpool"):
        logging.getLogger(logger).setLevel(logging.ERROR)
    return MlflowClient(tracking_uri)


def _may_pass(error: Exception) -> bool:
    # An exception of MLflow has a code; one without is about the connection.
    return getattr(error, "error_code", None) in _PASSING_CODES
