"""The state of the service: its model, its threads, and whether it accepts work."""

import os
import threading
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from beam_pipelines.common.package_builds import beamtune_version
from beam_pipelines.common.paths import is_in_bucket
from trainer.evaluation.confidence import check_min_confidence
from trainer.serve.config import ServeConfig
from trainer.serve.service_error import unavailable
from trainer.serve.service_metrics import ServiceMetrics
from trainer.serve.work_queue import WorkQueue

if TYPE_CHECKING:  # it imports TensorFlow, before which the port is open
    from trainer.serve.served_model import ServedModel


@dataclass(eq=False)
class Service:
    """The service of one model.

    Attributes:
        config: The settings.
        directory: The run or the export, local or gs://.
        folder: A private folder for the bodies of requests.
        model: The model; None while it is loaded.
        load_error: Why it could not be loaded, or None.
        is_stopping: Whether no more work is accepted.
    """

    config: ServeConfig
    directory: str
    folder: str
    model: "ServedModel | None" = None
    load_error: Exception | None = None
    is_stopping: bool = False
    queue: WorkQueue = field(init=False)
    metrics: ServiceMetrics = field(init=False)

    def __post_init__(self) -> None:
        self.queue = WorkQueue(
            num_threads=self.config.num_threads or len(os.sched_getaffinity(0)), max_waiting=self.config.max_waiting
        )
        self.metrics = ServiceMetrics(self.queue)

    @property
    def name(self) -> str:
        """The name of the model: that of its folder."""
        path = self.directory if is_in_bucket(self.directory) else os.path.abspath(self.directory)
        return os.path.basename(path.rstrip("/")) or path

    def load(self) -> None:
        """Loads the model, and predicts in each thread once.

        Raises:
            UserError: There is no model, or it cannot be used with the settings.
            RunFailedError: A file is damaged.
        """
        from trainer.serve.served_model import ServedModel

        model = ServedModel(self.directory, batch_size=self.config.batch_size)
        check_min_confidence(self.config.min_confidence, labels=model.labels)
        self.queue.do_in_each_thread(model.warm_up)
        self.model = model

    def loaded_model(self) -> "ServedModel":
        """Returns the model, also for requests that are finished while the service stops.

        Raises:
            ServiceError: It is not loaded yet.
        """
        if self.model is None:
            raise unavailable("loading", "The model is not loaded yet.")
        return self.model

    def check_ready(self) -> None:
        """Raises a ServiceError unless the service accepts requests: the model is loaded, and it is not stopping."""
        if self.is_stopping:
            raise unavailable("stopping", "The service is stopping.")
        self.loaded_model()

    def check_accepts_work(self) -> None:
        """Raises a ServiceError if a request would be refused after its body has arrived."""
        self.check_ready()
        self.queue.check_free()

    async def predict(self, path: str, *, disconnected: Callable[[], Awaitable[None]]) -> dict[str, Any]:
        """Returns the JSON of the prediction for a local file.

        Args:
            path: The file.
            disconnected: Returns when the client is gone.

        Raises:
            AudioError: The file cannot be decoded, is silent or too long.
            ServiceError: The queue is full.
            ClientDisconnect: The client is gone.
        """
        model = self.loaded_model()
        return await self.queue.run(partial(self._answer, model, path), disconnected=disconnected)

    def describe(self) -> Mapping[str, Any]:
        """Returns the JSON about the model.

        Raises:
            ServiceError: It is not loaded yet.
        """
        model = self.loaded_model()
        return {
            "name": self.name,
            "kind": model.kind,
            "labels": list(model.labels),
            "segment_duration_s": model.segment_duration_s,
            "limits": {
                "max_upload_bytes": self.config.max_upload_bytes,
                "max_duration_s": self.config.max_duration_s,
            },
            "min_confidence": self.config.min_confidence,
            "beamtune_version": beamtune_version(),
        }

    def _answer(self, model: "ServedModel", path: str, stop: threading.Event) -> dict[str, Any]:
        return model.answer(
            path, min_confidence=self.config.min_confidence, max_duration_s=self.config.max_duration_s, stop=stop
        )
