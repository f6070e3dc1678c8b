"""The requests of Vertex AI's predictions: {"instances": […], "parameters": {…}} → one prediction for each instance."""

import base64
import binascii
import json
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from beam_pipelines.audio.unexpected import UNEXPECTED
from beam_pipelines.common.bucket_objects import download_to_file, size_bytes
from beam_pipelines.common.errors import RunAgainError, UserError
from beam_pipelines.common.paths import bucket_and_name, is_in_bucket
from beam_pipelines.features.frontend import AudioError
from trainer.serve.service import Service
from trainer.serve.service_error import ServiceError, error_content
from trainer.serve.work_queue import check_wanted

# Each is a file.
MAX_INSTANCES = 128
# Each of these begins a value, which takes up to 20 times its bytes in memory, and all threads wait while it is parsed.
# Names of objects may have them too: 1 kB in each of `MAX_INSTANCES`.
_BEGINNINGS = (b"[", b"{", b",")
_MAX_BEGINNINGS = 200_000
_MIN_CONFIDENCE = "min_confidence"


@dataclass(frozen=True)
class Batch:
    """A request.

    Attributes:
        instances: The instances, not checked yet.
        min_confidence: The probability below which labels are "unknown".
    """

    instances: Sequence[Any]
    min_confidence: float


def failure_message(error: AudioError) -> str:
    """Returns a sentence about a file that has no prediction, without the text of an exception that is a defect."""
    problem = "the service failed" if error.reason == UNEXPECTED else error.message.rstrip(".")
    return f"The file cannot be predicted: {problem}."


def predict_instances(path: str, service: Service, *, stop: threading.Event) -> list[dict[str, Any]]:
    """Returns the prediction, or the error, of each instance of a request.

    Args:
        path: The file with the JSON of the request.
        service: Its model, limits and buckets.
        stop: Ends the work.

    Raises:
        ServiceError: The request is malformed, or the service does not accept work.
    """
    with open(path, "rb") as file:
        batch = parse_batch(file.read(), min_confidence=service.config.min_confidence)
    return [_predict(instance, batch, service, stop=stop) for instance in batch.instances]


def parse_batch(content: bytes, *, min_confidence: float) -> Batch:
    """Returns a request from its JSON.

    Args:
        content: The JSON.
        min_confidence: That of requests that have none.

    Raises:
        ServiceError: It is no JSON, is nested too deeply, has other entries, or too many values or instances.
    """
    if sum(map(content.count, _BEGINNINGS)) > _MAX_BEGINNINGS:
        raise _malformed("it has too many values")
    try:
        found = json.loads(content)
    except RecursionError as error:
        raise _malformed("it is nested too deeply") from error
    except ValueError as error:
        raise _malformed("it is no JSON") from error
    if not isinstance(found, dict) or not isinstance(found.get("instances"), list):
        raise _malformed('expected {"instances": […]}')
    if len(found["instances"]) > MAX_INSTANCES:
        raise _malformed(f"it has more than {MAX_INSTANCES} instances")
    parameters = found.get("parameters") or {}
    if not isinstance(parameters, dict) or parameters.keys() - {_MIN_CONFIDENCE}:
        raise _malformed(f"expected no parameters but {_MIN_CONFIDENCE}")
    wanted = parameters.get(_MIN_CONFIDENCE, min_confidence)
    if not _is_probability(wanted):
        raise _malformed(f"expected a {_MIN_CONFIDENCE} from 0 to 1")
    return Batch(found["instances"], wanted)


def _predict(instance: Any, batch: Batch, service: Service, *, stop: threading.Event) -> dict[str, Any]:
    model = service.loaded_model()
    with tempfile.NamedTemporaryFile(dir=service.folder, prefix="instance-") as file:
        try:
            check_wanted(stop)
            _write_audio(instance, file.name, service)
            return model.answer(
                file.name,
                min_confidence=batch.min_confidence,
                max_duration_s=service.config.max_duration_s,
                stop=stop,
            )
        except AudioError as error:
            service.metrics.count_rejected(error.reason)
            return error_content(error.reason, failure_message(error))
        except _InstanceError as error:
            service.metrics.count_rejected(error.reason)
            return error_content(error.reason, error.message)
        except UserError as error:
            raise ServiceError(HTTPStatus.BAD_REQUEST, "parameters", str(error)) from error


class _InstanceError(Exception):
    """An instance without a file, and its reason and message as in AudioError."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(reason, message)
        self.reason = reason
        self.message = message


def _write_audio(instance: Any, path: str, service: Service) -> None:
    """Writes the audio of an instance to a file.

    Raises:
        _InstanceError: It has none, or it cannot be read.
    """
    if isinstance(instance, Mapping) and len(instance) == 1:
        ((key, value),) = instance.items()
        if key == "audio_b64" and isinstance(value, str):
            return _write_base64(value, path)
        if key == "uri" and isinstance(value, str):
            return _copy_object(value, path, service)
    raise _InstanceError("malformed_instance", 'Expected {"audio_b64": "…"} or {"uri": "gs://…"}.')


def _write_base64(text: str, path: str) -> None:
    try:
        content = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise _InstanceError("malformed_instance", "audio_b64 is not base64.") from error
    with open(path, "wb") as file:
        file.write(content)


def _copy_object(uri: str, path: str, service: Service) -> None:
    """Copies an object, whose size is asked for first. What the account may read else is no matter of clients."""
    bucket, name = bucket_and_name(uri)
    if not is_in_bucket(uri) or not name or bucket not in service.config.allowed_buckets:
        raise _InstanceError("forbidden_uri", "The uri is in none of the buckets of the setting allowed_buckets.")
    try:
        uri.encode()
    except UnicodeEncodeError as error:  # JSON can have halves of characters
        raise _InstanceError("malformed_instance", "The uri is no text.") from error
    max_bytes = service.config.max_upload_bytes
    try:
        size = size_bytes(uri)
        if size is not None and size > max_bytes:
            raise _InstanceError("too_large", f"The object has more than {max_bytes} bytes.")
        download_to_file(uri, path, max_bytes=max_bytes)
    except FileNotFoundError as error:
        raise _InstanceError("not_found", "There is no such object.") from error
    except (UserError, RunAgainError, OSError) as error:
        # The text of the error names the account of the service.
        raise _InstanceError("unreadable", "The object cannot be read.") from error


def _is_probability(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1


def _malformed(details: str) -> ServiceError:
    return ServiceError(HTTPStatus.BAD_REQUEST, "malformed_json", f"The request cannot be read: {details}.")
